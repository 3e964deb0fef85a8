#pragma once

#include <memory>

namespace sarde {

/// Owner of a C library's pointer, released by the function named: CHandle<gzFile_s, gzclose>.
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
