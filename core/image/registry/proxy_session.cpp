#include "core/image/registry/proxy_session.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

constexpr std::size_t largest_manifest = 8U << 20U;

/// The last of the three numbers of a protocol that is spoken here: 0.2.X. Nothing for any other.
std::optional<std::uint64_t> minor_version(const std::string& version) {
  constexpr std::string_view spoken = "0.2.";
  return version.starts_with(spoken) ? parse_number(std::string_view(version).substr(spoken.size()))
                                     : std::nullopt;
}

}  // namespace

void ProxySession::end() {
  images_.clear();
  proxy_.reset();
}

SkopeoProxy::Answer ProxySession::start(const ProxyWaits& waits) {
  if (proxy_) return {.failure = {}};
  if (settings_.detail) settings_.detail("  " + join(arguments_, " "));
  proxy_ = std::make_unique<SkopeoProxy>(arguments_, environment_.list());
  proxy_->ask_to_initialize();
  auto answer = proxy_->answer(waits);
  constexpr std::uint64_t first_that_checks = 6;
  const auto version = minor_version(answer.text);
  is_usable_ = answer.failure.empty() ? version.has_value()
                                      : answer.failure.find("unknown command") == std::string::npos;
  checks_signatures_ = version >= first_that_checks;
  if (!answer.failure.empty() || !is_usable_) end();
  if (answer.failure.empty() && !is_usable_) answer.failure = "unknown protocol version " + answer.text;
  return answer;
}

SkopeoProxy::Answer ProxySession::open(const std::string& repository, const std::string& name,
                                       const ProxyWaits& waits) {
  if (auto started = start(waits); !started.failure.empty()) return started;
  proxy_->ask_to_open("docker://" + name);
  auto answer = proxy_->answer(waits);
  if (answer.failure.empty()) {
    images_[repository] = answer.number;
  } else {
    end();  // it may be what has ended; if not, it starts again within milliseconds
  }
  return answer;
}

SkopeoProxy::Answer ProxySession::open_any(const std::string& repository, const std::string& name,
                                           const ProxyWaits& waits) {
  const auto known = images_.find(repository);
  if (known == images_.end()) return open(repository, name, waits);
  return {.failure = {}, .number = known->second};
}

SkopeoProxy::Answer ProxySession::manifest(std::uint64_t image, std::string& digest,
                                           const ProxyWaits& waits) {
  proxy_->ask_for_manifest(image);
  auto answer = proxy_->answer(waits);
  if (!answer.failure.empty()) return answer;
  digest = answer.text;
  proxy_->ask_to_finish(answer.pipe_number);  // its end is marked by what this closes
  std::string text;
  constexpr std::size_t step = 64U << 10U;
  constexpr std::chrono::milliseconds a_while(60'000);
  for (;;) {
    if (!wait_to_read(answer.pipe.get(), -1, a_while, waits)) continue;
    const auto before = text.size();
    text.resize(before + step);
    const auto got = read_full(answer.pipe.get(), text.data() + before, step, "skopeo's pipe");
    text.resize(before + got);
    if (got < step || text.size() > largest_manifest) break;
  }
  if (text.size() > largest_manifest)
    throw Error(Blame::job, waits.doing + ": its manifest is larger than any may be");
  auto finished = proxy_->answer(waits);
  finished.text = std::move(text);
  return finished;
}

}  // namespace sarde
