#include "core/image/store/image_removal.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <sys/stat.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/store/unpacked_marker.hpp"
#include "core/system/files.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

namespace fs = std::filesystem;
using std::chrono::seconds;

namespace {

std::uint64_t space_of(const fs::path& path) {
  struct stat status {};

  constexpr std::uint64_t block = 512;
  return ::lstat(path.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * block : 0;
}

void remove_counted(const fs::path& path, Removal removal, RemovedFiles& removed) {
  ++removed.files;
  std::error_code ignored;
  removed.bytes += fs::is_directory(path, ignored) ? disk_space_of(path) : space_of(path);
  if (removal == Removal::real) remove_if_there(path);
}

void add(RemovedFiles& sum, const RemovedFiles& more) {
  sum.files += more.files;
  sum.bytes += more.bytes;
}

/// Hex digests of all blobs that the layout's entries name. Throws Error if one cannot be read.
std::set<std::string> referenced_blobs(const OciLayout& layout, const std::vector<IndexEntry>& entries) {
  std::set<std::string> blobs;
  for (const auto& entry : entries) {
    blobs.insert(entry.manifest.digest.hex());
    const auto text = layout.read_blob(entry.manifest);
    if (is_index(text)) throw Error("an index of several platforms is in it");
    const auto manifest = parse_manifest(text, "the manifest");
    blobs.insert(manifest.config.digest.hex());
    for (const auto& layer : manifest.layers) blobs.insert(layer.digest.hex());
  }
  return blobs;
}

/// Is this what TempFile or TempFolder call theirs?
bool is_temporary(const fs::path& path) {
  const auto name = path.filename().string();
  constexpr std::array<std::string_view, 6> beginnings{".sarde-",      ".new-",        ".incoming",
                                                       ".index.json.", ".oci-layout.", "..sarde-image.json."};
  return std::ranges::any_of(beginnings, [&](std::string_view start) { return name.starts_with(start); });
}

RemovedFiles remove_unreferenced_in(const OciLayout& layout, seconds grace, Removal removal) {
  RemovedFiles removed;
  const auto keep = referenced_blobs(layout, layout.index());
  for (const auto& blob : folder_entries(layout.blobs())) {
    if (keep.contains(blob.filename().string()) || age_of(blob) < grace) continue;
    remove_counted(blob, removal, removed);
  }
  return removed;
}

/// Is there more in the folder than what was unpacked: a snapshot, say?
bool holds_more(const fs::path& folder, const UnpackedMarker& marker) {
  const auto names = marker.names();
  return std::ranges::any_of(folder_entries(folder), [&](const fs::path& path) {
    const auto name = path.filename().string();
    return !name.starts_with('.') && std::ranges::find(names, name) == names.end();
  });
}

std::optional<std::pair<UnpackedMarker, DisksState>> marker_if_readable(const fs::path& folder) {
  try {
    return read_unpacked_marker(folder);
  } catch (const Error&) {
    return std::nullopt;  // then it is not ours to judge
  }
}

}  // namespace

void remove_abandoned_in(const fs::path& folder, Removal removal, RemovedFiles& removed) {
  for (const auto& path : folder_entries(folder)) {
    if (!is_temporary(path) || path.filename().string().ends_with(".lock")) continue;
    if (const auto claim = claim_abandoned(path)) remove_counted(path, removal, removed);
  }
}

std::uint64_t disk_space_of(const fs::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (auto at = fs::recursive_directory_iterator(folder, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error))
    bytes += space_of(at->path());
  return bytes;
}

std::vector<UnpackedFolder> unpacked_folders(const fs::path& vmdir) {
  std::vector<UnpackedFolder> folders;
  for (const auto& path : folder_entries(vmdir)) {
    if (path.filename().string().starts_with(partial_prefix)) {
      if (const auto owner = PartialImage::owner_of(path))
        folders.push_back({.path = path,
                           .config_digest = owner->config,
                           .is_shared = true,
                           .is_unusable = true,
                           .lock = owner->manifest});
    }
    if (path.filename().string().starts_with('.')) continue;
    const auto marker = marker_if_readable(path);
    if (!marker) {
      // A power cut may leave shared disks whose marker cannot be read: nobody can use them.
      if (is_unsynced(path))
        folders.push_back({.path = path,
                           .config_digest = path.filename().string(),
                           .is_shared = true,
                           .is_unusable = true});
      continue;
    }
    const bool is_shared = path.filename() == marker->first.manifest_digest;
    const bool is_changed = marker->second == DisksState::changed || holds_more(path, marker->first);
    folders.push_back({.path = path,
                       .config_digest = marker->first.config_digest,
                       .is_shared = is_shared,
                       .disks_changed = is_changed && !is_shared,
                       .is_unusable = is_changed && is_shared});
  }
  return folders;
}

std::optional<ImageLocks> ImageLocks::try_for(const ImageStore& images, const std::string& config_digest,
                                              const std::vector<CatalogEntry>& entries,
                                              const std::vector<UnpackedFolder>& folders) {
  std::set<fs::path> paths;
  for (const auto& entry : entries) paths.insert(blobs_lock(entry.layout));
  std::set<std::string> names;
  names.insert({config_digest, config_digest + "-for-clones"});
  for (const auto& entry : entries)
    for (const auto& name : usual_folders(entry.config_digest, entry.manifest.digest)) names.insert(name);
  for (const auto& folder : folders)
    names.insert(folder.lock.empty() ? folder.path.filename().string() : folder.lock);
  std::error_code error;
  if (fs::exists(images.unpacked.folder(), error)) {
    for (const auto& name : names) paths.insert(unpacked_lock(images.unpacked.folder(), name));
  }
  ImageLocks locks;
  for (const auto& path : paths) {
    auto lock = FileLock::try_for(path);
    if (!lock) return std::nullopt;
    locks.held_.push_back(std::move(*lock));
  }
  return locks;
}

RemovedFiles remove_entries(const std::vector<CatalogEntry>& gone, const FileLock::Waiting& waiting,
                            Removal removal) {
  RemovedFiles removed;
  std::set<fs::path> counted;  // entries may share blobs
  for (const auto& entry : gone) {
    auto left = entry.layout.index();
    std::erase_if(left, [&](const IndexEntry& other) {
      return std::ranges::any_of(gone, [&](const CatalogEntry& one) {
        return one.layout.folder() == entry.layout.folder() && one.tag == other.tag &&
               one.manifest.digest == other.manifest.digest;
      });
    });
    const auto keep = referenced_blobs(entry.layout, left);
    if (removal == Removal::real) entry.layout.untag({.manifest = entry.manifest, .tag = entry.tag}, waiting);
    for (const auto& blob : entry.blobs) {
      std::error_code error;
      const auto path = entry.layout.blob(blob.digest);
      if (keep.contains(blob.digest.hex()) || !fs::exists(path, error)) continue;
      if (counted.insert(path).second) remove_counted(path, removal, removed);
    }
  }
  return removed;
}

/// What of an image was unpacked when its transfer broke, or when nobody needed it any more: nobody seems to
/// try again.
RemovedFiles remove_old_unfinished(const UnpackedImages& unpacked, Removal removal) {
  RemovedFiles removed;
  constexpr std::chrono::hours enough(24);
  const auto remove_if_old = [&](const fs::path& folder, const std::string& name) {
    if (age_of(folder) < enough) return;
    const auto lock = FileLock::try_for(unpacked_lock(unpacked.folder(), name));
    if (lock) remove_counted(folder, removal, removed);
  };
  for (const auto& folder : folder_entries(unpacked.folder())) {
    const auto name = folder.filename().string();
    if (name.starts_with(unfinished_prefix)) remove_if_old(folder, name.substr(unfinished_prefix.size()));
    if (!name.starts_with(partial_prefix)) continue;
    const auto owner = PartialImage::owner_of(folder);
    remove_if_old(folder, owner ? owner->manifest : name);
  }
  return removed;
}

RemovedFiles remove_abandoned_files(const ImageStore& images, const std::vector<fs::path>& more_folders,
                                    Removal removal) {
  RemovedFiles removed;
  for (const auto& folder : more_folders) remove_abandoned_in(folder, removal, removed);
  remove_abandoned_in(images.catalogue.folder(), removal, removed);
  remove_abandoned_in(images.unpacked.folder(), removal, removed);
  add(removed, remove_old_unfinished(images.unpacked, removal));
  for (const auto& image : folder_entries(images.unpacked.folder()))
    remove_abandoned_in(image / warm_folder, removal, removed);
  for (const auto& [repository, layout] : images.catalogue.layouts()) {
    remove_abandoned_in(layout.folder(), removal, removed);
    remove_abandoned_in(layout.blobs(), removal, removed);
  }
  return removed;
}

RemovedFiles remove_unreferenced(const ImageStore& images, seconds grace, Removal removal,
                                 const std::function<void(const std::string&)>& complain) {
  RemovedFiles removed;
  for (const auto& [repository, layout] : images.catalogue.layouts()) {
    try {
      if (const auto lock = FileLock::try_for(blobs_lock(layout))) {
        add(removed, remove_unreferenced_in(layout, grace, removal));
      } else {
        complain("images of " + quote(repository) + " are left as they are: blobs are being added");
      }
    } catch (const Error& error) {
      complain("images of " + quote(repository) + " are left as they are: " + error.what());
    }
  }
  add(removed, remove_abandoned_files(images, {}, removal));
  return removed;
}

RemovedFiles remove_unpacked(const UnpackedFolder& folder, Removal removal) {
  RemovedFiles removed;
  auto path = folder.path;
  if (removal == Removal::real) {
    // Whole or gone: a folder that was half removed would be taken for an image.
    path = folder.path.parent_path() / (".incoming-removed-" + folder.path.filename().string());
    remove_if_there(path);
    fs::rename(folder.path, path);
  }
  remove_counted(path, removal, removed);
  return removed;
}

seconds unused_for(const UnpackedFolder& folder) {
  return age_of(folder.path);
}

seconds unused_for(const CatalogEntry& entry, const std::vector<UnpackedFolder>& folders) {
  auto age = age_of(entry.layout.blob(entry.manifest.digest));
  for (const auto& folder : folders) {
    if (folder.config_digest == entry.config_digest.text()) age = std::min(age, unused_for(folder));
  }
  return age;
}

}  // namespace sarde
