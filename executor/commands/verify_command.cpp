#include "executor/commands/verify_command.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/store/disk_checks.hpp"
#include "core/image/store/image_removal.hpp"
#include "core/image/store/unpacked_image.hpp"
#include "core/image/store/unpacked_marker.hpp"

namespace sarde {

namespace {

namespace fs = std::filesystem;

/// What reading a file or a folder has shown: a problem, or a fact where there is none.
struct Look {
  std::string problem;
  std::string fact;
};

/// Reads each file once, however many images it belongs to.
class Verifier {
 public:
  explicit Verifier(const CommandTools& tools)
      : tools_(tools), folders_(unpacked_folders(tools.images.unpacked.folder())) {}

  /// The image's facts. Throws Error with all that is wrong.
  std::string look_at(const CatalogEntry& entry) {
    std::vector<std::string> problems;
    std::uint64_t bytes = 0;
    std::size_t blobs = 0;
    const bool is_unpacked = has_shared_disks(entry);
    for (const auto& blob : entry.blobs) {
      if (is_unpacked && is_not_kept(entry, blob)) continue;
      const auto& problem = look_at_blob(entry.layout.blob(blob.digest), blob);
      if (!problem.empty()) problems.push_back(problem);
      bytes += blob.size;
      ++blobs;
    }
    if (!problems.empty() && !is_still_there(entry)) return "removed in the meantime";
    if (!problems.empty())
      problems.push_back(
          "remove the damaged files, and fetch the image again, or export it again if it is in no registry");
    auto facts = std::to_string(blobs) + " blobs, " + size_text(bytes);
    if (blobs < entry.blobs.size())
      facts += "; " + std::to_string(entry.blobs.size() - blobs) + " layers are not kept (keep-blobs)";
    for (const auto& name : usual_folders(entry.config_digest, entry.manifest.digest))
      if (const auto folder = tools_.images.unpacked.folder() / name; !is_listed(folder))
        note_unlisted(folder, problems, facts);
    for (const auto& folder : folders_) {
      if (folder.config_digest != entry.config_digest.text()) continue;
      const auto& look = look_at_disks(folder);
      if (!look.problem.empty()) problems.push_back(look.problem);
      if (!look.fact.empty()) facts += "; " + look.fact;
    }
    if (!problems.empty()) throw Error(join(problems, "; "));
    return facts;
  }

  /// Unpacked disks of images that the cache does not have any more.
  void look_at_others(const std::vector<CatalogEntry>& entries, std::vector<Finding>& findings) {
    for (const auto& folder : folders_) {
      const bool is_of_entry = std::ranges::any_of(entries, [&](const CatalogEntry& entry) {
        return entry.config_digest.text() == folder.config_digest;
      });
      if (is_of_entry) continue;
      const auto& look = look_at_disks(folder);
      findings.push_back({.what = folder.path.string(),
                          .is_well = look.problem.empty(),
                          .detail = look.problem.empty() ? look.fact : look.problem});
    }
  }

 private:
  /// A layer that is not there. Where the disks are unpacked nobody misses it.
  static bool is_not_kept(const CatalogEntry& entry, const Descriptor& blob) {
    std::error_code error;
    return is_disk_data(blob.media_type) && !fs::exists(entry.layout.blob(blob.digest), error) && !error;
  }

  [[nodiscard]] bool has_shared_disks(const CatalogEntry& entry) const {
    return std::ranges::any_of(folders_, [&](const UnpackedFolder& folder) {
      const auto& manifest = entry.manifest.digest.text();
      return folder.is_shared && (folder.path.filename() == manifest || folder.lock == manifest);
    });
  }

  /// What is wrong with the blob; empty if nothing is.
  const std::string& look_at_blob(const fs::path& file, const Descriptor& blob) {
    const auto [known, is_new] = blobs_.try_emplace(file);
    if (is_new) known->second = problem_of_blob(file, blob);
    return known->second;
  }

  std::string problem_of_blob(const fs::path& file, const Descriptor& blob) {
    std::error_code error;
    if (!fs::exists(file, error) && !error) return file.string() + " is missing";
    try {
      const bool is_whole = digest_of_file(file, tools_.cancellation) == blob.digest;
      note_progress(blob.size);
      return is_whole ? "" : file.string() + " is damaged";
    } catch (const Error& failure) {
      return failure.what();
    }
  }

  const Look& look_at_disks(const UnpackedFolder& folder) {
    const auto [known, is_new] = disks_.try_emplace(folder.path);
    if (is_new) {
      try {
        known->second = folder.is_shared ? read_shared(folder) : read_own(folder);
      } catch (const Error& failure) {
        known->second = {.problem = failure.what(), .fact = ""};
      }
    }
    return known->second;
  }

  Look read_shared(const UnpackedFolder& folder) {
    if (!folder.lock.empty()) return {.problem = "", .fact = "a part of its disks has come (lazy)"};
    const auto marker = read_unpacked_marker(folder.path);
    if (!marker) return {};  // removed in the meantime
    if (marker->first.is_lost())
      return {.problem = "",
              .fact = "unpacked disks that the next job unpacks again (after a power cut, or damage)"};
    const auto name = "the disks in " + folder.path.string();
    const auto read = read_disks(folder.path, marker->first, tools_.cancellation);
    note_progress(disk_space_of(folder.path));
    if (!read.changed.empty())
      return {.problem = name +
                         " are not what was unpacked: when no job and no VM uses them ('sarde-executor "
                         "list'), remove the folder; the next job unpacks the image again",
              .fact = ""};
    if (!read.misstated.empty())
      return {
          .problem =
              name + " are not what the image's config states: whoever made the image has to export it again",
          .fact = ""};
    return {.problem = "", .fact = "unpacked for jobs and clones"};
  }

  /// Of an imported VM, which may write to them at any time.
  Look read_own(const UnpackedFolder& folder) {
    const auto marker = read_unpacked_marker(folder.path);
    if (!marker) return {};
    const Look written{.problem = "", .fact = "its imported VM has written to its disks"};
    if (folder.disks_changed || marker->second == DisksState::changed) return written;
    const auto whole = are_whole(folder.path, marker->first);
    if (!whole) return {.problem = "", .fact = unchecked(folder.path)};
    if (*whole) return {.problem = "", .fact = "imported"};
    const auto after = read_unpacked_marker(folder.path);
    if (!after || after->second == DisksState::changed) return written;
    return {.problem = "the disks in " + folder.path.string() +
                       " are not what was unpacked, though its VM has not written to them: remove that VM "
                       "('virsh undefine') and the folder, and import the image again",
            .fact = ""};
  }

  static std::string unchecked(const fs::path& folder) {
    return "the disks in " + folder.string() + " cannot be checked, because another program unpacked them";
  }

  /// Are they what was unpacked? Nothing if the marker does not know what that was.
  std::optional<bool> are_whole(const fs::path& folder, const UnpackedMarker& marker) {
    for (const auto& disk : marker.disks)
      if (disk.digest.empty()) return std::nullopt;
    const auto read = read_disks(folder, marker, tools_.cancellation);
    note_progress(disk_space_of(folder));
    return read.is_well();
  }

  [[nodiscard]] bool is_listed(const fs::path& folder) const {
    std::error_code ignored;
    return !fs::exists(folder, ignored) ||
           std::ranges::any_of(folders_, [&](const UnpackedFolder& one) { return one.path == folder; });
  }

  /// A folder of the image's whose marker is not there or cannot be read.
  static void note_unlisted(const fs::path& folder, std::vector<std::string>& problems, std::string& facts) {
    try {
      if (!read_unpacked_marker(folder)) facts += "; " + unchecked(folder);
    } catch (const Error& failure) {
      problems.emplace_back(failure.what());
    }
  }

  /// Another process may have removed the image since the names were read.
  static bool is_still_there(const CatalogEntry& entry) {
    try {
      return std::ranges::any_of(entry.layout.index(), [&](const IndexEntry& one) {
        return one.manifest.digest == entry.manifest.digest;
      });
    } catch (const Error&) {
      return true;
    }
  }

  void note_progress(std::uint64_t more) {
    done_ += more;
    tools_.reporter.progress({.doing = "reading images", .done = done_, .total = 0});
  }

  const CommandTools& tools_;
  std::vector<UnpackedFolder> folders_;
  std::map<fs::path, std::string> blobs_;
  std::map<fs::path, Look> disks_;
  std::uint64_t done_ = 0;
};

/// Why an image that is in an index is not among those that `list` shows.
std::string why_unreadable(const std::pair<OciLayout, IndexEntry>& found) {
  try {
    static_cast<void>(parse_manifest(found.first.read_blob(found.second.manifest), "the manifest"));
  } catch (const Error& error) {
    return error.what();
  }
  return found.first.folder().string() + " is a link: name the image as 'list' does";
}

std::vector<CatalogEntry> named_entries(const CommandTools& tools, const std::vector<std::string>& containers,
                                        const std::vector<CatalogEntry>& all,
                                        std::vector<Finding>& findings) {
  std::vector<CatalogEntry> named;
  for (const auto& container : containers) {
    const auto reference = ImageReference::parse(container);
    const auto found = tools.images.catalogue.find(reference);
    if (!found)
      throw Error(Blame::job, "verify image " + quote(reference.text()) + ": it is not in " +
                                  tools.images.catalogue.folder().string() + " ('list' shows what is)");
    const auto entry = std::ranges::find_if(all, [&](const CatalogEntry& one) {
      return one.layout.folder() == found->first.folder() && one.tag == found->second.tag &&
             one.manifest.digest == found->second.manifest.digest;
    });
    if (entry == all.end()) {
      findings.push_back({.what = container, .is_well = false, .detail = why_unreadable(*found)});
    } else if (std::ranges::find(named, entry->name(), &CatalogEntry::name) == named.end()) {
      named.push_back(*entry);
    }
  }
  return named;
}

}  // namespace

SelftestAnswer verify_images(const CommandTools& tools, const VerifyRequest& request) {
  std::vector<Finding> findings;
  const bool is_for_all = request.containers.empty();
  const auto all = tools.images.catalogue.entries([&](const std::string& problem) {
    if (is_for_all) findings.push_back({.what = "the cache", .is_well = false, .detail = problem});
  });
  Verifier verifier(tools);
  for (const auto& entry : is_for_all ? all : named_entries(tools, request.containers, all, findings)) {
    tools.cancellation.check();
    findings.push_back(finding_of(entry.name(), [&] { return verifier.look_at(entry); }));
  }
  if (is_for_all) verifier.look_at_others(all, findings);
  if (findings.empty())
    tools.reporter.say("There are no images in " + tools.images.catalogue.folder().string());
  return answer_of(findings, request.form);
}

}  // namespace sarde
