#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace sarde::testing {

/// What a piece of work took.
struct Spent {
  double seconds = 0;    ///< of this thread's processor time
  std::size_t peak = 0;  ///< bytes of memory that were in use at most beyond what was before
};

/// Runs it and measures; other threads' work does not count for the time. The memory is what operator new,
/// malloc by pugixml included, gave: spent.cpp replaces them in the program that it is linked to.
Spent spent_in(const std::function<void()>& work);

}  // namespace sarde::testing
