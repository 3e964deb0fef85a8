#pragma once

#include <string>
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

}  // namespace sarde
