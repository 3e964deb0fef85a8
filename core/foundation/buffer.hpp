#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace sarde {

/// A reusable byte buffer. Unlike a vector, it does not clear the memory that it provides, and it never
/// shrinks.
class Buffer {
 public:
  /// Provides room for `size` bytes with undefined content. If the buffer has to grow, its previous content
  /// is lost.
  unsigned char* make(std::size_t size) {
    if (size > capacity_) {
      bytes_.reset(new unsigned char[size]);
      capacity_ = size;
    }
    size_ = size;
    return bytes_.get();
  }

  /// Keeps only the first `size` of these bytes.
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
