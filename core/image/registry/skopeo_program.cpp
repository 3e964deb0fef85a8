#include "core/image/registry/skopeo_program.hpp"

#include <algorithm>

#include "core/foundation/error.hpp"
#include "core/foundation/host_name.hpp"
#include "core/image/registry/skopeo_errors.hpp"

namespace sarde {

std::string SkopeoProgram::run(const SkopeoCall& call) const {
  Program skopeo{.argv = {"skopeo"}, .environment = environment_.list(), .input = call.input};
  skopeo.argv.insert(skopeo.argv.end(), call.arguments.begin(), call.arguments.end());
  const auto result = within(call.doing, [&] {
    return run_program(skopeo, {.clock = clock_,
                                .cancellation = cancellation_,
                                .deadline = clock_.now() + settings_.timeout,
                                .heartbeat = call.heartbeat,
                                .heartbeat_every = std::chrono::milliseconds(100)});
  });
  if (result.signal != 0)
    throw Error(call.doing + ": skopeo was killed by signal " + std::to_string(result.signal));
  if (!result.succeeded()) throw_skopeo_failure(call.doing, result.errors);
  return result.output;
}

std::vector<std::string> SkopeoProgram::tls(const std::string& option, const std::string& registry) const {
  const bool is_listed = std::ranges::any_of(settings_.insecure_registries, [&](const std::string& listed) {
    return canonical_host(listed) == canonical_host(registry);
  });
  if (!settings_.insecure && !is_listed) return {};
  return {option + "=false"};
}

}  // namespace sarde
