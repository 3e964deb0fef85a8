#include "executor/job/provision.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "executor/job/phases.hpp"

namespace sarde {

void provision(GuestShell& guest, const ProvisionRules& rules, const std::function<void()>& watch,
               Clock& clock, Cancellation& cancellation, Reporter& reporter) {
  if (rules.script.empty()) return;
  const Phase phase(clock, reporter);
  const auto doing = "run the prepare-script " + rules.script.string() + " in the VM";
  const auto outcome = within(doing, [&] {
    const GuestScript script{.content = read_file(rules.script),
                             .shell = rules.shell,
                             .deadline = clock.now() + rules.timeout,
                             .watch = watch};
    return guest.run_script(script, cancellation);
  });
  if (std::holds_alternative<ScriptTimedOut>(outcome))
    throw Error(doing + ": it did not end within " + duration_text(rules.timeout) +
                " (prepare-script-timeout)");
  if (std::holds_alternative<ScriptStopped>(outcome)) cancellation.check();
  const auto* exited = std::get_if<ScriptExited>(&outcome);
  if (exited == nullptr || exited->code != 0) {
    throw Error(doing + ": it " +
                (exited != nullptr ? "ended with exit code " + std::to_string(exited->code)
                                   : std::string("was killed by a signal")));
  }
  phase.done("Ran the prepare-script");
}

}  // namespace sarde
