#include "executor/commands/list_command.hpp"

#include <algorithm>
#include <future>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"
#include "core/image/store/warm_templates.hpp"
#include "executor/commands/image_users.hpp"
#include "executor/commands/text_table.hpp"

namespace sarde {

namespace {

using nlohmann::ordered_json;
using States = std::map<std::string, KnownDomain>;

struct AskedStates {
  States states;
  std::optional<ImageUsers> users;
  std::string failure;  ///< why they are not known; empty if they are
};

AskedStates ask_for_states(const CommandTools& tools, const ListRequest& request) {
  AskedStates asked;
  std::vector<UnpackedFolder> folders;
  try {
    folders = unpacked_folders(tools.images.unpacked.folder());
    // Neither is there a VM that has an image's name, nor could one use what no image was unpacked to.
    if (!request.may_have_base_vms && folders.empty()) return asked;
  } catch (const Error& error) {
    tools.reporter.detail(std::string("Who uses which image is not known: ") + error.what());
  }
  try {
    asked.states = tools.hypervisor().domains();
  } catch (const Error& error) {
    asked.failure = error.what();
    return asked;
  }
  try {
    asked.users.emplace(tools.hypervisor(), folders, request.jobsdirs);
  } catch (const Error& error) {
    tools.reporter.detail(std::string("Who uses which image is not known: ") + error.what());
  }
  return asked;
}

/// The VMs and jobs that use the image, beside the VM that has its name.
std::vector<std::string> users_of(const CatalogEntry& entry, const AskedStates& asked) {
  return asked.users ? asked.users->but_base_vm(entry.config_digest.text()) : std::vector<std::string>();
}

/// Bytes of the saved states from which VMs of each image continue.
std::vector<std::uint64_t> saved_states(const CommandTools& tools, const std::vector<CatalogEntry>& entries) {
  std::vector<std::uint64_t> sizes;
  for (const auto& entry : entries) {
    auto& bytes = sizes.emplace_back(0);
    for (const auto& state :
         WarmTemplates::all_of(tools.images.unpacked.folder() / entry.manifest.digest.text()))
      if (state.refusal.empty()) bytes += state.bytes;
  }
  return sizes;
}

/// Whether the cache has all layers of each image.
std::vector<bool> layers_kept(const std::vector<CatalogEntry>& entries) {
  std::vector<bool> kept;
  for (const auto& entry : entries) kept.push_back(entry.layout.names_all(entry.blobs));
  return kept;
}

std::string as_json(const std::vector<CatalogEntry>& entries, const AskedStates& asked,
                    const std::vector<std::uint64_t>& saved, const std::vector<bool>& kept) {
  const auto& states = asked.states;
  auto list = ordered_json::array();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto& entry = entries[i];
    const auto state = states.find(entry.config_digest.text());
    list.push_back(
        {{"source", "oci"},
         {"name", entry.repository},
         {"tag", entry.tag.empty() ? ordered_json() : ordered_json(entry.tag)},
         {"digest", entry.manifest.digest.text()},
         {"id", entry.config_digest.text()},
         {"state", state == states.end() ? ordered_json() : ordered_json(state->second.is_running)},
         {"users", users_of(entry, asked)},
         {"layers_kept", kept[i]},
         {"saved_states", saved[i]}});
  }
  return json_text(list);
}

std::string shortened(const Digest& digest) {
  constexpr std::size_t digits = 12;
  return "sha256:" + digest.hex().substr(0, digits);
}

std::string as_table(const CommandTools& tools, const std::vector<CatalogEntry>& entries,
                     const AskedStates& asked, const std::vector<std::uint64_t>& saved,
                     const std::vector<bool>& kept) {
  const auto& states = asked.states;
  const bool has_users =
      std::ranges::any_of(entries, [&](const auto& entry) { return !users_of(entry, asked).empty(); });
  const bool has_states = std::ranges::any_of(saved, [](std::uint64_t bytes) { return bytes != 0; });
  const bool has_gaps = std::ranges::find(kept, false) != kept.end();
  TextTable table({"SOURCE", "NAME", "IMAGE ID", "STATE", has_gaps ? "LAYERS" : "",
                   has_users ? "USED BY" : "", has_states ? "WARM START" : ""});
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto& entry = entries[i];
    const auto state = states.find(entry.config_digest.text());
    const bool has_tag = !entry.tag.empty() && !Digest::parse(entry.tag);
    table.add({"oci", entry.repository + (has_tag ? ":" + entry.tag : "@" + shortened(entry.manifest.digest)),
               shortened(entry.config_digest),
               state == states.end()      ? "missing"
               : state->second.is_running ? "running"
                                          : "stopped",
               !has_gaps                                                                       ? ""
               : kept[i]                                                                       ? "kept"
               : PartialImage::is_there(tools.images.unpacked.folder(), entry.manifest.digest) ? "coming"
                                                                                               : "not kept",
               join(users_of(entry, asked), ", "), saved[i] == 0 ? "" : size_text(saved[i])});
  }
  return table.text(tools.columns);
}

}  // namespace

std::string list_images(const CommandTools& tools, const ListRequest& request) {
  // Loading libvirt takes as long as reading about a hundred images, so both are done at the same time.
  auto known_states = std::async(std::launch::async, [&] { return ask_for_states(tools, request); });
  const auto entries = tools.images.catalogue.entries(
      [&](const std::string& line) { tools.reporter.warn("WARNING: " + line); });
  const auto known = known_states.get();
  // Without libvirt nothing is known about VMs, but the images can still be listed.
  if (!known.failure.empty() && !entries.empty())
    tools.reporter.warn("WARNING: " + known.failure + "; all VMs are shown as missing");
  const auto saved = saved_states(tools, entries);
  const auto kept = layers_kept(entries);
  return request.form == AnswerForm::json ? as_json(entries, known, saved, kept)
                                          : as_table(tools, entries, known, saved, kept);
}

}  // namespace sarde
