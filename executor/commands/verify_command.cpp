#include "executor/commands/verify_command.hpp"

#include <map>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/store/disk_checks.hpp"
#include "core/image/store/image_removal.hpp"
#include "core/image/store/unpacked_marker.hpp"

namespace sarde {

namespace {

namespace fs = std::filesystem;

/// Reads each file once, however many images it belongs to.
class Verifier {
 public:
  explicit Verifier(const CommandTools& tools)
      : tools_(tools), folders_(unpacked_folders(tools.images.unpacked.folder())) {}

  /// The image's facts. Throws Error with all that is wrong.
  std::string look_at(const CatalogEntry& entry) {
    std::vector<std::string> problems;
    std::uint64_t bytes = 0;
    for (const auto& blob : entry.blobs) {
      const auto& problem = problem_of_blob(entry.layout.blob(blob.digest), blob);
      if (!problem.empty()) problems.push_back(problem);
      bytes += blob.size;
    }
    if (!problems.empty())
      problems.push_back("remove these files, and type 'sarde-executor fetch " + entry.name() + "'");
    auto facts = std::to_string(entry.blobs.size()) + " blobs, " + size_text(bytes);
    for (const auto& folder : folders_) {
      if (folder.config_digest != entry.config_digest.text()) continue;
      const auto& [problem, fact] = look_at_disks(folder);
      if (!problem.empty()) problems.push_back(problem);
      facts += fact;
    }
    if (!problems.empty()) throw Error(join(problems, "; "));
    return facts;
  }

 private:
  struct Disks {
    std::string problem;
    std::string fact;
  };

  const std::string& problem_of_blob(const fs::path& file, const Descriptor& blob) {
    const auto [known, is_new] = blobs_.try_emplace(file);
    if (is_new) {
      std::error_code missing;
      if (!fs::exists(file, missing)) {
        known->second = file.string() + " is missing";
      } else {
        note_progress(fs::file_size(file, missing));
        if (digest_of_file(file, tools_.cancellation) != blob.digest)
          known->second = file.string() + " is damaged";
      }
    }
    return known->second;
  }

  const Disks& look_at_disks(const UnpackedFolder& folder) {
    const auto [known, is_new] = disks_.try_emplace(folder.path);
    if (is_new) known->second = read_disks(folder);
    return known->second;
  }

  Disks read_disks(const UnpackedFolder& folder) {
    // Its VM has written to them, which is what they are for.
    if (folder.disks_changed) return {.problem = "", .fact = "; its VM's disks have been written to"};
    const auto marker = read_unpacked_marker(folder.path);
    if (!marker) return {};  // removed in the meantime
    note_progress(disk_space_of(folder.path));
    const auto changed = changed_disks(folder.path, marker->first, StretchCheck::all, tools_.cancellation);
    if (changed.empty() && marker->second == DisksState::untouched)
      return {.problem = "", .fact = folder.is_shared ? "; unpacked for jobs and clones" : "; imported"};
    return {.problem = "the disks in " + folder.path.string() +
                       " are not what was unpacked: when no VM uses them (sarde-executor list), remove the "
                       "folder, and the image is unpacked again",
            .fact = ""};
  }

  void note_progress(std::uint64_t more) {
    done_ += more;
    tools_.reporter.progress({.doing = "reading images", .done = done_, .total = 0});
  }

  const CommandTools& tools_;
  std::vector<UnpackedFolder> folders_;
  std::map<fs::path, std::string> blobs_;  ///< what is wrong with them; empty: nothing
  std::map<fs::path, Disks> disks_;
  std::uint64_t done_ = 0;
};

std::vector<CatalogEntry> named_entries(const CommandTools& tools, const std::vector<std::string>& containers,
                                        std::vector<Finding>& findings) {
  auto all = tools.images.catalogue.entries([&](const std::string& problem) {
    if (containers.empty()) findings.push_back({.what = "an image", .is_well = false, .detail = problem});
  });
  if (containers.empty()) return all;
  std::vector<CatalogEntry> named;
  for (const auto& container : containers) {
    const auto reference = ImageReference::parse(container);
    const auto image = tools.images.catalogue.load(reference);
    for (const auto& entry : all)
      if (entry.layout.folder() == image.layout.folder() &&
          entry.manifest.digest == image.manifest.digest && entry.tag == image.tag)
        named.push_back(entry);
  }
  return named;
}

}  // namespace

SelftestAnswer verify_images(const CommandTools& tools, const VerifyRequest& request) {
  std::vector<Finding> findings;
  Verifier verifier(tools);
  for (const auto& entry : named_entries(tools, request.containers, findings)) {
    tools.cancellation.check();
    findings.push_back(finding_of(entry.name(), [&] { return verifier.look_at(entry); }));
  }
  return answer_of(findings, request.form);
}

}  // namespace sarde
