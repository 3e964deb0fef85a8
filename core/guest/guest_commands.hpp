#pragma once

#include <cstdint>
#include <string>

namespace sarde {

/// The commands that transfer a script to a guest and end it there. The script is sent on the standard input
/// of the command that then runs it. No SFTP is needed, and the script is complete in a file before it runs.
/// `nonce` (letters and digits) is used as the name of its folder and as a marker. On stdin, the marker shows
/// where the script begins; a profile that reads stdin gets the empty lines that are sent before it. On
/// stdout, the marker shows where the script's own output begins. It comes after anything that a profile
/// prints, and only if the upload succeeded.
struct GuestCommands {
  std::string run;           ///< for the SSH server's login shell
  std::string input_prefix;  ///< to send before the script
  std::string terminate;     ///< ends the script's process group with TERM
  std::string kill;          ///< ends it with KILL
  std::string remove;        ///< removes the script's folder
};

GuestCommands guest_commands(const std::string& shell, const std::string& nonce, std::uint64_t script_size);

}  // namespace sarde
