#include "core/guest/guest_commands.hpp"

#include <algorithm>
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

/// The script did not come: a profile has read what was sent, or another shell has. Shows the lines of
/// profiles that may have done it.
constexpr std::string_view name_the_profile =
    R"sh({ echo "these lines of login profiles may be the cause:"; grep -nE "(^|[ ;&])(exec|tmux|screen|cat|read) " /etc/profile /etc/bash.bashrc /etc/zsh/zshenv ~/.bashrc ~/.bash_profile ~/.profile ~/.zshenv ~/.cshrc ~/.tcshrc ~/.config/fish/config.fish 2>/dev/null; exit 1; })sh";

/// L, T, n: the first process, its start, the mark. `scan` sets f (the script's processes) and o (others that
/// started since); an entry of t is pid:parent:group:session:start. Processes of its own session M are left
/// out: the command itself, and what serves its connection. By time alone only what this user started between
/// the script's begin and the command's own, B, counts, and no service of systemd's: the next stage may have
/// begun before this command ends. `up` sets u, the guest's seconds. One line in the end, for csh takes no
/// other in quotes.
constexpr std::string_view end_program = R"sh(
if ! [ -r /proc/$$/stat ]; then kill -TERM -$L 2>/dev/null; sleep 5; kill -KILL -$L 2>/dev/null; echo done; exit 0; fi;
read -r s </proc/$$/stat; s=${s##*) }; set -- $s; M=$4; B=${20};
owner() { while read -r k v r; do [ "$k" = Uid: ] && break; done </proc/$1/status; echo $v; };
place() { read -r g </proc/$1/cgroup; echo "$g"; };
U=$(owner $$); G=$(place $$ 2>/dev/null);
up() { read -r u v </proc/uptime; u=${u%%.*}; };
scan() {
t=; for d in /proc/[0-9]*; do { read -r s <$d/stat; } 2>/dev/null || continue; s=${s##*) }; set -- $s;
[ "$1" = Z ] || [ "$4" = $M ] || t="$t ${d#/proc/}:$2:$3:$4:${20}"; done;
E=; for d in $(grep -ls "SARDE_SCRIPT=$n" /proc/[0-9]*/environ 2>/dev/null); do d=${d%/environ}; E="$E ${d#/proc/} "; done;
f=" "; again=1; while [ $again = 1 ]; do again=0; o=; for x in $t; do
IFS=:; set -- $x; unset IFS; m=0;
case $f in *" $1 "*) continue;; *" $2 "*) m=1;; esac;
case $E in *" $1 "*) m=1;; esac;
[ $3 = $L ] || [ $4 = $L ] || [ $2 = $L ] && m=1;
if [ $m = 0 ] && [ $2 != 2 ] && [ $T != 0 ] && [ $5 -ge $T ] && [ $5 -le $B ]; then
{ read -r c </proc/$1/comm; } 2>/dev/null || continue;
case $c in sshd*|dropbear|systemd*|"(sd-"*|login|agetty) ;; *) g=$(place $1 2>/dev/null);
case $g in "$G") ;; *:/system.slice/*.service*) o="$o $1"; continue;; esac;
if [ "$(owner $1 2>/dev/null)" = "$U" ]; then m=1; else o="$o $1"; fi;; esac; fi;
[ $m = 0 ] || { f="$f$1 "; again=1; }; done; done; };
send() { kill -$1 $f 2>/dev/null || sudo -n kill -$1 $f 2>/dev/null || :; };
until_gone() { while scan; [ "$f" != " " ]; do up; [ $u -lt $1 ] || break; [ "$2" != KILL ] || send KILL;
sleep 0.2 2>/dev/null || sleep 1; done; };
up; W=$((u+5)); scan; send TERM; until_gone $W TERM; [ "$f" = " " ] || { send KILL; until_gone $((W+2)) KILL; };
for p in $f; do echo "left $p $(cat /proc/$p/comm 2>/dev/null)"; done;
for p in $o; do echo "other $p $(cat /proc/$p/comm 2>/dev/null)"; done; echo done)sh";

std::string exports_of(const ScriptEnvironment& environment) {
  std::string text;
  if (!environment.timezone.empty()) text += "export TZ=" + environment.timezone + "; ";
  if (!environment.folder.empty()) text += "export PATH=\"$PATH:" + environment.folder + "\"; ";
  return text;
}

GuestCommands posix_commands(const std::string& shell, const std::string& nonce, std::uint64_t size,
                             const ScriptEnvironment& environment) {
  const auto folder = "/tmp/sarde-" + nonce;
  const auto script = folder + (shell == "pwsh" ? "/script.ps1" : "/script");
  GuestCommands commands;
  // The script's shell takes the place of this one, so its exit status, or the signal that killed it, is the
  // command's own. It must lead a process group, for a stop to reach all of it: OpenSSH sees to that,
  // Dropbear does not. setsid(1) forks if it is called as a leader, hence the look at field 5 of proc(5)'s
  // stat.
  commands.run = through_sh(fmt::format(
      R"sh(umask 077; while IFS= read -r l && [ "$l" != {0} ]; do :; done; [ "$l" = {0} ] || {5}; mkdir {1} && cat >{2} && [ "$(wc -c <{2})" -eq {3} ] && chmod 700 {2} || exit 1; g=$$; [ -r /proc/$$/stat ] && read -r a b c d g e </proc/$$/stat; s=; [ "$g" = $$ ] || s=setsid; umask 022; {6}export SARDE_SCRIPT={0}; set -- $e; echo {0} $$ ${{17:-0}}; exec $s {4} </dev/null)sh",
      nonce, folder, script, size, posix_interpreter(shell, script), name_the_profile,
      exports_of(environment)));
  commands.input_prefix = std::string(16, '\n') + commands.run + "\n" + nonce + "\n";
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

GuestCommands windows_commands(const std::string& nonce, std::uint64_t size,
                               const ScriptEnvironment& environment) {
  const auto folder = "$d = Join-Path $env:TEMP 'sarde-" + nonce + "'; ";
  GuestCommands commands;
  commands.run = encoded_powershell(fmt::format(
      "$ErrorActionPreference = 'Stop'; {0}$f = Join-Path $d 'script.ps1'; New-Item -ItemType Directory "
      "-Path $d | Out-Null; "
      "$o = [IO.File]::Create($f); [Console]::OpenStandardInput().CopyTo($o); $o.Close(); "
      "if ((Get-Item $f).Length -ne {1}) {{ exit 1 }}; "
      "[Console]::Out.Write(\"{2} $PID 0`n\"); [Console]::Out.Flush(); "
      "{3}& powershell -NoProfile -NonInteractive -ExecutionPolicy Bypass -File $f; exit $LASTEXITCODE",
      folder, size, nonce, environment.folder.empty() ? "" : "$env:PATH += ';" + environment.folder + "'; "));
  commands.remove = encoded_powershell(folder + "Remove-Item -Recurse -Force $d");
  return commands;
}

}  // namespace

std::string end_command(const std::string& shell, const std::string& nonce, const FirstProcess& first) {
  if (shell == "powershell")
    return encoded_powershell("taskkill /T /F /PID " + std::to_string(first.pid) + "; Write-Output done");
  auto program = fmt::format("L={}; T={}; n={};", first.pid, first.started, nonce) + std::string(end_program);
  std::ranges::replace(program, '\n', ' ');
  return through_sh(program);
}

GuestCommands guest_commands(const std::string& shell, const std::string& nonce, std::uint64_t script_size,
                             const ScriptEnvironment& environment) {
  return shell == "powershell" ? windows_commands(nonce, script_size, environment)
                               : posix_commands(shell, nonce, script_size, environment);
}

}  // namespace sarde
