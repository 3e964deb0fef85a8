#include "core/image/disk/chunk_reader.hpp"

#include <algorithm>

#include "core/foundation/error.hpp"

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
  // Bytes of it have been used: its end tells whether they were right.
  if (reader_ && read_of_chunk_ == chunks_[next_].size) read_more();
  // What is ahead of the buffer belongs to the chunk that is open, or to the one that would be next.
  if (reader_) read_ -= read_of_chunk_;
  reader_.reset();
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

void ChunkReader::check_open_chunk() {
  constexpr std::uint64_t far = 64U << 20U;
  if (!reader_ || chunks_[next_].size - std::min(read_of_chunk_, chunks_[next_].size) > far) return;
  read_to_end(*reader_);
}

bool ChunkReader::read_more() {
  if (!reader_) {
    if (next_ == chunks_.size()) return false;
    reader_ = blobs_.open(chunks_[next_]);
    read_of_chunk_ = 0;
  }
  make_room();
  std::size_t got = 0;
  try {
    got = reader_->read(buffer_.data() + end_, read_ahead);
  } catch (...) {
    reader_.reset();  // it has said what there is to say
    throw;
  }
  end_ += got;
  read_ += got;
  read_of_chunk_ += got;
  if (got == 0) {
    reader_.reset();
    ++next_;
  }
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

}  // namespace sarde
