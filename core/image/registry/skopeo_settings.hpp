#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace sarde {

struct SkopeoSettings {
  /// Holds what skopeo fetches until it is complete. It is on the file system of the layouts, because skopeo
  /// renames it into them. Made if it is not there. Its path has no colon.
  std::filesystem::path temporary_folder;
  bool insecure = false;  ///< plain HTTP and unverified certificates for every registry
  std::vector<std::string> insecure_registries;
  std::filesystem::path authfile;          ///< empty: skopeo's own places
  std::filesystem::path signature_policy;  ///< empty: skopeo's own
  std::string platform;                 ///< os/architecture, as Go calls them; empty: Linux on this processor
  std::chrono::milliseconds timeout{};  ///< for one transfer, all tries together
  /// Told of each try that is repeated, and (detail) of each start of skopeo; maybe in another thread.
  std::function<void(const std::string& line)> announce = {};
  std::function<void(const std::string& line)> detail = {};
};

}  // namespace sarde
