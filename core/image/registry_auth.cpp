#include "core/image/registry_auth.hpp"

#include <nlohmann/json.hpp>

#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

void write_registry_auth(const std::filesystem::path& file, const RegistryCredentials& credentials) {
  nlohmann::json value;
  value["auths"][credentials.registry]["auth"] =
      to_base64(credentials.username + ":" + credentials.password.reveal());
  write_file(file, value.dump(), 0600);
}

}  // namespace sarde
