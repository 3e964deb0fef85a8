#pragma once

#include <memory>

namespace sarde {

/// Owns a pointer from a C library, which is released by the given function: CHandle<gzFile_s, gzclose>.
template <auto Release>
struct ReleaseWith {
  template <typename T>
  void operator()(T* pointer) const noexcept {
    static_cast<void>(Release(pointer));
  }
};

template <typename T, auto Release>
using CHandle = std::unique_ptr<T, ReleaseWith<Release>>;

}  // namespace sarde
