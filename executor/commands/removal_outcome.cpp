#include "executor/commands/removal_outcome.hpp"

#include <nlohmann/json.hpp>

#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

std::string RemovalOutcome::finish() const {
  reporter_.say((removal() == Removal::pretended ? "Would remove " : "Removed ") +
                std::to_string(names_.size()) + " image(s), " + std::to_string(removed_.files) +
                " file(s) or folder(s), " + size_text(removed_.bytes));
  if (request_.form == AnswerForm::text) return join(names_, "\n");
  return json_text(
      nlohmann::ordered_json{{"images", names_}, {"files", removed_.files}, {"bytes", removed_.bytes}});
}

FileLock::Waiting waiting(const CommandTools& tools, const RemovalRequest& request) {
  return {.clock = tools.clock,
          .cancellation = tools.cancellation,
          .deadline = tools.clock.now() + request.lock_timeout};
}

std::function<void(const std::string&)> complaint(const CommandTools& tools) {
  return [&](const std::string& line) { tools.reporter.warn("WARNING: " + line); };
}

}  // namespace sarde
