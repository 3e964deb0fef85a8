#include "core/image/disk/layer_grid.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/disk_sink.hpp"
#include "core/image/disk/reflink.hpp"
#include "core/image/disk/sparse_writer.hpp"
#include "core/image/disk/unpacker.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

constexpr unsigned char first_of_member = 0x1f;

/// One layer's members. ChunkWriter puts the first byte of a later layer's first member at the end of the
/// layer before.
class LayerMembers final : public BlobReader {
 public:
  /// `lacks_first`: the first byte is in the layer before. `has_next`: the last is the next one's.
  LayerMembers(std::unique_ptr<BlobReader> blob, std::uint64_t size, bool lacks_first, bool has_next)
      : blob_(std::move(blob)), left_(size - (has_next ? 1 : 0)), lacks_first_(lacks_first) {}

  std::size_t read(unsigned char* into, std::size_t size) override {
    if (lacks_first_) {
      lacks_first_ = false;
      *into = first_of_member;
      return 1;
    }
    if (left_ == 0) {
      read_to_end(*blob_);
      return 0;
    }
    const auto got = blob_->read(into, static_cast<std::size_t>(std::min<std::uint64_t>(size, left_)));
    left_ = got == 0 ? 0 : left_ - got;
    return got;
  }

 private:
  std::unique_ptr<BlobReader> blob_;
  std::uint64_t left_;
  bool lacks_first_;
};

/// Gives the one layer.
class OneLayer final : public BlobSource {
 public:
  OneLayer(BlobSource& blobs, const LayerGrid& disk, std::size_t layer)
      : blobs_(blobs), disk_(disk), layer_(layer) {
    auto chunk = blob();
    chunk.size = chunk.size + (lacks_first() ? 1 : 0) - (has_next() ? 1 : 0);
    chunks_.chunks.push_back(std::move(chunk));
  }

  std::unique_ptr<BlobReader> open(const Descriptor& /*chunk*/) override {
    return std::make_unique<LayerMembers>(blobs_.open(blob()), blob().size, lacks_first(), has_next());
  }

  [[nodiscard]] const DiskLayers& chunks() const { return chunks_; }

 private:
  [[nodiscard]] const Descriptor& blob() const { return disk_.layers[layer_]; }

  [[nodiscard]] bool lacks_first() const { return layer_ > 0; }

  [[nodiscard]] bool has_next() const { return layer_ + 1 < disk_.layers.size(); }

  BlobSource& blobs_;
  const LayerGrid& disk_;
  std::size_t layer_;
  DiskLayers chunks_;
};

/// A stretch of a file.
class StretchSink final : public DiskSink {
 public:
  StretchSink(const LayerTarget& target, std::uint64_t at, bool is_cleared)
      : target_(target), at_(at), zeros_(is_cleared ? Zeros::left_out : Zeros::written) {}

  void put(std::span<const unsigned char> data, std::uint64_t at) const override {
    put_sparsely(target_.fd, target_.path, data, at_ + at, zeros_);
  }

  void took(std::span<const unsigned char> data) override { size_ += data.size(); }

  bool share(const KnownSpan& /*span*/) override { return false; }

  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  const LayerTarget& target_;
  std::uint64_t at_;
  Zeros zeros_;
  std::uint64_t size_ = 0;
};

/// An earlier try may have left something there.
bool clear(const LayerTarget& target, std::uint64_t at, std::uint64_t length) {
  return ::fallocate(target.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at),
                     static_cast<off_t>(length)) == 0;
}

}  // namespace

bool copy_stretch(const KnownSpan& from, const LayerTarget& target, Cancellation& cancellation) {
  constexpr auto piece = DiskPieces::length;
  const UniqueFd file(::open(from.file.c_str(), O_RDONLY | O_CLOEXEC));
  const bool is_noted = from.at % piece == 0 && from.pieces.size >= from.at + from.length;
  if (!file || !is_noted) return false;
  const auto zeros = clear(target, from.at, from.length) ? Zeros::left_out : Zeros::written;
  const bool is_one_extent = share_extent(file.get(), target.fd, from.at, from.length);
  Bytes data(piece);
  for (std::uint64_t done = 0; done < from.length; done += data.size()) {
    cancellation.check();
    data.resize(static_cast<std::size_t>(std::min<std::uint64_t>(from.length - done, piece)));
    const auto at = from.at + done;
    // Shared extents are looked at where they are used.
    const auto got =
        ::pread(is_one_extent ? target.fd : file.get(), data.data(), data.size(), static_cast<off_t>(at));
    if (got != static_cast<ssize_t>(data.size()) || !is_piece(data, from.pieces, at)) return false;
    if (!is_one_extent) put_sparsely(target.fd, target.path, data, at, zeros);
  }
  return true;
}

std::vector<LayerSpan> LayerGrid::spans() const {
  std::vector<LayerSpan> all;
  for (std::size_t i = 0; i < layers.size(); ++i)
    all.push_back({.layer = layers[i].digest, .at = start_of(i), .length = length_of(i)});
  return all;
}

std::optional<LayerGrid> layer_grid(const DiskLayers& disk) {
  const auto text_of = [&](const char* key) { return annotated(disk.chunks.front(), key).value_or(""); };
  LayerGrid grid{.name = text_of(annotation::disk_name),
                 .size = parse_number(text_of(annotation::disk_size)).value_or(0),
                 .layers = disk.chunks};
  grid.span = layer_span(grid.size);
  // (a layer of a byte could not give one away)
  const bool has_all = std::ranges::all_of(grid.layers, [](const Descriptor& one) { return one.size > 1; });
  const auto wanted = grid.size / grid.span + (grid.size % grid.span == 0 ? 0 : 1);
  if (!is_disk_name(grid.name) || !has_all || wanted != grid.layers.size()) return std::nullopt;
  return grid;
}

void unpack_layer(BlobSource& blobs, const LayerGrid& disk, std::size_t layer, const LayerTarget& target,
                  unsigned threads, Cancellation& cancellation) {
  const auto at = disk.start_of(layer);
  const auto length = disk.length_of(layer);
  const auto what = "layer " + disk.layers[layer].digest.text() + " of disk " + quote(disk.name);
  OneLayer one(blobs, disk, layer);
  const UnpackOptions options{.threads = threads, .limit = length};
  Unpacker unpacker(one, one.chunks(), options, cancellation);
  StretchSink sink(target, at, clear(target, at, length));
  try {
    if (layer == 0 && unpacker.name() != disk.name)
      throw Error(Blame::job, "its gzip header names another file than the manifest does");
    unpacker.run(sink);
    if (sink.size() != length)
      throw Error(Blame::job, "it has " + std::to_string(sink.size()) + " bytes of the disk, and not " +
                                  std::to_string(length));
  } catch (const Error& error) {
    if (error.blame() == Blame::job) unpacker.check_blob();
    throw Error(error.blame(), what + ": " + error.what());
  }
}

}  // namespace sarde
