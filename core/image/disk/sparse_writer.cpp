#include "core/image/disk/sparse_writer.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "core/foundation/bytes.hpp"
#include "core/foundation/error.hpp"
#include "core/image/disk/gzip_stream.hpp"
#include "core/image/disk/reflink.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

constexpr std::size_t hole = 4096;
constexpr std::uint64_t writeback_every = 32U << 20U;

bool is_zero(const unsigned char* data, std::size_t size) {
  return data[0] == 0 && std::memcmp(data, data + 1, size - 1) == 0;
}

/// End of the run of blocks from `start` that are all zero or all not.
std::size_t end_of_run(std::span<const unsigned char> data, std::size_t start) {
  const auto block_is_zero = [&](std::size_t at) {
    return is_zero(data.data() + at, std::min(hole, data.size() - at));
  };
  const bool zero = block_is_zero(start);
  auto end = start;
  while (end < data.size() && block_is_zero(end) == zero) end = std::min(end + hole, data.size());
  return end;
}

void write_at(int fd, const std::string& path, std::span<const unsigned char> data, std::uint64_t at) {
  while (!data.empty()) {
    const auto done = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(at));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw Error("write " + path + ": " + errno_text(errno));
    data = data.subspan(static_cast<std::size_t>(done));
    at += static_cast<std::uint64_t>(done);
  }
}

}  // namespace

void put_sparsely(int fd, const std::string& path, std::span<const unsigned char> data, std::uint64_t at,
                  Zeros zeros) {
  if (zeros == Zeros::written) return write_at(fd, path, data, at);
  std::size_t start = 0;
  while (start < data.size()) {
    const auto end = end_of_run(data, start);
    if (!is_zero(data.data() + start, std::min(hole, end - start)))
      write_at(fd, path, data.subspan(start, end - start), at + start);
    start = end;
  }
}

SparseWriter::SparseWriter(const std::filesystem::path& path, Hashing hashing)
    : path_(path.string()), fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) {
  if (!fd_ && errno == EEXIST)
    throw Error(Blame::job, "unpack " + path_ + ": the image has two disks of this name");
  if (!fd_) throw Error("make " + path_ + ": " + errno_text(errno));
  if (hashing == Hashing::whole) hash_.emplace();
}

void SparseWriter::put(std::span<const unsigned char> data, std::uint64_t at) const {
  put_sparsely(fd_.get(), path_, data, at, Zeros::left_out);
}

void SparseWriter::took(std::span<const unsigned char> data) {
  notes_.update(data);
  if (hash_) hash_->update(data.data(), data.size());
  size_ += data.size();
  // The disk is set to work early, so that little is left for fsync to wait for.
  if (size_ - told_ < writeback_every) return;
  ::sync_file_range(fd_.get(), static_cast<off_t>(told_), static_cast<off_t>(size_ - told_),
                    SYNC_FILE_RANGE_WRITE);
  told_ = size_;
}

bool SparseWriter::share(const KnownSpan& span) {
  const UniqueFd from(::open(span.file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!from || ::lseek(from.get(), 0, SEEK_END) < static_cast<off_t>(span.at + span.length)) return false;
  const bool is_one_extent = share_extent(from.get(), fd_.get(), span.at, span.length);
  Bytes data(member_size);
  for (std::uint64_t left = span.length; left > 0;) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left, data.size()));
    const auto got = ::pread(from.get(), data.data(), size, static_cast<off_t>(span.at + span.length - left));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      throw ReuseFailed("read " + span.file.string() + ": " +
                        (got < 0 ? errno_text(errno) : "it has become shorter"));
    const auto piece = std::span(data).first(static_cast<std::size_t>(got));
    if (!is_one_extent) put(piece, span.at + span.length - left);
    took(piece);
    left -= piece.size();
  }
  reused_ += span.length;
  return true;
}

UnpackedDisk SparseWriter::finish(std::string name, bool sync) {
  if (::ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0 || (sync && ::fsync(fd_.get()) != 0)) {
    throw Error("write " + path_ + ": " + errno_text(errno));
  }
  return {.name = std::move(name),
          .diff_id = hash_ ? std::optional(hash_->finish()) : std::nullopt,
          .size = size_,
          .spans = {},
          .reused = reused_,
          .pieces = notes_.finish()};
}

}  // namespace sarde
