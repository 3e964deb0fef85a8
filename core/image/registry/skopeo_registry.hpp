#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/foundation/error.hpp"
#include "core/image/registry/registry.hpp"
#include "core/system/clock.hpp"
#include "core/system/environment.hpp"

namespace sarde {

struct SkopeoSettings {
  /// For what skopeo brings, until it is whole: on the file system of the layouts, for skopeo renames it into
  /// them. Made if it is not there. Its path has no colon.
  std::filesystem::path temporary_folder;
  bool insecure = false;  ///< plain HTTP and unverified certificates for every registry
  std::vector<std::string> insecure_registries;
  std::filesystem::path authfile;          ///< empty: skopeo's own places
  std::filesystem::path signature_policy;  ///< empty: skopeo's own
  std::chrono::milliseconds timeout{};
};

/// A Registry that runs skopeo (1.9 or newer). The clock, the cancellation and the environment must outlive
/// it.
std::unique_ptr<Registry> make_skopeo_registry(SkopeoSettings settings, const Environment& environment,
                                               Clock& clock, Cancellation& cancellation);

/// What skopeo's stderr means: it exits with 1 for everything. `doing` starts the message ("fetch 'a/b:c'").
Error explain_skopeo_failure(const std::string& doing, std::string_view errors);

}  // namespace sarde
