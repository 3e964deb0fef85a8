#include "core/guest/guest_commands.hpp"

#include <fmt/format.h>

#include "core/foundation/base64.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace {

/// Any login shell passes this on, csh and fish too: the text has no single quote.
std::string through_sh(const std::string& text) {
  return "exec sh -c " + shell_quoted(text);
}

std::string posix_interpreter(const std::string& shell, const std::string& script) {
  if (shell == "pwsh") return "pwsh -NoProfile -NonInteractive -ExecutionPolicy Bypass -File " + script;
  return shell + " " + script;
}

GuestCommands posix_commands(const std::string& shell, const std::string& nonce, std::uint64_t size) {
  const auto folder = "/tmp/sarde-" + nonce;
  const auto script = folder + (shell == "pwsh" ? "/script.ps1" : "/script");
  GuestCommands commands;
  // The script's shell takes the place of this one, so its exit status, or the signal that killed it, is the
  // command's own. It must lead a process group, for a stop to reach all of it: OpenSSH sees to that,
  // Dropbear does not. setsid(1) forks if it is called as a leader, hence the look at field 5 of proc(5)'s
  // stat.
  commands.run = through_sh(fmt::format(
      R"sh(umask 077; while IFS= read -r l && [ "$l" != {0} ]; do :; done; mkdir {1} && cat >{2} && [ "$(wc -c <{2})" -eq {3} ] && chmod 700 {2} && echo $$ >{1}/pid || exit 1; g=$$; [ -r /proc/$$/stat ] && read -r a b c d g e </proc/$$/stat; s=; [ "$g" = $$ ] || s=setsid; umask 022; echo {0}; exec $s {4} </dev/null)sh",
      nonce, folder, script, size, posix_interpreter(shell, script)));
  commands.input_prefix = std::string(16, '\n') + nonce + "\n";
  for (auto [command, signal] : {std::pair{&commands.terminate, "TERM"}, std::pair{&commands.kill, "KILL"}}) {
    *command = through_sh(fmt::format("kill -{0} -$(cat {1}/pid)", signal, folder));
  }
  commands.remove = through_sh("rm -rf " + folder);
  return commands;
}

/// PowerShell takes a program as base64 of UTF-16LE, which no shell in between can misread.
std::string encoded_powershell(const std::string& program) {
  std::string wide;
  for (const char c : program) {
    wide += c;
    wide += '\0';
  }
  return "powershell -NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand " + to_base64(wide);
}

GuestCommands windows_commands(const std::string& nonce, std::uint64_t size) {
  const auto folder = "$d = Join-Path $env:TEMP 'sarde-" + nonce + "'; ";
  GuestCommands commands;
  commands.run = encoded_powershell(fmt::format(
      "$ErrorActionPreference = 'Stop'; {0}$f = Join-Path $d 'script.ps1'; New-Item -ItemType Directory "
      "-Path $d | Out-Null; "
      "$o = [IO.File]::Create($f); [Console]::OpenStandardInput().CopyTo($o); $o.Close(); "
      "if ((Get-Item $f).Length -ne {1}) {{ exit 1 }}; [IO.File]::WriteAllText((Join-Path $d 'pid'), "
      "\"$PID\"); "
      "[Console]::Out.Write(\"{2}`n\"); [Console]::Out.Flush(); "
      "& powershell -NoProfile -NonInteractive -ExecutionPolicy Bypass -File $f; exit $LASTEXITCODE",
      folder, size, nonce));
  commands.terminate = encoded_powershell(folder + "taskkill /T /F /PID (Get-Content (Join-Path $d 'pid'))");
  commands.kill = commands.terminate;
  commands.remove = encoded_powershell(folder + "Remove-Item -Recurse -Force $d");
  return commands;
}

}  // namespace

GuestCommands guest_commands(const std::string& shell, const std::string& nonce, std::uint64_t script_size) {
  return shell == "powershell" ? windows_commands(nonce, script_size)
                               : posix_commands(shell, nonce, script_size);
}

}  // namespace sarde
