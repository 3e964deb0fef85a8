#include "executor/commands/command_parts.hpp"

#include "core/foundation/text.hpp"

namespace sarde {

std::string CommandParts::since(TimePoint start) const {
  return " (" + duration_text(milliseconds_between(start, clock.now())) + ")";
}

std::function<void(std::uint64_t, std::uint64_t)> CommandParts::progress(std::string doing) const {
  return [&spoken = reporter, doing = std::move(doing)](std::uint64_t done, std::uint64_t total) {
    spoken.progress({.doing = doing, .done = done, .total = total});
  };
}

}  // namespace sarde
