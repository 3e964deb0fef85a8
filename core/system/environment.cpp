#include "core/system/environment.hpp"

#include <algorithm>
#include <array>
#include <sstream>
#include <string_view>
#include <unistd.h>

namespace sarde {

Environment Environment::for_helpers() const {
  constexpr std::array<std::string_view, 28> names{"PATH",
                                                   "HOME",
                                                   "USER",
                                                   "LOGNAME",
                                                   "LANG",
                                                   "TZ",
                                                   "TERM",
                                                   "NO_COLOR",
                                                   "http_proxy",
                                                   "https_proxy",
                                                   "no_proxy",
                                                   "all_proxy",
                                                   "HTTP_PROXY",
                                                   "HTTPS_PROXY",
                                                   "NO_PROXY",
                                                   "ALL_PROXY",
                                                   "SSL_CERT_FILE",
                                                   "SSL_CERT_DIR",
                                                   "GNUPGHOME",
                                                   "SSH_AUTH_SOCK",
                                                   "DOCKER_CONFIG",
                                                   "REGISTRY_AUTH_FILE",
                                                   "LD_LIBRARY_PATH",
                                                   "ASAN_OPTIONS",
                                                   "LSAN_OPTIONS",
                                                   "UBSAN_OPTIONS",
                                                   "TSAN_OPTIONS",
                                                   "KRB5CCNAME"};
  constexpr std::array<std::string_view, 4> beginnings{"LC_", "XDG_", "LIBVIRT_", "CONTAINERS_"};
  Variables kept;
  for (const auto& [name, value] : values_) {
    const bool is_listed = std::ranges::find(names, name) != names.end();
    const bool begins_so = std::ranges::any_of(
        beginnings, [&, &name = name](std::string_view beginning) { return name.starts_with(beginning); });
    if (is_listed || begins_so) kept.emplace(name, value);
  }
  return Environment(std::move(kept));
}

std::filesystem::path find_program(const std::string& name, const Environment& environment) {
  if (name.find('/') != std::string::npos)
    return ::access(name.c_str(), X_OK) == 0 ? std::filesystem::path(name) : std::filesystem::path();
  std::istringstream folders(environment.non_empty("PATH").value_or("/usr/bin:/bin"));
  for (std::string folder; std::getline(folders, folder, ':');) {
    const auto file = std::filesystem::path(folder) / name;
    if (folder.starts_with('/') && ::access(file.c_str(), X_OK) == 0) return file;
  }
  return {};
}

}  // namespace sarde
