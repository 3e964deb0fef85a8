#include "core/image/registry/signature_policy.hpp"

#include <algorithm>
#include <pwd.h>
#include <unistd.h>

#include "core/foundation/error.hpp"
#include "core/foundation/json_reading.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace fs = std::filesystem;
using nlohmann::json;

fs::path usual_signature_policy(const Environment& environment) {
  const passwd* account = ::getpwuid(::geteuid());
  const auto home = environment.non_empty("HOME").value_or(account != nullptr ? account->pw_dir : "/root");
  const auto own = fs::path(home) / ".config/containers/policy.json";
  std::error_code ignored;
  return fs::exists(own, ignored) ? own : fs::path("/etc/containers/policy.json");
}

bool lets_everything_in(const fs::path& policy) {
  const auto is_open = [](const json& requirements) {
    return requirements.is_array() && !requirements.empty() &&
           std::ranges::all_of(requirements, [](const json& one) {
             return one.at("type").get<std::string>() == "insecureAcceptAnything";
           });
  };
  try {
    return read_json(read_file(policy), policy.string(), Blame::host, [&](const json& value) {
      const auto transports = value.value("transports", json::object());
      return is_open(value.at("default")) && std::ranges::all_of(transports, [&](const json& scopes) {
               return std::ranges::all_of(scopes, is_open);
             });
    });
  } catch (const Error&) {
    return false;
  }
}

}  // namespace sarde
