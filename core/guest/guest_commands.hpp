#pragma once

#include <cstdint>
#include <string>

#include "core/guest/guest_shell.hpp"

namespace sarde {

/// The commands that transfer a script to a guest and end it there. The script is sent on the standard input
/// of the command that then runs it. No SFTP is needed, and the script is complete in a file before it runs.
/// `nonce` (letters and digits) is used as the name of its folder and as a marker. On stdin, the marker shows
/// where the script begins; a profile that reads stdin gets the empty lines that are sent before it. On
/// stdout, the marker shows where the script's own output begins. It comes after anything that a profile
/// prints, and only if the upload succeeded; behind it, on the same line, follow the number of the script's
/// first process and when that started, in the guest's clock ticks (proc(5), stat; 0: not known).
///
/// What is sent before the script also holds the command itself: a profile that replaces the shell (`exec
/// zsh`) drops the command, and the new shell takes its commands from stdin.
struct GuestCommands {
  std::string run;           ///< for the SSH server's login shell
  std::string input_prefix;  ///< to send before the script
  std::string remove;        ///< removes the script's folder
};

/// The script's first process.
struct FirstProcess {
  std::uint64_t pid = 0;
  std::uint64_t started = 0;  ///< ticks since the guest booted; 0: not known
};

/// Ends all processes of the script: with TERM, after 5 s with KILL. It finds them by their group, their
/// session, their parents, the mark in their environment, and, of the same user, by when they started. It
/// prints a line for each that stays, `left PID NAME`, for each process of others that has started
/// meanwhile, `other PID NAME`, and at the end `done`. It takes 8 s at most, by the guest's clock.
std::string end_command(const std::string& shell, const std::string& nonce, const FirstProcess& first);

GuestCommands guest_commands(const std::string& shell, const std::string& nonce, std::uint64_t script_size,
                             const ScriptEnvironment& environment = {});

}  // namespace sarde
