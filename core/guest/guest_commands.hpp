#pragma once

#include <cstdint>
#include <string>

namespace sarde {

/// The commands that carry a script into a guest and end it there. The script travels on the standard input
/// of the command that then runs it: no SFTP is needed, and it is a file before it runs. `nonce` (letters and
/// digits) names its folder and marks, on stdin, where the script begins – a profile that reads stdin gets
/// empty lines that go before – and, on stdout, where the script's own output begins – behind whatever a
/// profile prints, and only if the upload succeeded.
struct GuestCommands {
  std::string run;           ///< for the SSH server's login shell
  std::string input_prefix;  ///< to send before the script
  std::string terminate;     ///< ends the script's process group: TERM
  std::string kill;          ///< the same: KILL
  std::string remove;        ///< takes the script's folder away
};

GuestCommands guest_commands(const std::string& shell, const std::string& nonce, std::uint64_t script_size);

}  // namespace sarde
