#pragma once

#include <filesystem>
#include <string>

#include "core/foundation/secret.hpp"
#include "core/image/registry/skopeo_program.hpp"
#include "core/image/registry/skopeo_settings.hpp"
#include "core/system/environment.hpp"

namespace sarde {

/// Logs in at registries and out again, through skopeo; its settings' auth file keeps the credentials. What
/// it was made from must outlive it.
class SkopeoLogins {
 public:
  SkopeoLogins(const SkopeoSettings& settings, const Environment& environment, const SkopeoProgram& skopeo)
      : settings_(settings), environment_(environment), skopeo_(skopeo) {}

  /// As Registry::login.
  void login(const std::string& registry, const std::string& username, const Secret& password) const;

  /// As Registry::logout.
  void logout(const std::string& registry) const;

 private:
  [[nodiscard]] std::filesystem::path lasting_authfile() const;

  const SkopeoSettings& settings_;
  const Environment& environment_;
  const SkopeoProgram& skopeo_;
};

}  // namespace sarde
