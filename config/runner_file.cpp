#include "config/runner_file.hpp"

#include <algorithm>

#include "config/toml_text.hpp"
#include "core/foundation/error.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

constexpr std::int64_t most_jobs = 100'000;

std::optional<unsigned> count_in(const toml::table& table, std::string_view key) {
  const auto number = table[key].value<std::int64_t>().value_or(0);
  return number < 1 ? std::nullopt : std::optional(static_cast<unsigned>(std::min(number, most_jobs)));
}

RunnerEntry runner_in(const toml::table& table) {
  RunnerEntry runner{.name = table["name"].value_or(std::string()),
                     .executor = table["executor"].value_or(std::string())};
  const auto* custom = table["custom"].as_table();
  if (custom == nullptr) return runner;
  for (const std::string stage : {"config", "prepare", "run", "cleanup"}) {
    runner.programs.emplace_back(stage, (*custom)[stage + "_exec"].value_or(std::string()));
    const auto key = stage + "_exec_timeout";
    if (const auto limit = count_in(*custom, key)) runner.timeouts.emplace_back(key, *limit);
  }
  return runner;
}

}  // namespace

std::optional<RunnerFile> read_runner_file(const std::filesystem::path& path) {
  std::error_code denied;
  if (!std::filesystem::is_regular_file(path, denied)) return std::nullopt;
  std::string text;
  try {
    text = read_file(path);
  } catch (const Error&) {
    return std::nullopt;
  }
  try {
    const auto table = toml::parse(text);
    RunnerFile file{.path = path, .concurrent = count_in(table, "concurrent").value_or(1)};
    if (const auto* runners = table["runners"].as_array()) {
      for (const auto& node : *runners)
        if (const auto* runner = node.as_table()) file.runners.push_back(runner_in(*runner));
    }
    return file;
  } catch (const toml::parse_error& error) {
    throw Error(path.string() + ", line " + std::to_string(error.source().begin.line) + ": " +
                std::string(error.description()));
  }
}

std::filesystem::path runner_file_path(const std::vector<std::string>& command_line,
                                       const Environment& environment, bool is_root) {
  for (std::size_t i = 0; i < command_line.size(); ++i) {
    const auto& word = command_line[i];
    constexpr std::string_view assigned = "--config=";
    if (word.starts_with(assigned)) return word.substr(assigned.size());
    if ((word == "--config" || word == "-c") && i + 1 < command_line.size()) return command_line[i + 1];
  }
  if (const auto given = environment.non_empty("CONFIG_FILE")) return *given;
  if (is_root) return "/etc/gitlab-runner/config.toml";
  return std::filesystem::path(environment.non_empty("HOME").value_or("/")) / ".gitlab-runner/config.toml";
}

}  // namespace sarde
