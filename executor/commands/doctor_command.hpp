#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "executor/commands/selftest_command.hpp"

namespace sarde {

/// What is known of one runner in gitlab-runner's config.toml.
struct RunnerFacts {
  std::string name;
  std::vector<std::pair<std::string, std::string>> programs;           ///< by stage; empty: not set
  std::vector<std::pair<std::string, std::chrono::seconds>> timeouts;  ///< by setting
};

struct DoctorRequest {
  const SelftestRequest& host;
  std::filesystem::path program;      ///< this one
  std::filesystem::path runner_file;  ///< gitlab-runner's config.toml
  /// The runners with the custom executor; nothing if there is no file, or if it may not be read. May throw
  /// Error.
  std::function<std::optional<std::vector<RunnerFacts>>()> runners;
  unsigned concurrency = 1;
  std::chrono::seconds longest_prepare{};  ///< that the settings allow, without the fetch
  std::vector<std::filesystem::path> settings_files = {};
  std::string guest_runner = {};              ///< the setting
  std::string warm = {};                    ///< the setting
  std::filesystem::path runner_of_host = {};  ///< gitlab-runner's binary; empty: none
};

/// `doctor`: what `selftest` checks, and the rest of the host: gitlab-runner's configuration and time limits,
/// room, memory, the files' rights, DHCP, security modules, and what other commands need. Each failure ends
/// with what to type.
SelftestAnswer examine(const CommandTools& tools, const DoctorRequest& request);

}  // namespace sarde
