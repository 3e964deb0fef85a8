#include "core/foundation/host_name.hpp"

#include "core/foundation/text.hpp"

namespace sarde {

bool looks_like_host(std::string_view component) {
  return component == "localhost" || component.find_first_of(".:") != std::string_view::npos;
}

std::string canonical_host(std::string_view text) {
  const auto whole = lowered(text);
  const auto colon = whole.rfind(':');
  auto host = whole.substr(0, colon);
  if (host == "index.docker.io" || host == "registry-1.docker.io") host = "docker.io";
  if (colon == std::string::npos) return host;
  constexpr std::uint64_t https_port = 443;
  const auto port = parse_number(std::string_view(whole).substr(colon + 1));
  if (!port) return host + whole.substr(colon);
  return *port == https_port && looks_like_host(host) ? host : host + ":" + std::to_string(*port);
}

}  // namespace sarde
