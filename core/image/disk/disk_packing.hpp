#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/image/disk/disk_name.hpp"
#include "core/image/disk/disk_pieces.hpp"
#include "core/image/disk/gzip_stream.hpp"
#include "core/image/layout/blob_source.hpp"
#include "core/image/layout/oci_layout.hpp"
#include "core/system/cancellation.hpp"

namespace sarde {

/// Called with bytes of a disk file done and in all; must be quick.
using DiskProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

struct PackOptions {
  std::string name;        ///< the FNAME of the stream: a bare file name
  std::string media_type;  ///< before `+gzip`
  Compression compression = Compression::small;
  std::uint64_t chunk_limit = 0;  ///< bytes that no layer exceeds; 0: no limit
  unsigned threads = 1;
  DiskProgress progress = {};
  Bytes head = {};  ///< stands in for the file's first bytes (at most a member's); empty: it does not
};

/// Bytes of a file in a layer of those that pack_disk() makes, for a file of this size.
std::uint64_t layer_span(std::uint64_t file_size);

struct PackedDisk {
  Digest diff_id;  ///< of the bytes that were packed: the file's own, but for `head`
  std::vector<Descriptor> chunks;
};

/// Compresses a disk file into blobs of the layout. Layers begin at fixed offsets of the file (a multiple of
/// 16 MiB, more for very large files, so that a manifest stays under 1,000 layers), so a change in the file
/// changes the layers where it is and no others. Memory does not grow with the file. Throws Error, Cancelled.
PackedDisk pack_disk(const std::filesystem::path& file, const OciLayout& layout, const PackOptions& options,
                     Cancellation& cancellation);

/// Where in an unpacked file the data of one layer is. Only layers that begin and end with a member have one.
struct LayerSpan {
  Digest layer;
  std::uint64_t at = 0;      ///< bytes from the file's beginning
  std::uint64_t length = 0;  ///< bytes
};

/// The same, in a file of an image that was unpacked before.
struct KnownSpan {
  std::filesystem::path file;
  std::uint64_t at = 0;
  std::uint64_t length = 0;
  DiskPieces pieces = {};  ///< of the whole file, as they were noted when it was unpacked
};

using KnownSpans = std::map<std::string, KnownSpan>;  ///< by the layer's digest

/// A disk file that has not become whole.
struct UnfinishedDisk {
  std::string name;
  std::vector<LayerSpan> spans;  ///< of the layers that were unpacked whole
  DiskPieces pieces = {};        ///< of the file's beginning, as far as it has come without a gap
};

struct UnpackOptions {
  unsigned threads = 1;
  DiskProgress progress = {};  ///< in compressed bytes
  /// Layers whose data is taken from other files instead: sharing their extents where the file system can,
  /// else copied.
  const KnownSpans* known = nullptr;
  bool with_diff_id = false;         ///< whether to compute it, which takes most of a second for each GB
  bool sync = true;                  ///< whether the file is to be on the platter when this returns
  std::uint64_t limit = UINT64_MAX;  ///< bytes that the file may have
  /// If unpacking ends early: what there is of the files is added here.
  std::vector<UnfinishedDisk>* unfinished = nullptr;
};

struct UnpackedDisk {
  std::string name;               ///< the file's, from the stream: a bare name
  std::optional<Digest> diff_id;  ///< where it was computed
  std::uint64_t size = 0;
  std::vector<LayerSpan> spans;
  std::uint64_t reused = 0;  ///< bytes taken from other files
  DiskPieces pieces = {};
};

/// Decompresses the chunks into a new sparse file in `folder`, under the name that the stream gives. Every
/// blob is checked by its reader; the data of layers in `options.known` is not, so that the caller has to
/// compare diff_id then. On failure, what is in the folder must not be taken for a disk.
/// Throws Error, Cancelled.
UnpackedDisk unpack_disk(BlobSource& blobs, const DiskLayers& disk, const std::filesystem::path& folder,
                         const UnpackOptions& options, Cancellation& cancellation);

/// What can be told of a packed disk without unpacking it to a file.
struct DiskSummary {
  std::string name;  ///< the file's, from the stream; not checked
  std::uint64_t size = 0;
  Bytes head;  ///< its first bytes, as many as a qcow2 header may have
};

/// Decompresses the chunks, and keeps the summary only.
DiskSummary summarize_disk(BlobSource& blobs, const DiskLayers& disk, const UnpackOptions& options,
                           Cancellation& cancellation);

}  // namespace sarde
