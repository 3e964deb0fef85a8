#include "core/image/store/unpacked_marker.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_reading.hpp"
#include "core/foundation/text.hpp"
#include "core/image/store/disk_checks.hpp"
#include "core/system/files.hpp"
#include "core/system/process_identity.hpp"

namespace sarde {

using nlohmann::json;

namespace {

constexpr auto marker_name = ".sarde-image.json";
/// Tells those who sync what was not synced which folders to look at.
constexpr auto unsynced_name = ".sarde-unsynced";

/// Version 1.0 and before had the digest in front of what it knew of the disk's stretches.
std::string digest_in_older(const std::string& stretches) {
  return split(stretches, ' ').front();
}

}  // namespace

std::vector<std::string> UnpackedMarker::names() const {
  std::vector<std::string> names;
  for (const auto& disk : disks) names.push_back(disk.name);
  return names;
}

void write_unpacked_marker(const std::filesystem::path& folder, const UnpackedMarker& marker) {
  json value{
      {"config", marker.config_digest}, {"manifest", marker.manifest_digest}, {"disks", json::array()}};
  for (const auto& disk : marker.disks) {
    json entry{{"name", disk.name}, {"look", look_of(folder / disk.name)}, {"layers", json::array()}};
    if (!disk.digest.empty()) entry["digest"] = disk.digest;
    if (disk.pieces.size != 0) entry["pieces"] = disk.pieces.text();
    for (const auto& span : disk.spans)
      entry["layers"].push_back({{"digest", span.layer.text()}, {"at", span.at}, {"length", span.length}});
    value["disks"].push_back(std::move(entry));
  }
  if (marker.boot.empty()) {
    write_file(folder / marker_name, value.dump(2), 0600);
    return;
  }
  value["boot"] = marker.boot;
  write_new_file(folder / unsynced_name, "");
  write_new_file(folder / marker_name, value.dump(2));
}

std::optional<std::pair<UnpackedMarker, DisksState>> read_unpacked_marker(
    const std::filesystem::path& folder) {
  const auto path = folder / marker_name;
  const auto text = read_file_if_there(path);
  if (!text) return std::nullopt;
  return read_json(*text, path.string(), Blame::host, [&](const json& value) {
    UnpackedMarker marker{.config_digest = value.at("config").get<std::string>(),
                          .manifest_digest = value.value("manifest", ""),
                          .disks = {},
                          .boot = value.value("boot", "")};
    auto state = marker.boot.empty() || marker.boot == boot_id() ? DisksState::untouched : DisksState::changed;
    for (const auto& disk : value.at("disks")) {
      marker.disks.push_back({.name = disk.at("name").get<std::string>()});
      for (const auto& span : disk.value("layers", json::array())) {
        const auto digest = Digest::parse(span.at("digest").get<std::string>());
        if (!digest) continue;
        marker.disks.back().spans.push_back({.layer = *digest,
                                             .at = span.at("at").get<std::uint64_t>(),
                                             .length = span.at("length").get<std::uint64_t>()});
      }
      marker.disks.back().digest = disk.value("digest", digest_in_older(disk.value("stretches", "")));
      marker.disks.back().pieces = DiskPieces::parse(disk.value("pieces", ""));
      if (look_of(folder / marker.disks.back().name) != disk.at("look").get<std::string>())
        state = DisksState::changed;
    }
    return std::optional(std::pair{std::move(marker), state});
  });
}

void sync_unpacked(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (!std::filesystem::exists(folder / unsynced_name, ignored)) return;
  auto found = read_unpacked_marker(folder);
  if (!found || found->second == DisksState::changed) return;
  auto& marker = found->first;
  for (const auto& disk : marker.disks) {
    const auto file = open_to_read(folder / disk.name);
    if (::fsync(file.get()) != 0) throw Error("sync " + (folder / disk.name).string() + ": " + errno_text(errno));
  }
  marker.boot.clear();
  write_unpacked_marker(folder, marker);
  remove_if_there(folder / unsynced_name);
  sync_folder(folder.parent_path());
}

void forget_unpacked(const std::filesystem::path& folder) {
  remove_if_there(folder / marker_name);
}

std::vector<std::string> disks_changed_by_sample(const std::filesystem::path& folder,
                                                 const UnpackedMarker& marker, Cancellation& cancellation) {
  std::vector<std::string> changed;
  for (const auto& disk : marker.disks) {
    if (!sample_agrees(folder / disk.name, disk.pieces, cancellation)) changed.push_back(disk.name);
  }
  return changed;
}

std::vector<std::string> disks_of_other_content(const std::filesystem::path& folder,
                                                const UnpackedMarker& marker, Cancellation& cancellation) {
  std::vector<std::string> changed;
  for (const auto& disk : marker.disks) {
    if (!disk.digest.empty() && digest_of_file(folder / disk.name, cancellation).text() != disk.digest)
      changed.push_back(disk.name);
  }
  return changed;
}

}  // namespace sarde
