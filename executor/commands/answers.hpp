#pragma once

#include <cstdint>
#include <string>

#include "core/image/store/stored_image.hpp"
#include "executor/commands/command_tools.hpp"

namespace sarde {

/// A VM that a command has defined, or that was there already.
struct DefinedVm {
  std::string name;
  std::string uuid;
};

/// An image that a command has made, fetched or pushed.
struct NamedImage {
  std::string name;  ///< its reference; or the folder of the layout
  Digest digest;     ///< of its manifest
  Digest id;         ///< of its config
  std::uint64_t compressed_size = 0;
};

NamedImage named(const StoredImage& image);

// What commands print of them as JSON: an object with the members' names.
std::string as_json(const DefinedVm& vm);
std::string as_json(const NamedImage& image);

}  // namespace sarde
