#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "core/image/disk/disk_packing.hpp"
#include "core/image/store/unpacked_image.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

// What is checked of an image's disks while they are unpacked.

/// The digest of all bytes of a file. Blocks while it reads. Throws Error, Cancelled.
Digest digest_of_file(const std::filesystem::path& path, Cancellation& cancellation);

/// The size of a disk's file according to the image; only images made by this program state it.
std::optional<std::uint64_t> declared_size(const DiskLayers& disk);

/// Unpacks all of them; `options.limit` is for all in all.
std::vector<UnpackedDisk> unpack_disks(BlobSource& blobs, const std::vector<DiskLayers>& disks,
                                       const std::filesystem::path& folder, UnpackOptions options,
                                       Cancellation& cancellation);

/// Whether the disks have to be compared with the diff_ids in the image's config. Blobs are bound to the
/// manifest by their digests, and so are the disks of a folder that is named by the manifest's digest. What
/// is named by the config's digest, a base VM and its folder, is bound by nothing else; and nothing else
/// shows whether what was taken from other images was still right.
bool needs_diff_ids(const KnownSpans& known, DiskSharing sharing);

/// Were their diff_ids computed, and are they what the image's config says?
bool has_digests(const StoredImage& image, const std::vector<UnpackedDisk>& disks);

/// Follows every disk's backing files through these files of a folder, and nowhere else; what the disks have
/// for the guest is `max_disk` bytes at most in all. Throws Error (the job's fault).
void check_disks(const std::filesystem::path& folder, const std::vector<std::string>& disks,
                 std::uint64_t max_disk);

/// Where unpacked disks are to be.
struct UnpackTarget {
  std::filesystem::path folder;
  DiskSharing sharing = DiskSharing::many;
  std::uint64_t max_disk = UINT64_MAX;
};

/// Empty if the image is not private (UnpackedMarker::private_to).
std::string repository_it_is_private_to(const StoredImage& image);

/// Compares the disks with what the image says of them (their content only where their digests were
/// computed), and gives the folder its marker and its name.
UnpackedImage finish_unpacking(const StoredImage& image, const std::vector<UnpackedDisk>& disks,
                               TempFolder incoming, const UnpackTarget& target);

}  // namespace sarde
