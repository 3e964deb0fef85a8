#include "core/image/store/disk_checks.hpp"

#include <algorithm>
#include <set>
#include <sys/stat.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/disk_chain.hpp"
#include "core/image/disk/qcow2_header.hpp"
#include "core/image/store/image_catalogue.hpp"
#include "core/image/store/unpacked_marker.hpp"
#include "core/system/process_identity.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

std::uint64_t size_of(const fs::path& file) {
  std::error_code error;
  const auto size = fs::file_size(file, error);
  if (error) throw Error("read " + file.string() + ": " + errno_text(error.value()));
  return size;
}

/// Follows the backing files of one disk through the image's own files, each of which it notes in `below`;
/// returns the disk's size for the guest. Throws Error (the job's fault) at the first that leads elsewhere.
std::uint64_t check_chain(const fs::path& folder, const std::string& disk,
                          const std::vector<std::string>& disks, std::set<std::string>& below) {
  std::string name = disk;
  std::optional<std::uint64_t> virtual_size;
  for (std::size_t depth = 0;; ++depth) {
    if (depth > disks.size()) throw Error(Blame::job, "the backing chain of disk " + quote(disk) + " loops");
    if (depth > deepest_chain)
      throw Error(Blame::job, "the backing chain of disk " + quote(disk) + " has more than " +
                                  std::to_string(deepest_chain) + " files");
    const auto header = read_qcow2_header(folder / name);
    const auto size = header ? header->virtual_size : size_of(folder / name);
    if (!virtual_size) virtual_size = size;
    if (header && header->external_data) {
      throw Error(Blame::job,
                  "disk " + quote(name) + " keeps its data in an external file, which no image may");
    }
    if (!header || !header->backing_file) return *virtual_size;
    const auto& backing = *header->backing_file;
    if (!header->backing_format) {
      throw Error(Blame::job, "disk " + quote(name) + " does not say the format of its backing file " +
                                  quote(backing) + " (qemu-img rebase -u -F sets it)");
    }
    if (*header->backing_format != "qcow2" && *header->backing_format != "raw") {
      throw Error(Blame::job, "disk " + quote(name) + " says that its backing file has the format " +
                                  quote(*header->backing_format) + "; qcow2 and raw are supported");
    }
    if (std::ranges::find(disks, backing) == disks.end()) {
      throw Error(Blame::job, "disk " + quote(name) + " has the backing file " + quote(backing) +
                                  ", which is not one of the image's own files");
    }
    below.insert(backing);
    name = backing;
  }
}

}  // namespace

Digest digest_of_file(const fs::path& path, Cancellation& cancellation) {
  const auto fd = open_to_read(path);
  Sha256 hash;
  Bytes buffer(member_size);
  for (;;) {
    cancellation.check();
    const auto got = read_full(fd.get(), buffer.data(), buffer.size(), path.string());
    hash.update(buffer.data(), got);
    if (got < buffer.size()) return hash.finish();
  }
}

void check_disks(const fs::path& folder, const std::vector<std::string>& disks, std::uint64_t max_disk) {
  std::set<std::string> below;
  std::map<std::string, std::uint64_t> sizes;
  for (const auto& name : disks) sizes[name] = check_chain(folder, name, disks, below);
  std::uint64_t total = 0;
  for (const auto& [name, size] : sizes) {
    if (below.contains(name)) continue;
    if (size > max_disk || total > max_disk - size)
      throw Error(Blame::job, "the image's disks up to " + quote(name) + " have " +
                                  size_text(size > UINT64_MAX - total ? UINT64_MAX : total + size) +
                                  " for the guest, more than max-disk, " + size_text(max_disk));
    total += size;
  }
}

std::optional<std::uint64_t> declared_size(const DiskLayers& disk) {
  const auto size = annotated(disk.chunks.front(), annotation::disk_size);
  return size ? parse_number(*size) : std::nullopt;
}

std::vector<UnpackedDisk> unpack_disks(BlobSource& blobs, const std::vector<DiskLayers>& disks,
                                       const fs::path& folder, UnpackOptions options,
                                       Cancellation& cancellation) {
  std::vector<UnpackedDisk> unpacked;
  std::uint64_t total = 0;
  for (const auto& disk : disks) {
    for (const auto& chunk : disk.chunks) total += chunk.size;
  }
  std::uint64_t before = 0;
  const auto progress = std::move(options.progress);
  auto left = options.limit;
  for (const auto& disk : disks) {
    std::uint64_t done_of_disk = 0;
    options.progress = [&](std::uint64_t done, std::uint64_t) {
      done_of_disk = done;
      if (progress) progress(before + done, total);
    };
    options.limit = std::min(left, declared_size(disk).value_or(UINT64_MAX));
    try {
      unpacked.push_back(unpack_disk(blobs, disk, folder, options, cancellation));
    } catch (...) {
      if (options.unfinished != nullptr)
        for (const auto& whole : unpacked)
          options.unfinished->push_back({.name = whole.name, .spans = whole.spans, .pieces = whole.pieces});
      throw;
    }
    left -= unpacked.back().size;
    before += done_of_disk;
  }
  return unpacked;
}

bool needs_diff_ids(const KnownSpans& known, DiskSharing sharing) {
  return !known.empty() || sharing == DiskSharing::one_vm;
}

bool has_digests(const StoredImage& image, const std::vector<UnpackedDisk>& disks) {
  return std::ranges::equal(disks, image.disk_diff_ids, [](const UnpackedDisk& disk, const Digest& stated) {
    return disk.diff_id == stated;
  });
}

std::string repository_it_is_private_to(const StoredImage& image) {
  std::error_code ignored;
  return fs::exists(private_mark(image.layout, image.manifest.digest), ignored) ? image.reference.repository()
                                                                                : "";
}

UnpackedImage finish_unpacking(const StoredImage& image, const std::vector<UnpackedDisk>& disks,
                               TempFolder incoming, const UnpackTarget& target) {
  const bool is_synced = is_synced_at_once(target.sharing);
  UnpackedImage unpacked{.folder = target.folder, .disks = {}, .was_there = false};
  UnpackedMarker marker{.config_digest = image.config_digest.text(),
                        .manifest_digest = image.manifest.digest.text(),
                        .disks = {},
                        .private_to = repository_it_is_private_to(image),
                        .boot = is_synced ? "" : boot_id()};
  for (std::size_t i = 0; i < disks.size(); ++i) {
    const auto& stated = image.disk_diff_ids.at(i);
    if (disks[i].diff_id && *disks[i].diff_id != stated)
      throw Error(Blame::job,
                  "disk " + quote(disks[i].name) + " does not match its digest in the image config");
    unpacked.disks.push_back(disks[i].name);
    unpacked.reused += disks[i].reused;
    marker.disks.push_back(
        {.name = disks[i].name, .digest = stated.text(), .spans = disks[i].spans, .pieces = disks[i].pieces});
  }
  check_disks(incoming.path(), unpacked.disks, target.max_disk);
  // What many read nobody writes to.
  constexpr mode_t shared_mode = 0400;
  constexpr mode_t own_mode = 0600;
  for (const auto& name : unpacked.disks) {
    const auto path = incoming.path() / name;
    if (::chmod(path.c_str(), target.sharing == DiskSharing::many ? shared_mode : own_mode) != 0)
      throw Error("set the mode of " + path.string() + ": " + errno_text(errno));
  }
  write_unpacked_marker(incoming.path(), marker);
  incoming.rename_to(target.folder, is_synced);
  return unpacked;
}

}  // namespace sarde
