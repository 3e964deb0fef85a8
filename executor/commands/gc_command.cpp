#include "executor/commands/gc_command.hpp"

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"
#include "core/image/store/image_removal.hpp"
#include "core/image/store/warm_templates.hpp"
#include "executor/job/job_resources.hpp"
#include "executor/job/leftovers.hpp"

namespace sarde {

std::string collect_garbage(const CommandTools& tools, const GcRequest& request) {
  const bool is_real = request.removal == Removal::real;
  const std::string verb = is_real ? "Removed " : "Would remove ";
  std::vector<std::string> names;
  Attempts attempt;
  for (const auto& jobsdir : request.jobsdirs) {
    for (const auto& leftover : find_leftovers(tools.hypervisor(), jobsdir, tools.clock)) {
      tools.cancellation.check();
      attempt("remove " + leftover.name, [&] {
        if (is_real) remove_leftover(leftover, tools.hypervisor(), jobsdir, tools.clock);
        tools.reporter.say(verb + leftover.name + ": " + leftover.why);
        names.push_back(leftover.name);
      });
    }
  }
  RemovedFiles files;
  attempt("remove temporary files",
          [&] { files = remove_abandoned_files(tools.images, request.jobsdirs, request.removal); });
  if (files.files != 0)
    tools.reporter.say(verb + std::to_string(files.files) + " temporary file(s) or folder(s), " +
                       size_text(files.bytes));
  RemovedFiles states;
  attempt("remove old saved states of VMs", [&] {
    states = WarmTemplates::remove_old(tools.images.unpacked.folder(), tools.clock, request.removal);
  });
  if (states.files != 0)
    tools.reporter.say(verb + std::to_string(states.files) + " saved state(s) of VMs that are too old, " +
                       size_text(states.bytes));
  files.files += states.files;
  files.bytes += states.bytes;
  attempt.finish();
  if (request.form == AnswerForm::text) return join(names, "\n");
  return json_text(nlohmann::ordered_json{{"jobs", names}, {"files", files.files}, {"bytes", files.bytes}});
}

}  // namespace sarde
