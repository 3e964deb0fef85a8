#include "executor/console_reporter.hpp"

#include <unistd.h>

namespace sarde {

namespace {

/// Shorter ones would mask half of every line; gitlab-runner has the same limit in mind.
constexpr std::size_t shortest_secret = 4;

}  // namespace

void ConsoleReporter::say(const std::string& line) {
  if (verbosity_ >= 1) write(line);
}

void ConsoleReporter::detail(const std::string& line) {
  if (verbosity_ >= 2) write(line);
}

void ConsoleReporter::warn(const std::string& line) {
  write(line);
}

void ConsoleReporter::mask(const std::string& secret) {
  if (secret.size() >= shortest_secret) secrets_.push_back(secret);
}

void ConsoleReporter::write(std::string line) const {
  for (const auto& secret : secrets_) {
    for (auto at = line.find(secret); at != std::string::npos; at = line.find(secret, at))
      line.replace(at, secret.size(), "[MASKED]");
  }
  line += '\n';
  // Nobody is left to be told that stderr is gone.
  static_cast<void>(!::write(fd_, line.data(), line.size()));
}

}  // namespace sarde
