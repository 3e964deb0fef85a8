#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace sarde {

/// Bytes to be used again and again: unlike a vector it does not clear what it gives, and never shrinks.
class Buffer {
 public:
  /// Room for `size` bytes, of any content; what was there before is lost if it has to grow.
  unsigned char* make(std::size_t size) {
    if (size > capacity_) {
      bytes_.reset(new unsigned char[size]);
      capacity_ = size;
    }
    size_ = size;
    return bytes_.get();
  }

  /// Keeps the first `size` bytes of those made.
  void cut(std::size_t size) { size_ = size; }

  [[nodiscard]] unsigned char* data() { return bytes_.get(); }

  [[nodiscard]] std::size_t size() const { return size_; }

  [[nodiscard]] std::span<const unsigned char> bytes() const { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<unsigned char[]> bytes_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
};

}  // namespace sarde
