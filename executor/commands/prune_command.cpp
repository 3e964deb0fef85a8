#include "executor/commands/prune_command.hpp"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"
#include "executor/commands/image_users.hpp"

namespace sarde {

using nlohmann::ordered_json;

namespace {

/// Other programs put blobs into a layout before they write the index that names them.
constexpr std::chrono::seconds grace(3600);

/// An image that was used or fetched this recently may be about to be used by a process that has not recorded
/// its use yet.
constexpr std::chrono::seconds in_use_for(600);

class Pruning {
 public:
  Pruning(const CommandTools& tools, const PruneRequest& request)
      : tools_(tools),
        request_(request),
        outcome_(tools.reporter, request.how),
        entries_(tools.images.catalogue.entries(complaint(tools))),
        folders_(unpacked_folders(tools.images.unpacked.folder())) {}

  std::string run() {
    const auto& [how, older_than, budget, scheduled] = request_;
    if (scheduled && !older_than && !budget) {
      tools_.reporter.say(
          "Nothing is removed, because neither budget nor older-than is set in [commands.prune] of "
          "sarde.toml");
      return outcome_.finish();
    }
    outcome_.count(remove_unreferenced(tools_.images, grace, outcome_.removal(), complaint(tools_)));
    if (older_than || budget) find_candidates();
    if (older_than) remove_older_than(*older_than);
    if (budget) fit_into(*budget);
    return outcome_.finish();
  }

 private:
  /// All names and unpacked folders of one image.
  struct Candidate {
    std::string config_digest;
    std::vector<CatalogEntry> entries;
    std::vector<UnpackedFolder> folders;
    std::chrono::seconds unused{};
  };

  void find_candidates() {
    std::map<std::string, Candidate> images;
    for (const auto& entry : entries_) images[entry.config_digest.text()].entries.push_back(entry);
    for (const auto& folder : folders_) images[folder.config_digest].folders.push_back(folder);
    const ImageUsers users(tools_.hypervisor(), folders_, request_.how.jobsdirs);
    for (auto& [digest, image] : images) {
      image.config_digest = digest;
      if (const auto names = users.of(digest); !names.empty()) {
        tools_.reporter.say("Left " + name_of(image) + ": it is used by " + join(names, ", "));
        continue;
      }
      // Anything written to unpacked disks exists only there.
      std::erase_if(image.folders, [](const UnpackedFolder& folder) { return folder.disks_changed; });
      if (image.entries.empty() && image.folders.empty()) continue;
      image.unused = unused(image);
      if (image.unused >= in_use_for) {
        candidates_.push_back(std::move(image));
      } else {
        tools_.reporter.say("Left " + name_of(image) + ": it was used in the last ten minutes");
      }
    }
    std::ranges::sort(candidates_, std::ranges::greater(), &Candidate::unused);
  }

  static std::string name_of(const Candidate& image) {
    std::vector<std::string> names;
    for (const auto& entry : image.entries) names.push_back(entry.name());
    return names.empty() ? "image " + image.config_digest : join(names, ", ");
  }

  static std::chrono::seconds unused(const Candidate& image) {
    auto shortest = std::chrono::seconds::max();
    for (const auto& entry : image.entries) shortest = std::min(shortest, unused_for(entry, image.folders));
    for (const auto& folder : image.folders) shortest = std::min(shortest, unused_for(folder));
    return shortest;
  }

  /// Checks everything again under the image's locks, because a job may have started in the meantime.
  void remove(const Candidate& image) {
    try {
      const auto locks =
          ImageLocks::try_for(tools_.images, image.config_digest, image.entries, image.folders);
      if (!locks || unused(image) < in_use_for ||
          !ImageUsers(tools_.hypervisor(), folders_, request_.how.jobsdirs).of(image.config_digest).empty()) {
        tools_.reporter.detail("Image " + image.config_digest + " is in use by now and was not removed");
        return;
      }
      outcome_.count(remove_entries(image.entries, waiting(tools_, request_.how), outcome_.removal()));
      for (const auto& folder : image.folders) outcome_.count(remove_unpacked(folder, outcome_.removal()));
    } catch (const Error& error) {
      tools_.reporter.warn("WARNING: could not remove image " + image.config_digest + ": " + error.what());
      return;
    }
    for (const auto& entry : image.entries) outcome_.name(entry.name());
    if (image.entries.empty()) outcome_.name(image.folders.front().path.filename().string());
  }

  void remove_older_than(std::chrono::seconds age) {
    while (!candidates_.empty() && candidates_.front().unused >= age) {
      remove(candidates_.front());
      candidates_.erase(candidates_.begin());
    }
    if (request_.budget) return;
    for (const auto& image : candidates_)
      tools_.reporter.say("Left " + name_of(image) + ": it was last used " + duration_text(image.unused) +
                          " ago");
  }

  void fit_into(std::uint64_t budget) {
    // Disks that belong to VMs (of clones, or changed since) are not images; prune neither removes nor counts
    // them.
    auto before = disk_space_of(tools_.images.catalogue.folder());
    for (const auto& folder : folders_) before += folder.disks_changed ? 0 : disk_space_of(folder.path);
    // The sum does not include what has already been removed, but does include what a dry run only pretends
    // to remove.
    const auto gone_already = outcome_.removal() == Removal::real ? outcome_.bytes() : 0;
    const auto now = [&] { return before - std::min(before, outcome_.bytes() - gone_already); };
    for (const auto& image : candidates_) {
      if (now() <= budget) return;
      remove(image);
    }
    if (now() > budget)
      tools_.reporter.warn("WARNING: the images still take " + size_text(now()) +
                           ", more than the budget of " + size_text(budget) +
                           ": the remaining ones are used by VMs or jobs, were used in the last ten minutes, "
                           "or could not be removed (see above)");
  }

  const CommandTools& tools_;
  const PruneRequest& request_;
  RemovalOutcome outcome_;
  std::vector<CatalogEntry> entries_;
  std::vector<UnpackedFolder> folders_;
  std::vector<Candidate> candidates_;
};

}  // namespace

std::string prune_images(const CommandTools& tools, const PruneRequest& request) {
  return Pruning(tools, request).run();
}

}  // namespace sarde
