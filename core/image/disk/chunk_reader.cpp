#include "core/image/disk/chunk_reader.hpp"

#include <algorithm>

#include "core/foundation/error.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

constexpr std::size_t read_ahead = 256U << 10U;
constexpr unsigned char first_of_member = 0x1f;

}  // namespace

std::span<const unsigned char> ChunkReader::peek(std::size_t count) {
  while (end_ - at_ < count && read_more()) {
  }
  return std::span(buffer_).subspan(at_, end_ - at_);
}

void ChunkReader::pass_to(std::uint64_t position) {
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

void ChunkReader::pass_to_last_byte_before(std::uint64_t position) {
  pass_to(position);
  if (at_ == end_) {
    make_room();
    buffer_[end_++] = first_of_member;
  } else {
    --at_;
  }
}

bool ChunkReader::read_more() {
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
void ChunkReader::make_room() {
  if (end_ + read_ahead <= buffer_.size()) return;
  std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(at_),
            buffer_.begin() + static_cast<std::ptrdiff_t>(end_), buffer_.begin());
  end_ -= at_;
  at_ = 0;
  if (end_ + read_ahead > buffer_.size()) buffer_.resize(std::max(2 * buffer_.size(), 4 * read_ahead));
}

void ChunkReader::open_next() {
  if (options_.await) options_.await(chunks_[next_]);
  path_ = layout_.blob(chunks_[next_].digest).string();
  file_ = layout_.open_blob(chunks_[next_].digest);
  hash_.reset();
  if (!options_.is_checked || !options_.is_checked(chunks_[next_])) hash_.emplace();
  read_of_chunk_ = 0;
}

void ChunkReader::finish_chunk() {
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

}  // namespace sarde
