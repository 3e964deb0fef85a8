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

/// How a program ended, and what it wrote (each stream's last 256 KiB).
struct ProgramResult {
  int exit_code = -1;  ///< -1: ended by a signal
  int signal = 0;
  std::string output;
  std::string errors;

  [[nodiscard]] bool succeeded() const { return exit_code == 0; }
};

struct ProgramLimits {
  Clock& clock;
  Cancellation& cancellation;
  TimePoint deadline;
  /// Called every `heartbeat_every` while the program runs, with the time since its start.
  std::function<void(std::chrono::milliseconds)> heartbeat = {};
  std::chrono::milliseconds heartbeat_every{10'000};
};

/// Runs it to its end. It stays in our process group, for gitlab-runner signals that; it starts with a clean
/// signal mask; the kernel kills it should we die. Past the deadline or when asked to stop it is sent
/// SIGTERM, then SIGKILL 3 s later, and Error or Cancelled is thrown. Throws Error if it cannot be started
/// (says so if it is not installed).
ProgramResult run_program(const Program& program, const ProgramLimits& limits);

}  // namespace sarde
