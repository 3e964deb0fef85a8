#include "executor/job/provision.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "executor/job/phases.hpp"

namespace sarde {

namespace {

bool is_powershell_name(const std::string& shell) {
  return shell == "pwsh" || shell == "powershell";
}

/// PowerShell wants these at the very beginning, so nothing can be put in front of them (about_Requires,
/// about_Using, about_Scripts).
bool must_come_first(const std::string& script) {
  for (const auto& line : split(lowered(script), '\n')) {
    const auto words = trimmed(line);
    for (const auto* first : {"param", "using ", "#requires", "[cmdletbinding"})
      if (words.starts_with(first)) return true;
  }
  return false;
}

/// The script, with the variables in front.
std::string with_variables(const AdminScript& rules) {
  auto script = read_file(rules.script);
  if (is_powershell_name(rules.shell) && must_come_first(script)) return script;
  return assignments(rules.variables, rules.shell) + script;
}

}  // namespace

std::string assignments(const std::vector<std::pair<std::string, std::string>>& variables,
                        const std::string& shell) {
  std::string text;
  const bool is_powershell = is_powershell_name(shell);
  for (const auto& [name, value] : variables) {
    if (!is_powershell) {
      text += "export " + name + "=" + shell_quoted(value) + "; ";
      continue;
    }
    std::string doubled;  // PowerShell takes these quotes, too, for the end of a text
    for (const char c : value) doubled += c == '\'' ? "''" : std::string(1, c);
    for (const std::string quote : {"\u2018", "\u2019", "\u201a", "\u201b"})
      for (auto at = doubled.find(quote); at != std::string::npos;
           at = doubled.find(quote, at + 2 * quote.size()))
        doubled.insert(at, quote);
    text += "$env:" + name + " = '" + doubled + "'; ";
  }
  return text.empty() ? "" : text + "\n";
}

void run_admin_script(GuestShell& guest, const AdminScript& rules, const std::function<void()>& watch,
                      Clock& clock, Cancellation& cancellation, Reporter& reporter) {
  if (rules.script.empty()) return;
  const Phase phase(clock, reporter);
  const auto doing = "run the " + rules.option + " " + rules.script.string() + " in the VM";
  const auto outcome = within(doing, [&] {
    const GuestScript script{.content = with_variables(rules),
                             .shell = rules.shell,
                             .environment = rules.environment,
                             .deadline = clock.now() + rules.timeout,
                             .watch = watch};
    return guest.run_script(script, cancellation);
  });
  if (std::holds_alternative<ScriptTimedOut>(outcome))
    throw Error(doing + ": it did not end within " + duration_text(rules.timeout) + " (" + rules.option +
                "-timeout)");
  if (std::holds_alternative<ScriptStopped>(outcome)) cancellation.check();
  const auto* exited = std::get_if<ScriptExited>(&outcome);
  if (exited == nullptr || exited->code != 0) {
    throw Error(doing + ": it " +
                (exited != nullptr ? "ended with exit code " + std::to_string(exited->code)
                                   : std::string("was killed by a signal")));
  }
  phase.done("Ran the " + rules.option);
}

}  // namespace sarde
