#include "executor/job/metrics.hpp"

#include <array>
#include <charconv>
#include <fmt/format.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/file_lock.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

struct Metric {
  std::string_view name;
  std::string_view type;
  std::string_view help;
};

constexpr std::array<Metric, 5> metrics_table{
    {{"sarde_phase_seconds", "histogram", "Time that a phase of a job took."},
     {"sarde_pulls_total", "counter",
      "Images obtained for jobs, by how: fetched, begun, up_to_date, cached."},
     {"sarde_pulled_bytes_total", "counter", "Compressed size of the images that were fetched."},
     {"sarde_failures_total", "counter",
      "Stages that failed, by stage and kind: job, host, stopped, script."},
     {"sarde_vms", "gauge", "VMs of jobs on this host, as of the last stage that ended."}}};

constexpr std::array<double, 14> bounds{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 900, 3600};

/// What a series is part of: sarde_phase_seconds for sarde_phase_seconds_bucket{…}.
bool is_of(const Metric& metric, std::string_view series) {
  const auto name = series.substr(0, series.find('{'));
  if (name == metric.name) return true;
  if (metric.type != "histogram" || !name.starts_with(metric.name)) return false;
  const auto rest = name.substr(metric.name.size());
  return rest == "_bucket" || rest == "_sum" || rest == "_count";
}

/// The series that an earlier process wrote. Lines that are none of ours are dropped.
std::map<std::string, double> series_in(const std::string& text) {
  std::map<std::string, double> series;
  for (const auto& line : split(text, '\n')) {
    const auto space = line.rfind(' ');
    if (line.starts_with('#') || space == std::string::npos) continue;
    double value = 0;
    const auto number = std::string_view(line).substr(space + 1);
    const auto read = std::from_chars(number.data(), number.data() + number.size(), value);
    if (read.ec == std::errc() && read.ptr == number.data() + number.size())
      series[line.substr(0, space)] = value;
  }
  return series;
}

std::string text_of(const std::map<std::string, double>& series) {
  std::string text;
  for (const auto& metric : metrics_table) {
    std::string lines;
    for (const auto& [name, value] : series)
      if (is_of(metric, name)) lines += fmt::format("{} {}\n", name, value);
    if (!lines.empty())
      text += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", metric.name, metric.help, metric.type) + lines;
  }
  return text;
}

}  // namespace

void Metrics::took(std::string_view phase, std::chrono::milliseconds time) {
  const auto seconds = static_cast<double>(time.count()) / 1000;
  // A bucket counts all that took no longer than its bound; one of which nothing is seen yet is there, too.
  for (const auto bound : bounds)
    added_[fmt::format("sarde_phase_seconds_bucket{{phase=\"{}\",le=\"{}\"}}", phase, bound)] +=
        seconds <= bound ? 1 : 0;
  added_[fmt::format("sarde_phase_seconds_bucket{{phase=\"{}\",le=\"+Inf\"}}", phase)] += 1;
  added_[fmt::format("sarde_phase_seconds_sum{{phase=\"{}\"}}", phase)] += seconds;
  added_[fmt::format("sarde_phase_seconds_count{{phase=\"{}\"}}", phase)] += 1;
}

std::chrono::milliseconds Metrics::time_of(const std::string& phase) const {
  const auto found = added_.find(fmt::format("sarde_phase_seconds_sum{{phase=\"{}\"}}", phase));
  const auto seconds = found == added_.end() ? 0 : found->second;
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

void Metrics::pulled(std::string_view how, std::uint64_t fetched_bytes) {
  added_[fmt::format("sarde_pulls_total{{how=\"{}\"}}", how)] += 1;
  added_["sarde_pulled_bytes_total"] += static_cast<double>(fetched_bytes);
}

void Metrics::failed(std::string_view stage, std::string_view kind) {
  added_[fmt::format("sarde_failures_total{{stage=\"{}\",kind=\"{}\"}}", stage, kind)] += 1;
}

void Metrics::write_to(const std::filesystem::path& file, unsigned running_vms, Clock& clock,
                       Cancellation& cancellation) const {
  within("metrics-file", [&] {
    constexpr std::chrono::seconds patience(5);
    make_folders(file.parent_path(), 0755);
    const auto lock = FileLock::wait_for(
        file.parent_path() / ("." + file.filename().string() + ".lock"),
        {.clock = clock, .cancellation = cancellation, .deadline = clock.now() + patience});
    auto series = series_in(read_file_if_there(file).value_or(""));
    for (const auto& [name, value] : added_) series[name] += value;
    series["sarde_vms"] = running_vms;
    write_file(file, text_of(series), 0644);
  });
}

}  // namespace sarde
