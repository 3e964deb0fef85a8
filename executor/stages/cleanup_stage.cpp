#include "executor/stages/cleanup_stage.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "executor/job/kept_door.hpp"

namespace sarde {

void clean_up(const JobResources& resources, const std::function<void()>& before, const std::string& status,
              const Clock& clock, Reporter& reporter) {
  const auto& name = resources.name().text();
  if (!resources.are_there()) {
    reporter.detail("nothing to clean up for VM '" + name + "'");
    return;
  }
  const auto& folder = resources.folder();
  if (before && folder.is_prepared() && !folder.kept_until()) {
    try {
      before();
    } catch (const std::exception& error) {
      reporter.warn(std::string("WARNING: ") + error.what());
    }
  }
  if (const auto time = folder.time_to_keep();
      time && folder.is_prepared() && status != "success" && status != "canceled") {
    stop_door_keeper(folder);
    if (!folder.kept_until()) folder.keep_until(clock.moment().after(*time));
    reporter.say("The job has failed: VM '" + name + "' is kept for " + duration_text(*time) +
                 "; the next job after that, or 'sarde-executor gc', removes it");
    return;
  }
  resources.take_down();
  reporter.detail("VM '" + name + "' has been removed");
}

}  // namespace sarde
