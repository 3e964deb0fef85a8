#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <span>
#include <zlib.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk_packing.hpp"
#include "core/image/ordered_tasks.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

constexpr std::size_t read_ahead = 256U << 10U;
constexpr std::size_t largest_header = 66U << 10U;  ///< FEXTRA can have 64 KiB
constexpr std::size_t largest_member = 2 * member_size;
constexpr std::size_t hole = 4096;

/// The bytes of a disk's chunks, one after the other, each chunk checked against its digest when its end is
/// reached.
class ChunkReader {
 public:
  ChunkReader(const OciLayout& layout, const DiskLayers& disk) : layout_(layout), chunks_(disk.chunks) {}

  /// Makes at least `count` bytes ready, if that many are left; returns what is ready.
  std::span<const unsigned char> peek(std::size_t count) {
    while (buffer_.size() - at_ < count && read_more()) {
    }
    return std::span(buffer_).subspan(at_);
  }

  void skip(std::size_t count) { at_ += count; }

  [[nodiscard]] std::uint64_t consumed() const { return read_ - (buffer_.size() - at_); }

 private:
  bool read_more() {
    if (!file_ && next_ == chunks_.size()) return false;
    if (!file_) open_next();
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(at_));
    at_ = 0;
    const auto old = buffer_.size();
    buffer_.resize(old + read_ahead);
    const auto got = read_full(file_.get(), buffer_.data() + old, read_ahead, path_);
    buffer_.resize(old + got);
    hash_->update(buffer_.data() + old, got);
    read_ += got;
    read_of_chunk_ += got;
    if (got < read_ahead) finish_chunk();
    return true;
  }

  void open_next() {
    path_ = layout_.blob(chunks_[next_].digest).string();
    file_ = open_to_read(path_);
    hash_.emplace();
    read_of_chunk_ = 0;
  }

  void finish_chunk() {
    const auto& expected = chunks_[next_++];
    file_.reset();
    if (read_of_chunk_ != expected.size || hash_->finish() != expected.digest) {
      throw Error("read " + path_ +
                  ": its content does not match its digest; remove the file and fetch the image again");
    }
  }

  const OciLayout& layout_;
  const std::vector<Descriptor>& chunks_;
  std::size_t next_ = 0;
  UniqueFd file_;
  std::string path_;
  std::optional<Sha256> hash_;
  Bytes buffer_;
  std::size_t at_ = 0;
  std::uint64_t read_ = 0;
  std::uint64_t read_of_chunk_ = 0;
};

bool is_zero(const unsigned char* data, std::size_t size) {
  return std::all_of(data, data + size, [](unsigned char byte) { return byte == 0; });
}

/// Where a disk's bytes go, in their order.
class DiskSink {
 public:
  DiskSink() = default;
  DiskSink(const DiskSink&) = delete;
  DiskSink& operator=(const DiskSink&) = delete;
  virtual ~DiskSink() = default;
  virtual void write(std::span<const unsigned char> data) = 0;
};

/// Keeps the first bytes and counts all.
class SummarySink final : public DiskSink {
 public:
  void write(std::span<const unsigned char> data) override {
    const auto wanted = std::min(data.size(), kept_head - std::min(kept_head, summary_.head.size()));
    summary_.head.insert(summary_.head.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(wanted));
    summary_.size += data.size();
  }

  DiskSummary finish(std::string name) {
    summary_.name = std::move(name);
    return std::move(summary_);
  }

 private:
  static constexpr std::size_t kept_head = 64U << 10U;
  DiskSummary summary_;
};

/// Writes a file from its beginning, leaves blocks of zeros out, and hashes all.
class SparseWriter final : public DiskSink {
 public:
  explicit SparseWriter(const std::filesystem::path& path)
      : path_(path.string()), fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) {
    if (!fd_ && errno == EEXIST)
      throw Error(Blame::job, "unpack " + path_ + ": the image has two disks of this name");
    if (!fd_) throw Error("make " + path_ + ": " + errno_text(errno));
  }

  void write(std::span<const unsigned char> data) override {
    hash_.update(data.data(), data.size());
    std::size_t start = 0;
    while (start < data.size()) {
      const auto end = end_of_run(data, start);
      if (!is_zero(data.data() + start, std::min(hole, end - start)))
        put(data.subspan(start, end - start), size_ + start);
      start = end;
    }
    size_ += data.size();
  }

  UnpackedDisk finish(std::string name) {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0 || ::fsync(fd_.get()) != 0) {
      throw Error("write " + path_ + ": " + errno_text(errno));
    }
    return {.name = std::move(name), .diff_id = hash_.finish(), .size = size_};
  }

 private:
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

  void put(std::span<const unsigned char> data, std::uint64_t at) {
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
  std::uint64_t size_ = 0;
};

/// One member of unknown size, inflated as it comes.
class StreamInflater {
 public:
  StreamInflater() {
    constexpr int gzip_only = 16;
    if (::inflateInit2(&stream_, MAX_WBITS + gzip_only) != Z_OK) throw Error("decompress: out of memory");
  }

  StreamInflater(const StreamInflater&) = delete;
  StreamInflater& operator=(const StreamInflater&) = delete;

  ~StreamInflater() { ::inflateEnd(&stream_); }

  /// Inflates from `input`; returns bytes used. ended() tells whether the member is complete.
  std::size_t inflate(std::span<const unsigned char> input, DiskSink& output) {
    stream_.next_in = const_cast<unsigned char*>(input.data());
    stream_.avail_in = static_cast<unsigned>(input.size());
    do {
      stream_.next_out = buffer_.data();
      stream_.avail_out = static_cast<unsigned>(buffer_.size());
      const int result = ::inflate(&stream_, Z_NO_FLUSH);
      if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
        throw Error(Blame::job, std::string("the disk's gzip data is damaged (") +
                                    (stream_.msg != nullptr ? stream_.msg : "zlib") + ")");
      }
      output.write(std::span(buffer_).first(buffer_.size() - stream_.avail_out));
      ended_ = result == Z_STREAM_END;
    } while (!ended_ && stream_.avail_out == 0);
    return input.size() - stream_.avail_in;
  }

  [[nodiscard]] bool ended() const { return ended_; }

 private:
  z_stream stream_{};
  Bytes buffer_ = Bytes(read_ahead);
  bool ended_ = false;
};

[[noreturn]] void fail_short() {
  throw Error(Blame::job, "the disk's gzip data ends too early");
}

class Unpacker {
 public:
  Unpacker(const OciLayout& layout, const DiskLayers& disk, const UnpackOptions& options,
           Cancellation& cancellation)
      : reader_(layout, disk), options_(options), cancellation_(cancellation), tasks_(options.threads + 1) {
    for (const auto& chunk : disk.chunks) total_ += chunk.size;
  }

  /// The name in the first member's header; empty if there is none.
  std::string name() {
    const auto header = next_header();
    return header && header->name ? *header->name : std::string();
  }

  void run(DiskSink& writer) {
    const auto take = [&](const Bytes& data) { writer.write(data); };
    for (auto header = next_header(); header; header = next_header()) {
      cancellation_.check();
      if (header->member_size && *header->member_size <= largest_member) {
        add_member(*header->member_size, take);
      } else {
        tasks_.finish(take);
        stream_member(writer);
      }
      if (options_.progress) options_.progress(reader_.consumed(), total_);
    }
    tasks_.finish(take);
  }

 private:
  std::optional<MemberHeader> next_header() {
    const auto bytes = reader_.peek(largest_header);
    if (bytes.empty()) return std::nullopt;
    auto header = parse_member_header(bytes);
    if (!header) fail_short();
    return header;
  }

  template <typename Take>
  void add_member(std::size_t size, const Take& take) {
    const auto bytes = reader_.peek(size);
    if (bytes.size() < size) fail_short();
    tasks_.add(
        [member = Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size))] {
          return decompress_member(member);
        },
        take);
    reader_.skip(size);
  }

  void stream_member(DiskSink& writer) {
    StreamInflater inflater;
    while (!inflater.ended()) {
      cancellation_.check();
      const auto bytes = reader_.peek(1);
      if (bytes.empty()) fail_short();
      reader_.skip(inflater.inflate(bytes, writer));
      if (options_.progress) options_.progress(reader_.consumed(), total_);
    }
  }

  ChunkReader reader_;
  const UnpackOptions& options_;
  Cancellation& cancellation_;
  OrderedTasks<Bytes> tasks_;
  std::uint64_t total_ = 0;
};

}  // namespace

bool is_bare_file_name(const std::string& name) {
  const bool odd = std::ranges::any_of(name, [](unsigned char c) { return c < 32 || c == 127 || c == '/'; });
  return !name.empty() && name.size() <= 200 && !odd && name.front() != '.';
}

UnpackedDisk unpack_disk(const OciLayout& layout, const DiskLayers& disk, const std::filesystem::path& folder,
                         const UnpackOptions& options, Cancellation& cancellation) {
  Unpacker unpacker(layout, disk, options, cancellation);
  const auto name = unpacker.name();
  if (!is_bare_file_name(name))
    throw Error(Blame::job,
                "the disk's gzip header names the file " + quote(name) + ", which is no plain file name");
  SparseWriter writer(folder / name);
  unpacker.run(writer);
  return writer.finish(name);
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
