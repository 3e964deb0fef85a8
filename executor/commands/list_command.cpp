#include "executor/commands/list_command.hpp"

#include <algorithm>
#include <array>
#include <future>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace {

using nlohmann::ordered_json;
using States = std::map<std::string, KnownDomain>;

struct AskedStates {
  States states;
  std::string failure;  ///< why they are not known; empty if they are
};

AskedStates ask_for_states(const CommandTools& tools) {
  try {
    return {.states = tools.hypervisor().domains(), .failure = {}};
  } catch (const Error& error) {
    return {.states = {}, .failure = error.what()};
  }
}

std::string as_json(const std::vector<CatalogEntry>& entries, const States& states) {
  auto list = ordered_json::array();
  for (const auto& entry : entries) {
    const auto state = states.find(entry.config_digest.text());
    list.push_back(
        {{"source", "oci"},
         {"name", entry.repository},
         {"tag", entry.tag.empty() ? ordered_json() : ordered_json(entry.tag)},
         {"digest", entry.manifest.digest.text()},
         {"id", entry.config_digest.text()},
         {"state", state == states.end() ? ordered_json() : ordered_json(state->second.is_running)}});
  }
  return json_text(list);
}

std::string shortened(const Digest& digest) {
  constexpr std::size_t digits = 12;
  return "sha256:" + digest.hex().substr(0, digits);
}

std::string as_table(const std::vector<CatalogEntry>& entries, const States& states) {
  std::vector<std::array<std::string, 4>> rows{{"SOURCE", "NAME", "IMAGE ID", "STATE"}};
  for (const auto& entry : entries) {
    const auto state = states.find(entry.config_digest.text());
    const bool has_tag = !entry.tag.empty() && !Digest::parse(entry.tag);
    rows.push_back({"oci",
                    entry.repository + (has_tag ? ":" + entry.tag : "@" + shortened(entry.manifest.digest)),
                    shortened(entry.config_digest),
                    state == states.end()      ? "missing"
                    : state->second.is_running ? "running"
                                               : "stopped"});
  }
  std::array<std::size_t, 4> widths{};
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::vector<std::string> lines;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i + 1 < row.size(); ++i)
      line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    lines.push_back(line + row.back());
  }
  return join(lines, "\n");
}

}  // namespace

std::string list_images(const CommandTools& tools, AnswerForm form) {
  // Loading libvirt takes as long as reading about a hundred images, so both are done at the same time.
  auto asked = std::async(std::launch::async, [&] { return ask_for_states(tools); });
  const auto entries = tools.images.catalogue.entries(
      [&](const std::string& line) { tools.reporter.warn("WARNING: " + line); });
  const auto [states, failure] = asked.get();
  // Without libvirt nothing is known about VMs, but the images can still be listed.
  if (!failure.empty() && !entries.empty())
    tools.reporter.warn("WARNING: " + failure + "; all VMs are shown as missing");
  return form == AnswerForm::json ? as_json(entries, states) : as_table(entries, states);
}

}  // namespace sarde
