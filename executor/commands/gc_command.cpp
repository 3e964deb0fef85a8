#include "executor/commands/gc_command.hpp"

#include <optional>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"
#include "core/image/store/image_removal.hpp"
#include "core/image/store/unpacked_marker.hpp"
#include "core/image/store/warm_templates.hpp"
#include "core/system/process_identity.hpp"
#include "executor/job/job_resources.hpp"
#include "executor/job/leftovers.hpp"

namespace sarde {

namespace {

constexpr auto checked_name = ".sarde-checked";  ///< its time of change: when the disks beside it were read

/// Of the unpacked images that VMs share the one whose disks have not been read for the longest time, if that
/// is more than a week.
std::optional<std::filesystem::path> image_to_read(const CommandTools& tools) {
  constexpr std::chrono::hours week(7 * 24);
  std::optional<std::filesystem::path> oldest;
  std::chrono::seconds age = week;
  for (const auto& folder : unpacked_folders(tools.images.unpacked.folder())) {
    if (!folder.is_shared || folder.is_unusable) continue;
    const auto mark = folder.path / checked_name;
    std::error_code ignored;
    const auto its_age = std::filesystem::exists(mark, ignored) ? age_of(mark) : std::chrono::seconds::max();
    if (its_age <= age) continue;
    age = its_age;
    oldest = folder.path;
  }
  return oldest;
}

/// Reading is no use: `prune` goes by the folder's time of change.
void note_read(const std::filesystem::path& folder) {
  const auto used = std::filesystem::last_write_time(folder);
  write_file(folder / checked_name, "", 0600);
  std::filesystem::last_write_time(folder, used);
}

/// Jobs look at samples of the disks that they share. Here all of one image's are read, when nobody waits for
/// it. Damaged disks are not used any more.
void read_one_image(const CommandTools& tools) {
  const auto folder = image_to_read(tools);
  if (!folder) return;
  step_back();
  const auto marker = read_unpacked_marker(*folder);
  if (!marker || marker->second == DisksState::changed) return;
  const auto damaged = [&](const std::string& why) {
    const auto lock =
        FileLock::try_for(unpacked_lock(tools.images.unpacked.folder(), folder->filename().string()));
    if (lock) mark_damaged(*folder);
    tools.reporter.warn("WARNING: the disks in " + folder->string() + " are damaged (" + why +
                        "): the next job unpacks the image again");
  };
  try {
    const auto read = read_disks(*folder, marker->first, tools.cancellation);
    if (!read.changed.empty()) {
      damaged(join(read.changed, ", "));
      return;
    }
    note_read(*folder);
    if (!read.misstated.empty())
      tools.reporter.warn("WARNING: the disks in " + folder->string() +
                          " are what was unpacked, but the image's config states other digests of them (" +
                          join(read.misstated, ", ") + "): whoever made the image has to export it again");
    tools.reporter.detail("Read the disks in " + folder->string());
  } catch (const Error& error) {
    damaged(error.what());
  }
}

}  // namespace

std::string collect_garbage(const CommandTools& tools, const GcRequest& request) {
  const bool is_real = request.removal == Removal::real;
  const std::string verb = is_real ? "Removed " : "Would remove ";
  std::vector<std::string> names;
  Attempts attempt;
  for (const auto& jobsdir : request.jobsdirs) {
    for (const auto& leftover : find_leftovers(tools.hypervisor(), jobsdir, tools.clock)) {
      tools.cancellation.check();
      attempt("remove " + leftover.name, [&] {
        if (is_real) remove_leftover(leftover, tools.hypervisor(), jobsdir, tools.clock);
        tools.reporter.say(verb + leftover.name + ": " + leftover.why);
        names.push_back(leftover.name);
      });
    }
  }
  RemovedFiles files;
  attempt("remove temporary files",
          [&] { files = remove_abandoned_files(tools.images, request.jobsdirs, request.removal); });
  if (files.files != 0)
    tools.reporter.say(verb + std::to_string(files.files) + " temporary file(s) or folder(s), " +
                       size_text(files.bytes));
  if (is_real) attempt("sync unpacked images", [&] { tools.images.unpacked.sync_all(); });
  RemovedFiles states;
  attempt("remove old saved states of VMs", [&] {
    states = WarmTemplates::remove_old(tools.images.unpacked.folder(), tools.clock, request.removal);
  });
  if (states.files != 0)
    tools.reporter.say(verb + std::to_string(states.files) + " saved state(s) of VMs that are too old, " +
                       size_text(states.bytes));
  files.files += states.files;
  files.bytes += states.bytes;
  // Last, because it takes the time that it takes.
  if (is_real) attempt("read unpacked images", [&] { read_one_image(tools); });
  attempt.finish();
  if (request.form == AnswerForm::text) return join(names, "\n");
  return json_text(nlohmann::ordered_json{{"jobs", names}, {"files", files.files}, {"bytes", files.bytes}});
}

}  // namespace sarde
