#include <algorithm>
#include <memory>
#include <span>

#include "core/foundation/error.hpp"
#include "core/image/disk/disk_packing.hpp"
#include "core/image/disk/ordered_workers.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

constexpr std::uint64_t usual_layer = 16 * member_size;
constexpr std::uint64_t most_layers = 900;
constexpr std::size_t most_chunks = 10'000;  ///< a manifest that names them all has 2 MB; registries take 4

/// A member's data on its way into a layer.
struct Member {
  Buffer data;
  Buffer compressed;
  std::string name;
  bool begins_layer = false;
};

/// Cuts a stream of members into blobs. sardinecake 0.4 takes a blob that begins with 1f 8b for a new file,
/// so a cut between two members falls behind the first byte of the second one, and no other cut falls before
/// these two bytes.
class ChunkWriter {
 public:
  ChunkWriter(const OciLayout& layout, std::string media_type, std::uint64_t limit)
      : layout_(layout),
        media_type_(std::move(media_type)),
        limit_(limit),
        settling_(layout.blobs()),
        blob_(layout.incoming_blob()) {}

  /// A member that begins a layer begins a new blob, but for its first byte.
  void take(const Member& member) {
    const auto bytes = member.compressed.bytes();
    if (!member.begins_layer) return write(bytes);
    write(bytes.first(1));
    cut();
    write(bytes.subspan(1));
  }

  std::vector<Descriptor> finish() {
    cut();
    settling_.settle();
    return std::move(chunks_);
  }

 private:
  void write(std::span<const unsigned char> bytes) {
    while (limit_ != 0 && blob_.size() + bytes.size() > limit_) {
      auto room = static_cast<std::size_t>(limit_ - blob_.size());
      if (room > 0 && room + 1 < bytes.size() && bytes[room] == 0x1f && bytes[room + 1] == 0x8b) --room;
      // A blob may also end just before the last byte seen so far; a member begins with 1f 8b, so byte 0 is
      // no place to cut.
      if (room == 0 && bytes[0] == 0x1f) room = 1;
      put(bytes.first(room));
      bytes = bytes.subspan(room);
      cut();
    }
    put(bytes);
  }

  void put(std::span<const unsigned char> bytes) {
    if (!bytes.empty()) blob_.write(bytes.data(), bytes.size());
  }

  void cut() {
    if (blob_.size() == 0) return;
    if (chunks_.size() == most_chunks)
      throw Error(Blame::job, "the disk would be cut into more than " + std::to_string(most_chunks) +
                                  " layers; give a larger --chunksize");
    const auto number = chunks_.empty() ? "" : ";chunk=" + std::to_string(chunks_.size());
    chunks_.push_back(blob_.keep_with(settling_, media_type_ + number));
    blob_ = layout_.incoming_blob();
  }

  const OciLayout& layout_;
  std::string media_type_;
  std::uint64_t limit_;
  SettlingBlobs settling_;
  IncomingBlob blob_;
  std::vector<Descriptor> chunks_;
};

}  // namespace

std::uint64_t layer_span(std::uint64_t file_size) {
  const auto needed = file_size / most_layers + 1;
  return std::max(usual_layer, (needed + usual_layer - 1) / usual_layer * usual_layer);
}

PackedDisk pack_disk(const std::filesystem::path& file, const OciLayout& layout, const PackOptions& options,
                     Cancellation& cancellation) {
  const auto fd = open_to_read(file);
  const auto total = size_of(file);
  const auto span = layer_span(total);
  // One byte of room: a cut moves by one byte to where it may fall.
  ChunkWriter writer(layout, options.media_type + "+gzip",
                     options.chunk_limit == 0 ? 0 : std::max<std::uint64_t>(options.chunk_limit - 1, 64));
  Sha256 hash;
  OrderedWorkers<Member> workers(
      options.threads,
      [&options] {
        return [compressor = std::make_shared<MemberCompressor>(options.compression)](Member& member) {
          compressor->compress(member.data.bytes(), member.name, member.compressed);
        };
      },
      [&writer](Member& member) { writer.take(member); });
  std::uint64_t offset = 0;
  do {
    cancellation.check();
    auto& member = workers.next();
    auto* const data = member.data.make(member_size);
    member.data.cut(read_full(fd.get(), data, member_size, file.string()));
    const auto size = member.data.size();
    if (size == 0 && offset != 0) break;
    if (offset == 0) std::copy_n(options.head.begin(), std::min(options.head.size(), size), data);
    member.begins_layer = offset != 0 && offset % span == 0;
    member.name = offset == 0 ? options.name : "";
    workers.submit();
    hash.update(data, size);  // the slot's data is only read by now
    offset += size;
    if (options.progress) options.progress(offset, std::max<std::uint64_t>(offset, total));
  } while (offset % member_size == 0 && offset != 0);
  workers.finish();
  if (offset != total)
    throw Error("pack " + file.string() + ": the file changed while it was read; shut the VM down first");
  return {.diff_id = hash.finish(), .chunks = writer.finish()};
}

}  // namespace sarde
