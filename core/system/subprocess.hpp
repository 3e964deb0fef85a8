#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/system/clock.hpp"

namespace sarde {

/// A program to run: argv without a shell, its environment whole, its standard input.
struct Program {
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> environment;
  std::string input = {};
};

/// How a program ended, and what it wrote (each stream's last 4 MiB).
struct ProgramResult {
  int exit_code = -1;  ///< -1: ended by a signal
  int signal = 0;
  std::string output;
  std::string errors;

  [[nodiscard]] bool succeeded() const { return exit_code == 0; }
};

/// A program that runs.
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

/// Runs it to its end. It stays in our process group, for gitlab-runner signals that; it starts with a clean
/// signal mask; the kernel kills it should we die. Past the deadline or when asked to stop it is sent
/// SIGTERM, then SIGKILL 3 s later, and Error or Cancelled is thrown. Throws Error if it cannot be started
/// (says so if it is not installed).
ProgramResult run_program(const Program& program, const ProgramLimits& limits);

}  // namespace sarde
