#include "executor/stages/cleanup_stage.hpp"

namespace sarde {

void clean_up(const JobResources& resources, Reporter& reporter) {
  if (!resources.are_there()) {
    reporter.detail("nothing to clean up for VM '" + resources.name().text() + "'");
    return;
  }
  resources.take_down();
  reporter.detail("VM '" + resources.name().text() + "' has been removed");
}

}  // namespace sarde
