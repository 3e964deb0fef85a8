#pragma once

#include <string>
#include <utility>
#include <vector>

namespace sarde {

/// Runs a program that people use at this terminal: it has this program's standard input, output and errors,
/// and signals from the terminal are its alone until it ends. Returns its exit code; 128 and the signal's
/// number if a signal has ended it. Throws Error if it cannot be started.
int run_in_foreground(const std::vector<std::string>& argv,
                      const std::vector<std::pair<std::string, std::string>>& environment);

}  // namespace sarde
