#pragma once

#include <filesystem>
#include <string>

#include "core/system/files.hpp"
#include "core/system/temp_files.hpp"

namespace sarde::testing {

/// A folder of the test's own, gone at its end.
class TestFolder {
 public:
  explicit TestFolder(const std::filesystem::path& parent = "/tmp")
      : folder_(TempFolder::in(parent, "sarde-test-", 0755)) {}

  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const {
    return folder_.path() / name;
  }

  [[nodiscard]] const std::filesystem::path& path() const { return folder_.path(); }

 private:
  TempFolder folder_;
};

}  // namespace sarde::testing
