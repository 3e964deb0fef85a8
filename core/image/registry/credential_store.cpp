#include "core/image/registry/credential_store.hpp"

#include <filesystem>
#include <system_error>

#include "core/foundation/base64.hpp"
#include "core/foundation/json_reading.hpp"
#include "core/system/files.hpp"
#include "core/system/subprocess.hpp"

namespace sarde {

namespace {

std::string store_name(const Environment& environment) {
  const auto file =
      std::filesystem::path(environment.non_empty("HOME").value_or("/root")) / ".docker" / "config.json";
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return "";
  return read_json(read_file(file), file.string(), Blame::host,
                   [](const nlohmann::json& value) { return value.value("credsStore", ""); });
}

}  // namespace

std::optional<Secret> stored_credentials(const std::string& registry, const Environment& environment,
                                         Clock& clock, Cancellation& cancellation) {
  const auto name = store_name(environment);
  if (name.empty() || name.find('/') != std::string::npos) return std::nullopt;
  const auto helper = "docker-credential-" + name;
  const auto doing = "ask " + helper + " for the credentials of " + quote(registry);
  const auto key = registry == "docker.io" ? std::string("https://index.docker.io/v1/") : registry;
  constexpr std::chrono::seconds enough(30);
  const auto answer = within(doing, [&] {
    return run_program({.argv = {helper, "get"}, .environment = environment.list(), .input = key + "\n"},
                       {.clock = clock, .cancellation = cancellation, .deadline = clock.now() + enough});
  });
  if (!answer.succeeded()) return std::nullopt;
  // What is wrong with an answer is not quoted: it may be the secret.
  const auto value = nlohmann::json::parse(answer.output, nullptr, false);
  const bool fits = value.is_object() && value.value("Username", nlohmann::json()).is_string() &&
                    value.value("Secret", nlohmann::json()).is_string();
  if (!fits) throw Error(doing + ": its answer has not the form of a credential helper's");
  return Secret(to_base64(value["Username"].get<std::string>() + ":" + value["Secret"].get<std::string>()));
}

}  // namespace sarde
