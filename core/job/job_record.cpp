#include "core/job/job_record.hpp"

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

using nlohmann::json;

namespace {

constexpr auto record_name = "record.json";
constexpr auto lock_name = "lock";
constexpr auto image_name = "image";
constexpr auto expectation_name = "vm-started";

}  // namespace

void JobFolder::create() const {
  make_folders(path_.parent_path(), 0711);
  make_folders(path_, 0711);
}

std::optional<FileLock> JobFolder::try_lock() const {
  return FileLock::try_for(path_ / lock_name);
}

bool JobFolder::is_prepared() const {
  std::error_code ignored;
  return std::filesystem::exists(path_ / record_name, ignored);
}

void JobFolder::expect_vm() const {
  write_file(path_ / expectation_name, "", 0600);
}

bool JobFolder::expects_vm() const {
  std::error_code ignored;
  return std::filesystem::exists(path_ / expectation_name, ignored);
}

void JobFolder::note_image(const std::string& config_digest) const {
  write_file(path_ / image_name, config_digest, 0644);
}

std::optional<std::string> JobFolder::image() const {
  return read_file_if_there(path_ / image_name);
}

void JobFolder::write(const JobRecord& record) const {
  const json value{{"address", record.address},
                   {"port", record.port},
                   {"host_key", record.host_key},
                   {"username", record.username},
                   {"password", record.password.reveal()},
                   {"identity_file", record.identity_file},
                   {"shell", record.shell}};
  write_file(path_ / record_name, value.dump(2), 0600);
}

std::optional<JobRecord> JobFolder::read() const {
  const auto path = path_ / record_name;
  const auto text = read_file_if_there(path);
  if (!text) return std::nullopt;
  try {
    const auto value = parse_json(*text, path.string());
    return JobRecord{.address = value.at("address").get<std::string>(),
                     .port = value.at("port").get<std::uint16_t>(),
                     .host_key = value.at("host_key").get<std::string>(),
                     .username = value.at("username").get<std::string>(),
                     .password = Secret(value.at("password").get<std::string>()),
                     .identity_file = value.at("identity_file").get<std::string>(),
                     .shell = value.at("shell").get<std::string>()};
  } catch (const json::exception& error) {
    throw Error("read " + path.string() + ": " + quote(error.what()));
  }
}

}  // namespace sarde
