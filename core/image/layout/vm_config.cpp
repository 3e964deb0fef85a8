#include "core/image/layout/vm_config.hpp"

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/foundation/did_you_mean.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/json_reading.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

using nlohmann::json;

namespace {

/// Nothing where there is no such key.
std::optional<std::string> text_in(const json& value, const char* key, const std::string& where) {
  if (!value.contains(key)) return std::nullopt;
  if (!value[key].is_string()) throw Error(where + ": its " + key + " is no text");
  return value[key].get<std::string>();
}

/// The members of a list of objects; none where there is no such key.
std::vector<json> objects_in(const json& value, const char* key, const std::string& where) {
  if (!value.is_object())
    throw Error(where + ": it does not have the expected form, an object with 'users' and 'services'");
  if (!value.contains(key)) return {};
  const auto& list = value[key];
  const bool fits =
      list.is_array() && std::ranges::all_of(list, [](const json& one) { return one.is_object(); });
  if (!fits) throw Error(where + ": '" + key + "' is not a list of objects");
  return list.get<std::vector<json>>();
}

}  // namespace

VmConfig parse_vm_config(std::string_view text, const std::string& what) {
  return read_json(text, what, Blame::job, [&](const json& value) {
    VmConfig config;
    const auto where = "read " + what;
    const auto users = objects_in(value, "users", where);
    if (!users.empty()) {
      config.username = text_in(users.front(), "username", where + ": the first user");
      if (const auto password = text_in(users.front(), "password", where + ": the first user"))
        config.password = Secret(*password);
      config.has_nameless_user = !config.username;
    }
    for (const auto& service : objects_in(value, "services", where)) {
      if (text_in(service, "service", where + ": a service") != "ssh") continue;
      const auto port = service.value("port", json());
      if (!port.is_number_unsigned() || port.get<std::uint64_t>() == 0 || port.get<std::uint64_t>() > 65535)
        throw Error(where + ": the ssh port " +
                    quote(port.dump(-1, ' ', true, json::error_handler_t::replace)) +
                    " is not between 1 and 65535");
      config.ssh_port = static_cast<std::uint16_t>(port.get<std::uint64_t>());
    }
    return config;
  });
}

namespace {

void doubt_keys(const json& value, const std::vector<std::string>& known, const std::string& where,
                std::vector<std::string>& doubts) {
  for (const auto& [key, ignored] : value.items()) {
    if (std::ranges::find(known, key) != known.end()) continue;
    doubts.push_back("nothing reads the key " + quote(key) + " of " + where + did_you_mean(key, known));
  }
}

}  // namespace

std::vector<std::string> doubts_about_vm_config(std::string_view text) {
  std::vector<std::string> doubts;
  const auto value = json::parse(text, nullptr, false);
  if (!value.is_object()) return doubts;
  doubt_keys(value, {"users", "services"}, "the vm config", doubts);
  const auto users = objects_in(value, "users", "the vm config");
  for (const auto& user : users) doubt_keys(user, {"username", "password"}, "a user", doubts);
  for (const auto& service : objects_in(value, "services", "the vm config"))
    doubt_keys(service, {"service", "port", "protocol"}, "a service", doubts);
  if (users.empty())
    doubts.emplace_back("it names no user; jobs need 'username' and a key or 'password' in the settings");
  else if (!users.front().contains("password"))
    doubts.emplace_back("its first user has no password; jobs need one, or a key, in the settings");
  return doubts;
}

}  // namespace sarde
