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

SkopeoTries::SkopeoTries(const SkopeoSettings& settings, Clock& clock, Cancellation& cancellation,
                         std::string doing, std::function<void()> heartbeat)
    : settings_(settings),
      clock_(clock),
      cancellation_(cancellation),
      doing_(std::move(doing)),
      heartbeat_(std::move(heartbeat)),
      deadline_(clock.now() + settings.timeout) {}

void SkopeoTries::begin_again() {
  deadline_ = clock_.now() + settings_.timeout;
  failures_ = 0;
}

void SkopeoTries::wait_after(SkopeoFailure failure) {
  ++failures_;
  const auto pause = pause_after(failures_);
  const auto most = tries_of(failure.repetition);
  if (failures_ >= most || clock_.now() + pause >= deadline_) {
    if (failures_ > 1) failure.cause += "; tried " + std::to_string(failures_) + " times";
    failure.raise(doing_);
  }
  if (settings_.announce)
    settings_.announce(doing_ + ": " + failure.cause + "; trying again in " + duration_text(pause) +
                       " (try " + std::to_string(failures_ + 1) + " of " + std::to_string(most) + ")");
  constexpr std::chrono::milliseconds heartbeat_every(100);
  const auto until = clock_.now() + pause;
  while (clock_.now() < until) {
    clock_.sleep(heartbeat_every, cancellation_);
    if (heartbeat_) heartbeat_();
  }
}

std::string SkopeoProgram::run(const SkopeoCall& call) const {
  SkopeoTries tries(settings_, clock_, cancellation_, call.doing, [&] {
    if (call.heartbeat) call.heartbeat({});
  });
  auto achieved = call.achieved ? call.achieved() : 0;
  for (;;) {
    const auto result = run_once(call, tries.deadline());
    if (result.succeeded()) return result.output;
    auto failure = explain_skopeo_failure(result.errors);
    if (call.explain) call.explain(failure);
    const auto now_achieved = call.achieved ? call.achieved() : 0;
    if (now_achieved > achieved) tries.note_progress();
    achieved = now_achieved;
    tries.wait_after(std::move(failure));
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

std::vector<std::string> SkopeoProgram::tls(const std::string& option, const std::string& registry) const {
  const bool is_listed = std::ranges::any_of(settings_.insecure_registries, [&](const std::string& listed) {
    return canonical_host(listed) == canonical_host(registry);
  });
  if (!settings_.insecure && !is_listed) return {};
  return {option + "=false"};
}

}  // namespace sarde
