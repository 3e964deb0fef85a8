#include "executor/wiring/terminal.hpp"

#include <array>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>

namespace sarde {

namespace {

struct ColouredWord {
  std::string_view word;
  std::string_view colour;  ///< of ECMA-48's SGR
};

constexpr std::array<ColouredWord, 4> words{
    {{"FAILED ", "31"}, {"ERROR:", "31"}, {"WARNING:", "33"}, {"ok ", "32"}}};

}  // namespace

std::size_t columns_at(int fd) {
  winsize size{};
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

bool shows_colours(int fd, const Environment& environment) {
  return ::isatty(fd) == 1 && !environment.non_empty("NO_COLOR") &&
         environment.non_empty("TERM").value_or("dumb") != "dumb";
}

std::string coloured(const std::string& line) {
  for (const auto& [word, colour] : words) {
    if (!line.starts_with(word)) continue;
    return "\x1b[" + std::string(colour) + "m" + std::string(word) + "\x1b[0m" + line.substr(word.size());
  }
  return line;
}

}  // namespace sarde
