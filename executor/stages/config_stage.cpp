#include "executor/stages/config_stage.hpp"

#include <nlohmann/json.hpp>

#include "core/foundation/version.hpp"
#include "core/vm/vm_name.hpp"

namespace sarde {

std::string config_answer(const GuestPlaces& places, const std::optional<Job>& job) {
  nlohmann::json answer{{"driver", {{"name", program_name}, {"version", program_version}}},
                        {"builds_dir", places.builds},
                        {"cache_dir", places.cache},
                        {"builds_dir_is_shared", places.keeps_builds},
                        {"shell", places.shell}};
  if (job) answer["hostname"] = VmName::of_job(job->id, job->distinction).text();
  return answer.dump();
}

}  // namespace sarde
