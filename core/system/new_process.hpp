#pragma once

#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "core/foundation/unique_fd.hpp"

namespace sarde {

// What the ways to start a process have in common.

/// A pipe whose ends no other program gets (O_CLOEXEC). Throws Error.
struct Pipe {
  Pipe();

  UniqueFd read_end;
  UniqueFd write_end;
};

/// NAME=value, as execve(2) takes them.
std::vector<std::string> as_environ(const std::vector<std::pair<std::string, std::string>>& variables);

/// The null-terminated array that execve(2) takes; valid as long as the texts are neither changed nor moved.
std::vector<char*> pointers_to(std::vector<std::string>& texts);

/// Descriptors for a new process.
struct StandardFiles {
  int in = -1;
  int out = -1;
  int err = -1;
};

/// Starts a program (no shell is used) with this complete environment, and returns its process number; the
/// caller waits for it. It stays in this program's process group, starts with a clean signal mask, gets no
/// other descriptors of ours, and is killed by the kernel when the thread that started it ends. Throws Error
/// if it cannot be started, and says so if it is not installed.
pid_t start_process(std::vector<std::string> argv,
                    const std::vector<std::pair<std::string, std::string>>& environment,
                    const StandardFiles& files);

}  // namespace sarde
