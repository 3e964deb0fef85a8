#include "core/job/job_record.hpp"

#include <cerrno>
#include <fcntl.h>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_reading.hpp"
#include "core/foundation/text.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/system/files.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

using nlohmann::json;

namespace {

constexpr auto record_name = "record.json";
constexpr auto lock_name = "lock";
constexpr auto owner_name = "owner";
constexpr auto image_name = "image";
constexpr auto expectation_name = "vm-started";
constexpr auto description_name = "description.json";
constexpr auto stage_name = "stage";
constexpr auto time_to_keep_name = "time-to-keep";
constexpr auto keep_name = "kept-until.json";
constexpr auto ticket_name = "ticket";
constexpr auto reservation_name = "reservation";

std::optional<std::uint64_t> number_in(const std::filesystem::path& file) {
  const auto text = read_file_if_there(file);
  return text ? parse_number(trimmed(*text)) : std::nullopt;
}

}  // namespace

FileLock JobFolder::create(const std::optional<JobOwner>& owner) const {
  const auto jobsdir = path_.parent_path();
  make_folders(jobsdir, 0700);
  auto incoming = TempFolder::in(jobsdir, ".new-", 0700);
  auto lock = FileLock::try_for(incoming.path() / lock_name);
  if (!lock) throw Error("lock " + incoming.path().string() + ": somebody else has");
  if (owner) {
    const auto text = owner->runner.text() + "\n" + owner->response_file.string() + "\n";
    write_file(incoming.path() / owner_name, text, 0600);
  }
  incoming.rename_to(path_);
  return std::move(*lock);
}

void JobFolder::remove() const {
  const auto aside = TempFolder::in(path_.parent_path(), ".new-removed-", 0700);
  const auto target = aside.path() / path_.filename();
  std::error_code error;
  std::filesystem::rename(path_, target, error);
  if (error && error != std::errc::no_such_file_or_directory)
    throw Error("remove " + path_.string() + ": " + errno_text(error.value()));
  remove_if_there(target);
}

std::optional<JobOwner> JobFolder::owner() const {
  const auto text = read_file_if_there(path_ / owner_name).value_or("");
  const auto line_end = text.find('\n');
  if (line_end == std::string::npos || text.back() != '\n') return std::nullopt;
  auto runner = ProcessIdentity::parse(text.substr(0, line_end));
  if (!runner) return std::nullopt;
  return JobOwner{.runner = std::move(*runner),
                  .response_file = text.substr(line_end + 1, text.size() - line_end - 2)};
}

std::optional<FileLock> JobFolder::try_lock() const {
  return FileLock::try_for(path_ / lock_name);
}

bool JobFolder::is_locked() const {
  return FileLock::is_held(path_ / lock_name);
}

void JobFolder::take_ticket(std::uint64_t number) const {
  write_file(path_ / ticket_name, std::to_string(number), 0600);
}

std::optional<std::uint64_t> JobFolder::ticket() const {
  return number_in(path_ / ticket_name);
}

void JobFolder::reserve(std::uint64_t mib) const {
  write_file(path_ / reservation_name, std::to_string(mib), 0600);
  remove_if_there(path_ / ticket_name);
}

std::optional<std::uint64_t> JobFolder::reservation() const {
  return number_in(path_ / reservation_name);
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
  write_file(path_ / image_name, config_digest, 0600);
}

std::optional<std::string> JobFolder::image() const {
  return read_file_if_there(path_ / image_name);
}

void JobFolder::describe(const JobDescription& description) const {
  const json value{{"id", description.id},
                   {"project", description.project},
                   {"name", description.name},
                   {"image", description.image},
                   {"since", description.since}};
  write_file(path_ / description_name, value.dump(-1, ' ', false, json::error_handler_t::replace), 0600);
}

std::optional<JobDescription> JobFolder::description() const {
  const auto path = path_ / description_name;
  const auto text = read_file_if_there(path);
  if (!text) return std::nullopt;
  return read_json(*text, path.string(), Blame::host, [](const json& value) {
    return std::optional(JobDescription{.id = value.at("id").get<std::string>(),
                                        .project = value.at("project").get<std::string>(),
                                        .name = value.at("name").get<std::string>(),
                                        .image = value.at("image").get<std::string>(),
                                        .since = value.at("since").get<std::int64_t>()});
  });
}

void JobFolder::note_stage(const std::string& stage) const {
  if (stage.empty()) {
    remove_if_there(path_ / stage_name);
    return;
  }
  // Not synced and not renamed: it is for people to look at, and every script of a job waits for it.
  const auto file = path_ / stage_name;
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) throw Error("note the stage in " + file.string() + ": " + errno_text(errno));
  write_full(fd.get(), stage.data(), stage.size(), file.string());
}

std::string JobFolder::stage() const {
  return read_file_if_there(path_ / stage_name).value_or("");
}

void JobFolder::keep_after_job(std::chrono::seconds time) const {
  write_file(path_ / time_to_keep_name, std::to_string(time.count()), 0600);
}

std::optional<std::chrono::seconds> JobFolder::time_to_keep() const {
  const auto seconds = number_in(path_ / time_to_keep_name);
  return seconds ? std::optional(std::chrono::seconds(*seconds)) : std::nullopt;
}

void JobFolder::keep_until(const Moment& moment) const {
  const json value{{"unix", moment.unix_seconds}, {"boot", moment.boot}, {"uptime", moment.uptime}};
  write_file(path_ / keep_name, value.dump(), 0600);
}

std::optional<Moment> JobFolder::kept_until() const {
  const auto path = path_ / keep_name;
  const auto text = read_file_if_there(path);
  if (!text) return std::nullopt;
  return read_json(*text, path.string(), Blame::host, [](const json& value) {
    return std::optional(Moment{.unix_seconds = value.at("unix").get<std::int64_t>(),
                                .boot = value.at("boot").get<std::string>(),
                                .uptime = value.at("uptime").get<std::int64_t>()});
  });
}

void JobFolder::write(const JobRecord& record) const {
  const json value{{"address", record.address},
                   {"port", record.port},
                   {"host_key", record.host_key},
                   {"username", record.username},
                   {"password", record.password.reveal()},
                   {"identity_file", record.identity_file},
                   {"use_agent", record.use_agent},
                   {"legacy_ssh", record.legacy_ssh},
                   {"shell", record.shell},
                   {"timezone", record.timezone},
                   {"path_folder", record.path_folder},
                   {"saved_state", record.saved_state},
                   {"disk_limit", record.disk_limit},
                   {"disk_server", record.disk_server},
                   {"room", record.room}};
  write_file(path_ / record_name, value.dump(2), 0600);
}

std::optional<JobRecord> JobFolder::read() const {
  const auto path = path_ / record_name;
  const auto text = read_file_if_there(path);
  if (!text) return std::nullopt;
  return read_json(*text, path.string(), Blame::host, [](const json& value) {
    return std::optional(JobRecord{.address = value.at("address").get<std::string>(),
                                   .port = value.at("port").get<std::uint16_t>(),
                                   .host_key = value.at("host_key").get<std::string>(),
                                   .username = value.at("username").get<std::string>(),
                                   .password = Secret(value.at("password").get<std::string>()),
                                   .identity_file = value.at("identity_file").get<std::string>(),
                                   .use_agent = value.value("use_agent", false),
                                   .legacy_ssh = value.value("legacy_ssh", false),
                                   .shell = value.at("shell").get<std::string>(),
                                   .timezone = value.value("timezone", ""),
                                   .path_folder = value.value("path_folder", ""),
                                   .saved_state = value.value("saved_state", std::uint64_t{0}),
                                   .disk_limit = value.value("disk_limit", UINT64_MAX),
                                   .disk_server = value.value("disk_server", ""),
                                   .room = value.value("room", std::uint64_t{0})});
  });
}

}  // namespace sarde
