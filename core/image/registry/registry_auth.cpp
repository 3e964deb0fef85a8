#include "core/image/registry/registry_auth.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/foundation/host_name.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

bool is_for(const std::string& key, const ImageReference& reference) {
  const auto scheme = key.find("://");
  auto name = scheme == std::string::npos ? key : key.substr(scheme + 3);
  if (scheme != std::string::npos) name = split(name, '/').front();  // https://index.docker.io/v1/
  for (const std::string_view end : {"/", "/v1", "/v2"})
    if (name.ends_with(end)) name.resize(name.size() - end.size());
  const auto host = split(name, '/').front();
  name = canonical_host(host) + name.substr(host.size());
  return std::ranges::any_of(reference.names(), [&](const std::string& of_image) {
    return !name.empty() && (of_image == name || of_image.starts_with(name + "/"));
  });
}

void write_registry_auth(const std::filesystem::path& file, const std::string& registry, const Secret& auth) {
  nlohmann::json value;
  value["auths"][registry]["auth"] = auth.reveal();
  write_file(file, value.dump(), 0600);
}

}  // namespace sarde
