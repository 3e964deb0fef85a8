#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/system/clock.hpp"

namespace sarde {

/// A program to run: its argv (no shell is used), its complete environment, and its standard input.
struct Program {
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> environment;
  std::string input = {};
};

/// How a program ended, and what it wrote (the last 4 MiB of each stream).
struct ProgramResult {
  int exit_code = -1;  ///< -1: the program was ended by a signal
  int signal = 0;
  std::string output;
  std::string errors;

  [[nodiscard]] bool succeeded() const { return exit_code == 0; }
};

/// A program that is running.
struct RunningProgram {
  int pid = 0;
  std::chrono::milliseconds since_start{};
};

struct ProgramLimits {
  Clock& clock;
  Cancellation& cancellation;
  TimePoint deadline;
  /// Called every `heartbeat_every` while the program runs.
  std::function<void(const RunningProgram&)> heartbeat = {};
  std::chrono::milliseconds heartbeat_every{10'000};
};

/// Runs the program until it ends. It stays in this program's process group, because gitlab-runner sends its
/// signals to that group. It starts with a clean signal mask, and the kernel kills it if this program dies.
/// When the deadline passes or a stop is requested, the program is sent SIGTERM and, 3 s later, SIGKILL, and
/// Error or Cancelled is thrown. Throws Error if the program cannot be started (and says so if it is not
/// installed).
ProgramResult run_program(const Program& program, const ProgramLimits& limits);

}  // namespace sarde
