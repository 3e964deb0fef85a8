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

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr auto marker_name = ".sarde-image.json";
/// Tells those who sync what was not synced which folders to look at.
constexpr auto unsynced_name = ".sarde-unsynced";

/// Version 0.1.0 had the digest in front of what it knew of the disk's stretches.
std::string digest_in_older(const std::string& stretches) {
  return split(stretches, ' ').front();
}

}  // namespace

std::vector<std::string> UnpackedMarker::names() const {
  std::vector<std::string> names;
  for (const auto& disk : disks) names.push_back(disk.name);
  return names;
}

bool UnpackedMarker::is_lost() const {
  return !boot.empty() && boot != boot_id();
}

void write_unpacked_marker(const fs::path& folder, const UnpackedMarker& marker) {
  json value{
      {"config", marker.config_digest}, {"manifest", marker.manifest_digest}, {"disks", json::array()}};
  if (marker.private_to) value["private_to"] = *marker.private_to;
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

std::optional<std::pair<UnpackedMarker, DisksState>> read_unpacked_marker(const fs::path& folder) {
  const auto path = folder / marker_name;
  const auto text = read_file_if_there(path);
  if (!text) return std::nullopt;
  return read_json(*text, path.string(), Blame::host, [&](const json& value) {
    UnpackedMarker marker{.config_digest = value.at("config").get<std::string>(),
                          .manifest_digest = value.value("manifest", ""),
                          .disks = {},
                          .private_to = value.contains("private_to")
                                            ? std::optional(value.at("private_to").get<std::string>())
                                            : std::nullopt,
                          .boot = value.value("boot", "")};
    auto state = marker.is_lost() ? DisksState::changed : DisksState::untouched;
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

bool is_unsynced(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / unsynced_name, ignored);
}

void sync_unpacked(const fs::path& folder, const std::function<std::optional<FileLock>()>& lock) {
  const auto text = read_file_if_there(folder / marker_name);
  auto found = read_unpacked_marker(folder);
  if (!found || found->second == DisksState::changed) return;
  auto& marker = found->first;
  for (const auto& disk : marker.disks) {
    const auto file = open_to_read(folder / disk.name);
    if (::fsync(file.get()) != 0)
      throw Error("sync " + (folder / disk.name).string() + ": " + errno_text(errno));
  }
  const auto locked = lock();
  // Another process may have unpacked it again by now.
  if (!locked || read_file_if_there(folder / marker_name) != text) return;
  marker.boot.clear();
  write_unpacked_marker(folder, marker);
  remove_if_there(folder / unsynced_name);
  sync_folder(folder.parent_path());
}

void mark_damaged(const fs::path& folder) {
  auto found = read_unpacked_marker(folder);
  if (!found) return;
  found->first.boot = "found damaged";  // which is no boot's name
  remove_if_there(folder / unsynced_name);
  remove_if_there(folder / marker_name);
  write_unpacked_marker(folder, found->first);
}

std::vector<std::string> disks_changed_by_sample(const fs::path& folder, const UnpackedMarker& marker,
                                                 Cancellation& cancellation) {
  std::vector<std::string> changed;
  for (const auto& disk : marker.disks) {
    if (!sample_agrees(folder / disk.name, disk.pieces, cancellation)) changed.push_back(disk.name);
  }
  return changed;
}

DisksRead read_disks(const fs::path& folder, const UnpackedMarker& marker, Cancellation& cancellation) {
  DisksRead result;
  for (const auto& disk : marker.disks) {
    const auto file = folder / disk.name;
    if (disk.digest.empty() || digest_of_file(file, cancellation).text() == disk.digest) continue;
    (all_agree(file, disk.pieces, cancellation) ? result.misstated : result.changed).push_back(disk.name);
  }
  return result;
}

}  // namespace sarde
