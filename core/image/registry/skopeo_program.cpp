#include "core/image/registry/skopeo_program.hpp"

#include <algorithm>

#include "core/foundation/error.hpp"
#include "core/foundation/host_name.hpp"
#include "core/foundation/text.hpp"
#include "core/image/registry/skopeo_errors.hpp"

namespace sarde {

namespace {

constexpr unsigned tries_of(Repetition repetition) {
  switch (repetition) {
    case Repetition::useless:
      return 1;
    case Repetition::brief:
      return 3;
    case Repetition::patient:
      return 6;
  }
  return 1;
}

/// 1, 2, 4, 8, 16 s.
std::chrono::milliseconds pause_after(unsigned tries) {
  return std::chrono::seconds(1U << (tries - 1));
}

}  // namespace

std::string SkopeoProgram::run(const SkopeoCall& call) const {
  const auto deadline = clock_.now() + settings_.timeout;
  auto achieved = call.achieved ? call.achieved() : 0;
  for (unsigned tries = 1;; ++tries) {
    const auto result = run_once(call, deadline);
    if (result.succeeded()) return result.output;
    auto failure = explain_skopeo_failure(result.errors);
    if (call.explain) call.explain(failure);
    const auto now_achieved = call.achieved ? call.achieved() : 0;
    if (now_achieved > achieved) tries = 1;  // what came is kept, so that the end comes nearer with every try
    achieved = now_achieved;
    const auto pause = pause_after(tries);
    const auto most = tries_of(failure.repetition);
    if (tries >= most || clock_.now() + pause >= deadline) {
      if (tries > 1) failure.cause += "; tried " + std::to_string(tries) + " times";
      failure.raise(call.doing);
    }
    if (settings_.announce)
      settings_.announce(call.doing + ": " + failure.cause + "; trying again in " + duration_text(pause) +
                         " (try " + std::to_string(tries + 1) + " of " + std::to_string(most) + ")");
    wait(call, pause);
  }
}

ProgramResult SkopeoProgram::run_once(const SkopeoCall& call, TimePoint deadline) const {
  Program skopeo{.argv = {"skopeo"}, .environment = environment_.list(), .input = call.input};
  skopeo.argv.insert(skopeo.argv.end(), call.arguments.begin(), call.arguments.end());
  const auto start = clock_.now();
  auto result = within(call.doing, [&] {
    return run_program(skopeo, {.clock = clock_,
                                .cancellation = cancellation_,
                                .deadline = deadline,
                                .heartbeat = call.heartbeat,
                                .heartbeat_every = heartbeat_every});
  });
  if (settings_.detail)
    settings_.detail("  skopeo " + join(call.arguments, " ") + " (" +
                     duration_text(milliseconds_between(start, clock_.now())) + ")");
  if (result.signal != 0)
    throw Error(call.doing + ": skopeo was killed by signal " + std::to_string(result.signal));
  return result;
}

/// Between two tries; what the heartbeat throws ends it.
void SkopeoProgram::wait(const SkopeoCall& call, std::chrono::milliseconds pause) const {
  const auto until = clock_.now() + pause;
  while (clock_.now() < until) {
    clock_.sleep(heartbeat_every, cancellation_);
    if (call.heartbeat) call.heartbeat({});
  }
}

std::vector<std::string> SkopeoProgram::tls(const std::string& option, const std::string& registry) const {
  const bool is_listed = std::ranges::any_of(settings_.insecure_registries, [&](const std::string& listed) {
    return canonical_host(listed) == canonical_host(registry);
  });
  if (!settings_.insecure && !is_listed) return {};
  return {option + "=false"};
}

}  // namespace sarde
