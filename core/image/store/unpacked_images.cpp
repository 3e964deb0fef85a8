#include "core/image/store/unpacked_images.hpp"

#include <algorithm>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/reflink.hpp"
#include "core/image/store/disk_checks.hpp"
#include "core/image/store/unpacked_marker.hpp"
#include "core/system/process_identity.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

std::uint64_t saturating_sum(std::uint64_t a, std::uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

constexpr auto advice = "; remove the folder if you do not need it, or import under another name";

/// (Older versions did not note whose the disks are.)
bool is_open(const UnpackedMarker& marker, const ImageReference& image) {
  return marker.private_to && (marker.private_to->empty() || *marker.private_to == image.repository());
}

}  // namespace

bool UnpackedImages::is_open_to(const std::string& name, const ImageReference& image) const {
  try {
    const auto marker = read_unpacked_marker(settings_.vmdir / name);
    return !marker || is_open(marker->first, image);
  } catch (const Error&) {
    return true;  // nothing is taken from there
  }
}

KnownSpans UnpackedImages::known_layers(const std::vector<DiskLayers>& disks,
                                        const ImageReference& image) const {
  KnownSpans known;
  const auto wanted = digests_of(disks);
  for (const auto& folder : folder_entries(settings_.vmdir)) {
    const auto name = folder.filename().string();
    if (name.starts_with('.') && !name.starts_with(unfinished_prefix)) continue;
    try {
      const auto marker = read_unpacked_marker(folder);
      if (!marker || marker->second != DisksState::untouched || !is_open(marker->first, image)) continue;
      for (const auto& disk : marker->first.disks) {
        for (const auto& span : disk.spans) {
          if (wanted.contains(span.layer))
            known[span.layer.text()] = {
                .file = folder / disk.name, .at = span.at, .length = span.length, .pieces = disk.pieces};
        }
      }
    } catch (const Error&) {
      // A neighbour that cannot be read has nothing to give.
    }
  }
  return known;
}

void UnpackedImages::sync_all() const {
  for (const auto& folder : folder_entries(settings_.vmdir)) {
    const auto name = folder.filename().string();
    if (name.starts_with('.') || !is_unsynced(folder)) continue;
    cancellation_.check();
    sync_unpacked(folder, [&] { return FileLock::try_for(unpacked_lock(settings_.vmdir, name)); });
  }
}

bool UnpackedImages::has_room() const {
  constexpr std::uint64_t enough = 2U << 30U;
  return free_space(settings_.vmdir) >= enough;
}

void UnpackedImages::keep_unfinished(TempFolder incoming, const std::string& name, const StoredImage& image,
                                     const std::vector<UnfinishedDisk>& finished) const noexcept {
  try {
    UnpackedMarker marker{.config_digest = "",
                          .disks = {},
                          .private_to = repository_it_is_private_to(image),
                          .boot = boot_id()};
    for (const auto& disk : finished) {
      if (!disk.spans.empty())
        marker.disks.push_back({.name = disk.name, .spans = disk.spans, .pieces = disk.pieces});
    }
    if (marker.disks.empty() || !has_room()) return;
    drop_unfinished(name);
    write_unpacked_marker(incoming.path(), marker);
    incoming.rename_to(settings_.vmdir / (std::string(unfinished_prefix) + name), false);
  } catch (const std::exception&) {
    // Then the next try begins at the beginning. What the first one failed of is more important.
  }
}

UnpackedImage UnpackedImages::finish(const StoredImage& image, const PartialImage& partial) const {
  const auto folder = settings_.vmdir / image.manifest.digest.text();
  std::error_code error;
  if (fs::exists(folder, error)) {
    remove_if_there(partial.folder());
    return {.folder = folder, .disks = {}, .was_there = true};
  }
  std::vector<UnpackedDisk> disks;
  for (std::size_t i = 0; i < partial.disks().size(); ++i) {
    const auto& disk = partial.disks()[i];
    disks.push_back({.name = disk.name,
                     .size = disk.size,
                     .spans = disk.spans(),
                     .pieces = pieces_of_file(partial.file(i), cancellation_)});
  }
  auto incoming = TempFolder::in(settings_.vmdir, ".incoming-", 0700);
  // Whoever is killed here leaves either the partial image as it was, or both.
  for (std::size_t i = 0; i < partial.disks().size(); ++i) {
    fs::create_hard_link(partial.file(i), incoming.path() / partial.disks()[i].name, error);
    if (error) throw Error("link " + partial.file(i).string() + ": " + errno_text(error.value()));
  }
  auto unpacked =
      finish_unpacking(image, disks, std::move(incoming),
                       {.folder = folder, .sharing = DiskSharing::many, .max_disk = settings_.max_disk});
  remove_if_there(partial.folder());
  drop_unfinished(folder.filename().string());
  return unpacked;
}

void UnpackedImages::drop_unfinished(const std::string& name) const {
  remove_if_there(settings_.vmdir / (std::string(unfinished_prefix) + name));
}

UnpackedImage UnpackedImages::unpack(const StoredImage& image, const std::string& name,
                                     const DiskProgress& progress) const {
  if (!is_bare_file_name(name))
    throw Error(Blame::job, "import as " + quote(name) + ": that cannot be a folder's name");
  return within("import " + quote(image.reference.text()),
                [&] { return unpack_to(image, {.name = name, .sharing = DiskSharing::one_vm}, progress); });
}

UnpackedImage UnpackedImages::unpack_shared(const StoredImage& image, const DiskProgress& progress) const {
  return within("image " + quote(image.reference.text()), [&] {
    return unpack_to(image, {.name = image.manifest.digest.text(), .sharing = DiskSharing::many}, progress);
  });
}

bool UnpackedImages::has_shared(const StoredImage& image) const {
  std::error_code ignored;
  return fs::exists(settings_.vmdir / image.manifest.digest.text(), ignored);
}

UnpackedImage UnpackedImages::unpack_to(const StoredImage& image, const UnpackPlace& place,
                                        const DiskProgress& progress) const {
  check_sizes(image.disks);
  make_folders(settings_.vmdir, 0700);
  const auto lock = locks_.of_unpacked(place.name);
  const auto folder = settings_.vmdir / place.name;
  std::error_code error;
  if (fs::exists(folder, error)) {
    if (auto there = adopt(image, place)) return std::move(*there);
    if (settings_.announce)
      settings_.announce("WARNING: the disks in " + folder.string() +
                         " are not what was unpacked there: they are unpacked again");
    const auto aside = settings_.vmdir / (".incoming-removed-" + place.name);
    remove_if_there(aside);
    fs::rename(folder, aside, error);
    if (error) throw Error("remove " + folder.string() + ": " + errno_text(error.value()));
    remove_if_there(aside);
  }
  return unpack_anew(image, place, progress);
}

UnpackedImage UnpackedImages::unpack_anew(const StoredImage& image, const UnpackPlace& place,
                                          const DiskProgress& progress) const {
  const UnpackTarget target{
      .folder = settings_.vmdir / place.name, .sharing = place.sharing, .max_disk = settings_.max_disk};
  auto incoming = TempFolder::in(settings_.vmdir, ".incoming-", 0700);
  // Where extents cannot be shared, what the cache has is unpacked as fast as it is copied.
  const auto known =
      can_share_extents(incoming.path()) ? known_layers(image.disks, image.reference) : KnownSpans{};
  LayoutBlobs blobs(image.layout);
  UnpackOptions options{.threads = settings_.threads,
                        .progress = progress,
                        .known = known.empty() ? nullptr : &known,
                        .with_diff_id = needs_diff_ids(known, place.sharing),
                        .sync = is_synced_at_once(place.sharing),
                        .limit = settings_.max_image};
  if (options.known != nullptr) {
    try {
      const auto disks = unpack_disks(blobs, image.disks, incoming.path(), options, cancellation_);
      if (has_digests(image, disks)) return finish_unpacking(image, disks, std::move(incoming), target);
    } catch (const Error&) {
      // Somebody writes to what was to be shared: then this image's own layers it is.
    }
    incoming = TempFolder::in(settings_.vmdir, ".incoming-", 0700);
    options.known = nullptr;
    options.with_diff_id = needs_diff_ids({}, place.sharing);
  }
  const auto disks = unpack_disks(blobs, image.disks, incoming.path(), options, cancellation_);
  return finish_unpacking(image, disks, std::move(incoming), target);
}

/// A folder that is there already: ours, or one that sardinecake or an older version unpacked, which is then
/// checked and marked. Nothing where shared disks are no longer what they should be.
std::optional<UnpackedImage> UnpackedImages::adopt(const StoredImage& image, const UnpackPlace& place) const {
  const auto folder = settings_.vmdir / place.name;
  const bool is_shared = place.sharing == DiskSharing::many;
  std::optional<std::pair<UnpackedMarker, DisksState>> marker;
  try {
    marker = read_unpacked_marker(folder);
  } catch (const Error&) {
    if (!is_shared) throw;  // what is shared can be made anew
  }
  if (!marker && is_shared) return std::nullopt;
  if (marker && marker->second == DisksState::changed) {
    if (is_shared) return std::nullopt;
    throw Error("the disks in " + folder.string() +
                " have been changed since they were unpacked: they no longer match the image" + advice);
  }
  if (!marker || marker->first.manifest_digest.empty()) return adopt_unmarked(image, folder);
  const auto& [known, state] = *marker;
  if (known.manifest_digest != image.manifest.digest.text())
    throw Error(folder.string() + " holds another image" + advice);
  if (is_shared && !disks_changed_by_sample(folder, known, cancellation_).empty()) return std::nullopt;
  return UnpackedImage{.folder = folder, .disks = known.names(), .was_there = true};
}

UnpackedImage UnpackedImages::adopt_unmarked(const StoredImage& image, const fs::path& folder) const {
  UnpackedImage unpacked{.folder = folder, .disks = {}, .was_there = true};
  const auto files = folder_entries(folder);
  for (const auto& wanted : image.disk_diff_ids) {
    const auto match = std::ranges::find_if(files, [&](const fs::path& file) {
      std::error_code error;
      return fs::is_regular_file(file, error) && digest_of_file(file, cancellation_) == wanted;
    });
    if (match == files.end())
      throw Error(folder.string() + " exists and does not hold the image's disks" + advice);
    unpacked.disks.push_back(match->filename().string());
  }
  check_disks(folder, unpacked.disks, settings_.max_disk);
  UnpackedMarker marker{.config_digest = image.config_digest.text(),
                        .manifest_digest = image.manifest.digest.text(),
                        .disks = {}};
  for (std::size_t i = 0; i < unpacked.disks.size(); ++i)
    marker.disks.push_back({.name = unpacked.disks[i], .digest = image.disk_diff_ids[i].text()});
  write_unpacked_marker(folder, marker);
  return unpacked;
}

void UnpackedImages::check_sizes(const std::vector<DiskLayers>& disks) const {
  std::uint64_t packed = 0;
  std::uint64_t declared = 0;
  for (const auto& disk : disks) {
    for (const auto& chunk : disk.chunks) packed = saturating_sum(packed, chunk.size);
    declared = saturating_sum(declared, declared_size(disk).value_or(0));
  }
  const auto refuse = [&](const std::string& what, std::uint64_t bytes) {
    throw Error(Blame::job, "the image's disks " + what + " " + size_text(bytes) + ", more than max-image, " +
                                size_text(settings_.max_image));
  };
  if (packed > settings_.max_image) refuse("are, still packed,", packed);
  if (declared > settings_.max_image) refuse("are said to be", declared);
}

}  // namespace sarde
