#pragma once

#include <span>
#include <string_view>

namespace sarde::fuzz {

/// Feeds bytes to a parser of foreign text. What it refuses it refuses by Error; anything else that leaves
/// the target is a finding.
using Target = void (*)(std::span<const unsigned char> bytes);

struct NamedTarget {
  std::string_view name;
  Target run;
};

/// Every target there is; tests/fuzz/corpus has a folder for each.
std::span<const NamedTarget> targets();

/// Null if there is none of that name.
Target find_target(std::string_view name);

}  // namespace sarde::fuzz
