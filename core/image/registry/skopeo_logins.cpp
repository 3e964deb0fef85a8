#include "core/image/registry/skopeo_logins.hpp"

#include <optional>
#include <system_error>
#include <vector>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

void SkopeoLogins::login(const std::string& registry, const std::string& username,
                         const Secret& password) const {
  const auto file = settings_.authfile.empty() ? lasting_authfile() : settings_.authfile;
  make_folders(file.parent_path(), 0700);
  std::vector<std::string> arguments{"login",      "--authfile", file.string(),
                                     "--username", username,     "--password-stdin"};
  const auto tls = skopeo_.tls("--tls-verify", registry);
  arguments.insert(arguments.end(), tls.begin(), tls.end());
  arguments.push_back(registry);
  skopeo_.run({.doing = "log in at " + quote(registry), .arguments = arguments, .input = password.reveal()});
}

void SkopeoLogins::logout(const std::string& registry) const {
  // Of two places that skopeo reads, one may hold what skopeo itself was told.
  const auto which = registry == "*" ? std::string("--all") : registry;
  std::vector<std::filesystem::path> files{settings_.authfile};
  if (settings_.authfile.empty()) files.push_back(lasting_authfile());
  std::optional<Error> failure;
  std::size_t done = 0;
  for (const auto& file : files) {
    std::error_code ignored;
    if (!file.empty() && !std::filesystem::exists(file, ignored)) continue;
    std::vector<std::string> arguments{"logout"};
    if (!file.empty()) arguments.insert(arguments.end(), {"--authfile", file.string()});
    arguments.push_back(which);
    try {
      skopeo_.run({.doing = "log out from " + quote(registry), .arguments = arguments});
      ++done;
    } catch (const Error& error) {
      failure = error;
    }
  }
  if (done == 0 && failure) throw *failure;
  if (done == 0)
    throw Error(Blame::job, "log out from " + quote(registry) + ": no credentials are stored for it");
}

/// Where credentials survive a reboot, and where skopeo and podman look for them too
/// (containers-auth.json(5)).
std::filesystem::path SkopeoLogins::lasting_authfile() const {
  if (const auto given = environment_.non_empty("REGISTRY_AUTH_FILE")) return *given;
  return std::filesystem::path(environment_.non_empty("HOME").value_or("/root")) / ".config" / "containers" /
         "auth.json";
}

}  // namespace sarde
