#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/system/environment.hpp"

namespace sarde {

/// A `[[runners]]` of gitlab-runner's config.toml, as far as it concerns this program
/// (docs.gitlab.com/runner/configuration/advanced-configuration).
struct RunnerEntry {
  std::string name = {};
  std::string executor = {};
  /// The stages' programs, by stage: config, prepare, run, cleanup; empty where not set.
  std::vector<std::pair<std::string, std::string>> programs = {};
  /// Their time limits in seconds, by setting (prepare_exec_timeout); only those that are set.
  std::vector<std::pair<std::string, std::chrono::seconds>> timeouts = {};
};

/// gitlab-runner's config.toml.
struct RunnerFile {
  std::filesystem::path path;
  unsigned concurrent = 1;  ///< jobs at once, of all runners together
  std::vector<RunnerEntry> runners = {};
};

/// Reads it. Nothing if there is no such file, or if this account may not read it. Throws Error if it is not
/// TOML.
std::optional<RunnerFile> read_runner_file(const std::filesystem::path& path);

/// Where gitlab-runner's config.toml is: the --config of this gitlab-runner's own command line (its words),
/// if it has one; otherwise its variable CONFIG_FILE; otherwise /etc/gitlab-runner/config.toml for root and
/// ~/.gitlab-runner/config.toml for others.
std::filesystem::path runner_file_path(const std::vector<std::string>& command_line,
                                       const Environment& environment, bool is_root);

}  // namespace sarde
