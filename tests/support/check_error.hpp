#pragma once

#include <string>

#include <doctest/doctest.h>

#include "core/foundation/error.hpp"

namespace sarde::testing {

/// The Error that `work` throws; fails the test if it throws none.
template <typename Work>
Error error_of(Work&& work) {
  try {
    work();
  } catch (const Error& error) {
    return error;
  }
  FAIL("no Error was thrown");
  return Error("");
}

/// Checks both halves of an Error: whose fault it is and what it says.
template <typename Work>
void check_error(Blame blame, const std::string& fragment, Work&& work) {
  const auto error = error_of(work);
  INFO(error.what());
  CHECK(error.blame() == blame);
  CHECK(std::string(error.what()).find(fragment) != std::string::npos);
}

}  // namespace sarde::testing
