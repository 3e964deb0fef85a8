#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <span>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/disk_packing.hpp"
#include "core/image/disk/ordered_workers.hpp"
#include "core/image/disk/reflink.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

constexpr std::size_t read_ahead = 256U << 10U;
constexpr std::size_t largest_header = 66U << 10U;  ///< FEXTRA can have 64 KiB
constexpr std::size_t largest_member = 2 * member_size;
constexpr std::size_t hole = 4096;
constexpr unsigned char first_of_member = 0x1f;

/// The bytes of a disk's chunks, one after the other, each chunk checked against its digest when its end is
/// reached.
class ChunkReader {
 public:
  ChunkReader(const OciLayout& layout, const DiskLayers& disk, const UnpackOptions& options)
      : layout_(layout), chunks_(disk.chunks), options_(options) {}

  /// Makes at least `count` bytes ready, if that many are left; returns what is ready.
  std::span<const unsigned char> peek(std::size_t count) {
    while (end_ - at_ < count && read_more()) {
    }
    return std::span(buffer_).subspan(at_, end_ - at_);
  }

  void skip(std::size_t count) { at_ += count; }

  /// Goes on at `position` of the stream without reading what is between: the end of the stream, or the last
  /// byte of a chunk, which is a member's first.
  void pass_to(std::uint64_t position) {
    const auto count = position - consumed();
    if (count <= end_ - at_) {
      at_ += static_cast<std::size_t>(count);
      return;
    }
    // What is ahead of the buffer belongs to the chunk that is open, or to the one that would be next.
    if (file_) read_ -= read_of_chunk_;
    file_.reset();
    at_ = end_ = 0;
    for (; next_ < chunks_.size() && read_ < position; ++next_) read_ += chunks_[next_].size;
    if (read_ == position) return;
    throw Error("read a disk: a layer does not end where it should");
  }

  /// The same, to the byte before the end of a chunk.
  void pass_to_last_byte_before(std::uint64_t position) {
    pass_to(position);
    if (at_ == end_) {
      make_room();
      buffer_[end_++] = first_of_member;
    } else {
      --at_;
    }
  }

  [[nodiscard]] std::uint64_t consumed() const { return read_ - (end_ - at_); }

 private:
  bool read_more() {
    if (!file_ && next_ == chunks_.size()) return false;
    if (!file_) open_next();
    make_room();
    const auto got = read_full(file_.get(), buffer_.data() + end_, read_ahead, path_);
    if (hash_) hash_->update(buffer_.data() + end_, got);
    end_ += got;
    read_ += got;
    read_of_chunk_ += got;
    if (got < read_ahead) finish_chunk();
    return true;
  }

  /// For `read_ahead` bytes behind those that are there: seldom moves any, and clears none.
  void make_room() {
    if (end_ + read_ahead <= buffer_.size()) return;
    std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(at_),
              buffer_.begin() + static_cast<std::ptrdiff_t>(end_), buffer_.begin());
    end_ -= at_;
    at_ = 0;
    if (end_ + read_ahead > buffer_.size()) buffer_.resize(std::max(2 * buffer_.size(), 4 * read_ahead));
  }

  void open_next() {
    if (options_.await) options_.await(chunks_[next_]);
    path_ = layout_.blob(chunks_[next_].digest).string();
    file_ = layout_.open_blob(chunks_[next_].digest);
    hash_.reset();
    if (!options_.is_checked || !options_.is_checked(chunks_[next_])) hash_.emplace();
    read_of_chunk_ = 0;
  }

  void finish_chunk() {
    const auto& expected = chunks_[next_++];
    file_.reset();
    const bool is_right = !hash_ || hash_->finish() == expected.digest;
    // What has just arrived skopeo has compared with its digest: then the manifest is wrong.
    if (!hash_ && read_of_chunk_ != expected.size)
      throw Error(Blame::job, "a layer of the image, " + expected.digest.text() + ", has " +
                                  std::to_string(read_of_chunk_) + " bytes, not " +
                                  std::to_string(expected.size) + " as the manifest says");
    if (read_of_chunk_ != expected.size || !is_right) {
      throw Error("read " + path_ +
                  ": its content does not match its digest; remove the file and fetch the image again");
    }
  }

  const OciLayout& layout_;
  const std::vector<Descriptor>& chunks_;
  const UnpackOptions& options_;
  std::size_t next_ = 0;
  UniqueFd file_;
  std::string path_;
  std::optional<Sha256> hash_;
  Bytes buffer_;
  std::size_t at_ = 0;   ///< of buffer_: what is ready begins
  std::size_t end_ = 0;  ///< and ends
  std::uint64_t read_ = 0;
  std::uint64_t read_of_chunk_ = 0;
};

bool is_zero(const unsigned char* data, std::size_t size) {
  return data[0] == 0 && std::memcmp(data, data + 1, size - 1) == 0;
}

/// Where a disk's bytes go. Workers put them at their places in any order, the owner then tells of them in
/// their order.
class DiskSink {
 public:
  DiskSink() = default;
  DiskSink(const DiskSink&) = delete;
  DiskSink& operator=(const DiskSink&) = delete;
  virtual ~DiskSink() = default;
  virtual void put(std::span<const unsigned char> data, std::uint64_t at) const = 0;
  virtual void took(std::span<const unsigned char> data) = 0;

  /// Takes the next bytes from another file, if both can have one extent; false if not.
  virtual bool share(const KnownSpan& span) = 0;
};

/// Keeps the first bytes and counts all.
class SummarySink final : public DiskSink {
 public:
  void put(std::span<const unsigned char> /*data*/, std::uint64_t /*at*/) const override {}

  void took(std::span<const unsigned char> data) override {
    const auto wanted = std::min(data.size(), kept_head - std::min(kept_head, summary_.head.size()));
    summary_.head.insert(summary_.head.end(), data.begin(),
                         data.begin() + static_cast<std::ptrdiff_t>(wanted));
    summary_.size += data.size();
  }

  bool share(const KnownSpan& /*span*/) override { return false; }

  DiskSummary finish(std::string name) {
    summary_.name = std::move(name);
    return std::move(summary_);
  }

 private:
  static constexpr std::size_t kept_head = 64U << 10U;
  DiskSummary summary_;
};

/// Writes a file, leaves blocks of zeros out, and hashes all.
class SparseWriter final : public DiskSink {
 public:
  explicit SparseWriter(const std::filesystem::path& path)
      : path_(path.string()), fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) {
    if (!fd_ && errno == EEXIST)
      throw Error(Blame::job, "unpack " + path_ + ": the image has two disks of this name");
    if (!fd_) throw Error("make " + path_ + ": " + errno_text(errno));
  }

  void put(std::span<const unsigned char> data, std::uint64_t at) const override {
    std::size_t start = 0;
    while (start < data.size()) {
      const auto end = end_of_run(data, start);
      if (!is_zero(data.data() + start, std::min(hole, end - start)))
        write_at(data.subspan(start, end - start), at + start);
      start = end;
    }
  }

  void took(std::span<const unsigned char> data) override {
    notes_.update(hash_, data.data(), data.size());
    size_ += data.size();
    // The disk is set to work early, so that little is left for fsync to wait for.
    if (size_ - told_ < writeback_every) return;
    ::sync_file_range(fd_.get(), static_cast<off_t>(told_), static_cast<off_t>(size_ - told_),
                      SYNC_FILE_RANGE_WRITE);
    told_ = size_;
  }

  bool share(const KnownSpan& span) override {
    const UniqueFd from(::open(span.file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!from || !share_extent(from.get(), fd_.get(), span.at, span.length)) return false;
    if (::lseek(fd_.get(), static_cast<off_t>(span.at), SEEK_SET) < 0)
      throw Error("read " + path_ + ": " + errno_text(errno));
    Bytes data(member_size);
    for (std::uint64_t left = span.length; left > 0;) {
      const auto got = read_full(fd_.get(), data.data(),
                                 static_cast<std::size_t>(std::min<std::uint64_t>(left, data.size())), path_);
      if (got == 0) throw Error("read " + path_ + ": it is shorter than what was shared with it");
      took(std::span(data).first(got));
      left -= got;
    }
    shared_ += span.length;
    return true;
  }

  UnpackedDisk finish(std::string name) {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0 || ::fsync(fd_.get()) != 0) {
      throw Error("write " + path_ + ": " + errno_text(errno));
    }
    auto diff_id = hash_.finish();
    auto stretches = notes_.finish(diff_id);
    return {.name = std::move(name),
            .diff_id = std::move(diff_id),
            .size = size_,
            .spans = {},
            .shared = shared_,
            .stretches = std::move(stretches)};
  }

 private:
  static constexpr std::uint64_t writeback_every = 32U << 20U;

  /// End of the run of blocks from `start` that are all zero or all not.
  static std::size_t end_of_run(std::span<const unsigned char> data, std::size_t start) {
    const auto block_is_zero = [&](std::size_t at) {
      return is_zero(data.data() + at, std::min(hole, data.size() - at));
    };
    const bool zero = block_is_zero(start);
    auto end = start;
    while (end < data.size() && block_is_zero(end) == zero) end = std::min(end + hole, data.size());
    return end;
  }

  void write_at(std::span<const unsigned char> data, std::uint64_t at) const {
    while (!data.empty()) {
      const auto done = ::pwrite(fd_.get(), data.data(), data.size(), static_cast<off_t>(at));
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) throw Error("write " + path_ + ": " + errno_text(errno));
      data = data.subspan(static_cast<std::size_t>(done));
      at += static_cast<std::uint64_t>(done);
    }
  }

  std::string path_;
  UniqueFd fd_;
  Sha256 hash_;
  StretchNotes notes_;
  std::uint64_t size_ = 0;
  std::uint64_t shared_ = 0;
  std::uint64_t told_ = 0;  ///< up to where the kernel was told to write
};

[[noreturn]] void fail_short() {
  throw Error(Blame::job, "the disk's gzip data ends too early");
}

/// A piece of a disk: a member to open, or data that is there already.
struct Piece {
  Buffer member;
  Buffer data;
  std::uint64_t at = 0;
};

class Unpacker {
 public:
  Unpacker(const OciLayout& layout, const DiskLayers& disk, const UnpackOptions& options,
           Cancellation& cancellation)
      : chunks_(disk.chunks),
        reader_(layout, disk, options),
        options_(options),
        cancellation_(cancellation),
        can_share_(options.known != nullptr) {
    for (const auto& chunk : chunks_) {
      begins_.push_back(total_);
      total_ += chunk.size;
    }
    spans_.resize(chunks_.size());
  }

  /// The name in the first member's header; empty if there is none.
  std::string name() {
    const auto header = next_header();
    return header && header->name ? *header->name : std::string();
  }

  void run(DiskSink& sink) {
    for (auto header = next_header(); header; header = next_header()) {
      if (known_here() != nullptr) {
        share(sink);
      } else if (is_sized(*header)) {
        open_members(sink);
      } else {
        inflate_members(sink);
      }
    }
  }

  /// Where each layer's data is in the file, as far as layers begin and end with members.
  std::vector<LayerSpan> spans() const {
    std::vector<LayerSpan> whole;
    for (std::size_t i = 0; i < chunks_.size(); ++i) {
      const auto end = i + 1 < chunks_.size() ? spans_[i + 1] : std::optional(written_);
      if (spans_[i] && end)
        whole.push_back({.layer = chunks_[i].digest, .at = *spans_[i], .length = *end - *spans_[i]});
    }
    return whole;
  }

 private:
  /// The layer that begins with the member which comes next, noted with its place.
  std::optional<std::size_t> layer_here() {
    const auto position = reader_.consumed();
    const auto found = std::ranges::lower_bound(begins_, position);
    // A later layer begins one byte behind its member's beginning.
    const auto index = static_cast<std::size_t>(found - begins_.begin());
    if (position != 0 && (index == begins_.size() || begins_[index] != position + 1)) return std::nullopt;
    spans_[index] = written_;
    return index;
  }

  /// The known data of the layer that begins here, if it can take its place.
  const KnownSpan* known_here() {
    const auto layer = layer_here();
    if (!layer || !can_share_) return nullptr;
    const auto known = options_.known->find(chunks_[*layer].digest.text());
    const bool fits =
        known != options_.known->end() && known->second.at == written_ && known->second.length > 0;
    return fits ? &known->second : nullptr;
  }

  void share(DiskSink& sink) {
    const auto layer = *layer_here();
    const auto& known = *known_here();
    if (!sink.share(known)) {
      can_share_ = false;
      return;
    }
    written_ += known.length;
    check_size();
    if (layer + 1 == chunks_.size()) {
      reader_.pass_to(total_);
    } else {
      reader_.pass_to_last_byte_before(begins_[layer + 1]);
    }
    sign_of_life();
  }

  static bool is_sized(const MemberHeader& header) {
    return header.member_size && *header.member_size <= largest_member;
  }

  void check_size() const {
    if (written_ > options_.limit)
      throw Error(Blame::job, "a disk of the image unpacks to more than " + size_text(options_.limit) +
                                  ", which is all that is left of what it declares, or of max-image");
  }

  void sign_of_life() {
    cancellation_.check();
    if (options_.progress) options_.progress(reader_.consumed(), total_);
  }

  std::optional<MemberHeader> next_header() {
    const auto bytes = reader_.peek(largest_header);
    if (bytes.empty()) return std::nullopt;
    auto header = parse_member_header(bytes);
    if (!header) fail_short();
    return header;
  }

  /// Members whose size is in their headers: all threads open and write them, this one reads and hashes.
  void open_members(DiskSink& sink) {
    OrderedWorkers<Piece> workers(
        options_.threads,  // this thread has as much to do as one of them
        [&sink] {
          return [&sink, opener = std::make_shared<MemberDecompressor>()](Piece& piece) {
            opener->decompress(piece.member.bytes(), piece.data);
            sink.put(piece.data.bytes(), piece.at);
          };
        },
        [&sink](Piece& piece) { sink.took(piece.data.bytes()); });
    for (auto header = next_header(); header && is_sized(*header) && known_here() == nullptr;
         header = next_header()) {
      sign_of_life();
      const auto size = std::max<std::size_t>(*header->member_size, header->header_size);
      const auto bytes = reader_.peek(size);
      if (bytes.size() < size) fail_short();
      auto& piece = workers.next();
      std::copy_n(bytes.begin(), size, piece.member.make(size));
      piece.at = written_;
      written_ += member_data_size(piece.member.bytes());
      check_size();
      workers.submit();
      reader_.skip(size);
    }
    workers.finish();
  }

  /// Members of unknown size: this thread inflates, another one writes and hashes.
  void inflate_members(DiskSink& sink) {
    OrderedWorkers<Piece> writer(
        1,
        [&sink] {
          return [&sink](Piece& piece) {
            sink.put(piece.data.bytes(), piece.at);
            sink.took(piece.data.bytes());
          };
        },
        [](Piece& /*piece*/) {});
    for (auto header = next_header(); header && !is_sized(*header) && known_here() == nullptr;
         header = next_header()) {
      reader_.skip(header->header_size);
      MemberInflater inflater;
      for (bool ended = false; !ended;) {
        sign_of_life();
        auto& piece = writer.next();
        piece.data.make(member_size);
        piece.at = written_;
        ended = fill(inflater, piece.data);
        written_ += piece.data.size();
        check_size();
        writer.submit();
      }
    }
    writer.finish();
  }

  /// Inflates until the buffer is full or the member ends; tells whether it did.
  bool fill(MemberInflater& inflater, Buffer& data) {
    std::size_t filled = 0;
    bool ended = false;
    while (!ended && filled < data.size()) {
      cancellation_.check();  // a member may take long to give nothing
      const auto bytes = reader_.peek(1);
      const auto step = inflater.inflate(bytes, {data.data() + filled, data.size() - filled});
      if (bytes.empty() && step.written == 0 && !step.ended) fail_short();
      reader_.skip(step.read);
      filled += step.written;
      ended = step.ended;
    }
    data.cut(filled);
    return ended;
  }

  const std::vector<Descriptor>& chunks_;
  ChunkReader reader_;
  const UnpackOptions& options_;
  Cancellation& cancellation_;
  bool can_share_;
  std::vector<std::uint64_t> begins_;                ///< of the chunks, in the stream
  std::vector<std::optional<std::uint64_t>> spans_;  ///< of the chunks, in the file, where they begin
  std::uint64_t total_ = 0;
  std::uint64_t written_ = 0;
};

}  // namespace

bool is_disk_name(const std::string& name) {
  constexpr std::string_view others = "._+-=@~ ()";
  const bool is_plain = std::ranges::all_of(name, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           others.find(c) != std::string_view::npos;
  });
  return is_plain && is_bare_file_name(name);
}

bool is_bare_file_name(const std::string& name) {
  const bool odd = std::ranges::any_of(name, [](unsigned char c) { return c < 32 || c == 127 || c == '/'; });
  return !name.empty() && name.size() <= 200 && !odd && name.front() != '.';
}

UnpackedDisk unpack_disk(const OciLayout& layout, const DiskLayers& disk, const std::filesystem::path& folder,
                         const UnpackOptions& options, Cancellation& cancellation) {
  Unpacker unpacker(layout, disk, options, cancellation);
  const auto name = unpacker.name();
  if (!is_disk_name(name))
    throw Error(Blame::job,
                "the disk's gzip header names the file " + quote(name) + ", which is no plain file name");
  SparseWriter writer(folder / name);
  unpacker.run(writer);
  auto unpacked = writer.finish(name);
  unpacked.spans = unpacker.spans();
  return unpacked;
}

DiskSummary summarize_disk(const OciLayout& layout, const DiskLayers& disk, const UnpackOptions& options,
                           Cancellation& cancellation) {
  Unpacker unpacker(layout, disk, options, cancellation);
  auto name = unpacker.name();
  SummarySink sink;
  unpacker.run(sink);
  return sink.finish(std::move(name));
}

}  // namespace sarde
