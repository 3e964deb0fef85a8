#pragma once

#include <span>

#include "core/foundation/error.hpp"

namespace sarde::fuzz {

using Input = std::span<const unsigned char>;

/// What the parser promises, whatever it was fed: a finding if it does not hold.
inline void must(bool holds) {
  if (!holds) __builtin_trap();
}

/// Runs it; an Error is an answer like any other.
template <typename Parse>
void tolerate(Parse parse) {
  try {
    parse();
  } catch (const Error&) {
  }
}

}  // namespace sarde::fuzz
