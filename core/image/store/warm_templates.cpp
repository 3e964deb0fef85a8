#include "core/image/store/warm_templates.hpp"

#include <algorithm>
#include <array>
#include <sys/stat.h>

#include "core/foundation/digest.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/json_reading.hpp"
#include "core/image/store/disk_checks.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr auto temporary = ".new-";
constexpr auto record_name = "template.json";
constexpr auto files_name = "files.json";  ///< sizes and digests of what was saved
constexpr auto looks_name = "looks.json";  ///< as they were when they were last read, and in which boot

json as_json(const WarmTemplate& made) {
  return {{"made", made.made},         {"max_age", made.max_age.count()}, {"shape", made.shape},
          {"host_key", made.host_key}, {"boot_ms", made.boot.count()},    {"disks", made.disks},
          {"proven", made.is_proven},  {"refusal", made.refusal}};
}

std::optional<WarmTemplate> read_record(const fs::path& folder) {
  const auto file = folder / record_name;
  try {
    const auto text = read_file_if_there(file);
    if (!text) return std::nullopt;
    return read_json(*text, file.string(), Blame::host, [&](const json& value) {
      return WarmTemplate{.folder = folder,
                          .made = value.at("made").get<std::int64_t>(),
                          .max_age = std::chrono::seconds(value.at("max_age").get<std::int64_t>()),
                          .shape = value.at("shape").get<std::string>(),
                          .host_key = value.at("host_key").get<std::string>(),
                          .boot = std::chrono::milliseconds(value.at("boot_ms").get<std::int64_t>()),
                          .disks = value.at("disks").get<std::vector<std::string>>(),
                          .is_proven = value.at("proven").get<bool>(),
                          .refusal = value.at("refusal").get<std::string>(),
                          .bytes = disk_space_of(folder)};
    });
  } catch (const Error&) {
    return std::nullopt;  // then it is none
  }
}

bool is_too_old(const WarmTemplate& made, const Clock& clock) {
  const auto age = clock.moment().unix_seconds - made.made;
  return age < 0 || age > made.max_age.count();
}

std::vector<fs::path> template_folders(const fs::path& image) {
  auto folders = folder_entries(image / warm_folder);
  std::erase_if(folders, [](const fs::path& path) {
    std::error_code gone;
    return path.filename().string().starts_with('.') || !fs::is_directory(path, gone);
  });
  return folders;
}

/// The files that VMs continue from.
std::vector<fs::path> files_in(const fs::path& folder) {
  auto files = folder_entries(folder);
  std::erase_if(files, [](const fs::path& file) {
    const auto name = file.filename();
    return name == record_name || name == files_name || name == looks_name || name.string().starts_with('.');
  });
  return files;
}

json digests_in(const fs::path& folder, Cancellation& cancellation) {
  json digests = json::object();
  for (const auto& file : files_in(folder))
    digests[file.filename().string()] = digest_of_file(file, cancellation).text();
  return digests;
}

json looks_in(const fs::path& folder, const Clock& clock) {
  json looks{{"boot", clock.moment().boot}};
  for (const auto& file : files_in(folder)) {
    struct stat status {};

    if (::stat(file.c_str(), &status) != 0) continue;
    looks[file.filename().string()] = {status.st_ino, status.st_size, status.st_mtim.tv_sec,
                                       status.st_mtim.tv_nsec};
  }
  return looks;
}

json read_if_there(const fs::path& file) {
  const auto text = read_file_if_there(file);
  if (!text) return json();
  return read_json(*text, file.string(), Blame::host, [](const json& value) { return value; });
}

}  // namespace

WarmTemplates::WarmTemplates(const fs::path& image, const std::string& key)
    : folder_(image / warm_folder), name_(Digest::of(key).hex().substr(0, 16)) {}

std::vector<WarmTemplate> WarmTemplates::all_of(const fs::path& image) {
  std::vector<WarmTemplate> all;
  for (const auto& folder : template_folders(image))
    if (auto record = read_record(folder)) all.push_back(std::move(*record));
  return all;
}

RemovedFiles WarmTemplates::remove_old(const fs::path& vmdir, const Clock& clock, Removal removal) {
  RemovedFiles removed;
  for (const auto& image : folder_entries(vmdir)) {
    for (const auto& folder : template_folders(image)) {
      const auto record = read_record(folder);
      if (record && !is_too_old(*record, clock)) continue;
      ++removed.files;
      removed.bytes += disk_space_of(folder);
      if (removal == Removal::real) drop({.folder = folder});
    }
  }
  return removed;
}

std::optional<WarmTemplate> WarmTemplates::find(const Clock& clock) const {
  std::optional<WarmTemplate> newest;
  for (const auto& folder : folder_entries(folder_)) {
    if (!folder.filename().string().starts_with(name_ + "-")) continue;
    auto record = read_record(folder);
    if (record && !is_too_old(*record, clock) && (!newest || newest->made <= record->made))
      newest = std::move(record);
  }
  return newest;
}

bool WarmTemplates::is_whole(const WarmTemplate& made, const Clock& clock, Cancellation& cancellation) {
  try {
    const auto looks = looks_in(made.folder, clock);
    if (!clock.moment().boot.empty() && read_if_there(made.folder / looks_name) == looks) return true;
    if (read_if_there(made.folder / files_name) != digests_in(made.folder, cancellation)) return false;
    try {
      write_file(made.folder / looks_name, looks.dump(), 0600);
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch): then every byte is read again the next time
    }
    return true;
  } catch (const Error&) {
    return false;
  }
}

TempFolder WarmTemplates::begin(const Clock& clock) const {
  constexpr std::size_t most = 8;  // kinds of VMs of one image
  make_folders(folder_, 0700);
  RemovedFiles left_behind;
  remove_abandoned_in(folder_, Removal::real, left_behind);
  auto others = all_of(folder_.parent_path());
  std::ranges::sort(others, std::ranges::greater(), &WarmTemplate::made);
  for (std::size_t i = 0; i < others.size(); ++i)
    if (i >= most - 1 || is_too_old(others[i], clock)) drop(others[i]);
  return TempFolder::in(folder_, temporary, 0700);
}

void WarmTemplates::keep(TempFolder files, const WarmTemplate& made, const Clock& clock,
                         Cancellation& cancellation) const {
  const auto& folder = files.path();
  write_file(folder / files_name, digests_in(folder, cancellation).dump(), 0600);
  write_file(folder / looks_name, looks_in(folder, clock).dump(), 0600);
  write_file(folder / record_name, as_json(made).dump(), 0600);
  replace_by(std::move(files));
}

void WarmTemplates::replace_by(TempFolder files) const {
  std::vector<fs::path> earlier;
  for (const auto& folder : folder_entries(folder_))
    if (folder.filename().string().starts_with(name_ + "-")) earlier.push_back(folder);
  const auto unique = files.path().filename().string().substr(std::string_view(temporary).size());
  files.rename_to(folder_ / (name_ + "-" + unique));
  for (const auto& folder : earlier) drop({.folder = folder});
}

void WarmTemplates::note_proof(WarmTemplate made) {
  made.is_proven = true;
  write_file(made.folder / record_name, as_json(made).dump(), 0600);
}

void WarmTemplates::refuse(const std::string& why, const Clock& clock) const {
  auto folder = begin(clock);
  const WarmTemplate none{
      .made = clock.moment().unix_seconds, .max_age = std::chrono::hours(1), .refusal = why};
  write_file(folder.path() / record_name, as_json(none).dump(), 0600);
  replace_by(std::move(folder));
}

void WarmTemplates::drop(const WarmTemplate& made) {
  std::error_code error;
  if (!fs::is_directory(made.folder, error)) return;
  const auto gone = TempFolder::in(made.folder.parent_path(), temporary, 0700);
  fs::rename(made.folder, gone.path() / "gone", error);  // another process may have been quicker
}

std::optional<FileLock> WarmTemplates::try_lock() const {
  make_folders(folder_, 0700);
  return FileLock::try_for(folder_ / (name_ + ".lock"));
}

FileLock WarmTemplates::lock(const FileLock::Waiting& waiting) const {
  make_folders(folder_, 0700);
  return FileLock::wait_for(folder_ / (name_ + ".lock"), waiting);
}

}  // namespace sarde
