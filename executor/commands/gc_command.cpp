#include "executor/commands/gc_command.hpp"

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"
#include "core/image/store/image_removal.hpp"
#include "executor/job/leftovers.hpp"

namespace sarde {

std::string collect_garbage(const CommandParts& parts) {
  const bool is_real = !parts.settings.call.dry_run;
  const std::string verb = is_real ? "Removed " : "Would remove ";
  std::vector<std::string> names;
  Attempts attempt;
  for (const auto& jobsdir : parts.jobsdirs) {
    for (const auto& leftover : find_leftovers(parts.hypervisor(), jobsdir, parts.clock)) {
      parts.cancellation.check();
      attempt("remove " + leftover.name, [&] {
        if (is_real) remove_leftover(leftover, parts.hypervisor(), jobsdir, parts.clock);
        parts.reporter.say(verb + leftover.name + ": " + leftover.why);
        names.push_back(leftover.name);
      });
    }
  }
  RemovedFiles files;
  attempt("remove temporary files", [&] {
    files =
        remove_abandoned_files(parts.images, parts.jobsdirs, is_real ? Removal::real : Removal::pretended);
  });
  if (files.files != 0)
    parts.reporter.say(verb + std::to_string(files.files) + " temporary file(s) or folder(s), " +
                       size_text(files.bytes));
  attempt.finish();
  if (!parts.settings.call.json) return join(names, "\n");
  return json_text(nlohmann::ordered_json{{"jobs", names}, {"files", files.files}, {"bytes", files.bytes}});
}

}  // namespace sarde
