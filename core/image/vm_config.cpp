#include "core/image/vm_config.hpp"

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

using nlohmann::json;

VmConfig parse_vm_config(std::string_view text, const std::string& what) {
  try {
    const auto value = parse_json(text, what);
    VmConfig config;
    const auto users = value.value("users", json::array());
    if (!users.empty()) {
      const auto& user = users.at(0);
      if (!user.is_object()) throw Error("read " + what + ": its first user has not the expected form");
      if (user.contains("username")) config.username = user["username"].get<std::string>();
      if (user.contains("password")) config.password = Secret(user["password"].get<std::string>());
    }
    for (const auto& service : value.value("services", json::array())) {
      if (service.value("service", "") != "ssh") continue;
      const auto port = service.at("port").get<std::uint64_t>();
      if (port == 0 || port > 65535)
        throw Error("read " + what + ": the ssh port " + std::to_string(port) +
                    " is not between 1 and 65535");
      config.ssh_port = static_cast<std::uint16_t>(port);
    }
    return config;
  } catch (const json::exception& error) {
    throw Error(Blame::job, "read " + what + ": it has not the expected form: " + quote(error.what()));
  } catch (const Error& error) {
    throw Error(Blame::job, error.what());
  }
}

}  // namespace sarde
