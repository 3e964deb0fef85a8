#include "executor/commands/selftest_command.hpp"

#include <sys/statvfs.h>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/reflink.hpp"
#include "core/image/store/image_removal.hpp"
#include "core/image/store/unpacked_marker.hpp"
#include "core/system/files.hpp"
#include "core/system/subprocess.hpp"
#include "core/system/temp_files.hpp"
#include "core/vm/hypervisor_loader.hpp"
#include "executor/job/vm_shape.hpp"

namespace sarde {

namespace {

struct Finding {
  std::string what;
  bool is_well = true;
  std::string detail;
};

class Tester {
 public:
  Tester(const CommandTools& tools, const SelftestRequest& request) : tools_(tools), request_(request) {}

  std::vector<Finding> run() {
    look_at("skopeo", [&] { return first_line_of({"skopeo", "--version"}); });
    look_at("libvirt", [&] {
      return request_.connect + " answers, " + std::to_string(tools_.hypervisor().domains().size()) +
             " VM(s)";
    });
    look_at("virtualisation", [&] {
      const auto type = virt_type_of_host("x86_64", tools_.hypervisor());
      return std::string(
          type == VirtType::kvm ? "KVM" : "not available in hardware; VMs are emulated, which is slow");
    });
    if (!request_.network.empty() || is_session(request_.connect))
      look_at("network", [&] { return network_facts(); });
    for (const auto& [name, folder] :
         {std::pair("ocidir", request_.ocidir), std::pair("vmdir", request_.vmdir),
          std::pair("jobsdir", request_.jobsdir)}) {
      look_at(name, [&, folder = folder] { return folder_facts(folder); });
    }
    look_at("images", [&] { return images_facts(); });
    return std::move(findings_);
  }

 private:
  template <typename Look>
  void look_at(const std::string& what, Look look) {
    try {
      findings_.push_back({.what = what, .is_well = true, .detail = look()});
    } catch (const Error& error) {
      findings_.push_back({.what = what, .is_well = false, .detail = error.what()});
    }
  }

  std::string first_line_of(const std::vector<std::string>& argv) {
    const auto& all = request_.environment.all();
    const auto result = run_program({.argv = argv, .environment = {all.begin(), all.end()}},
                                    {.clock = tools_.clock,
                                     .cancellation = tools_.cancellation,
                                     .deadline = tools_.clock.now() + std::chrono::seconds(20)});
    if (!result.succeeded())
      throw Error(argv.front() + " failed: " + quote(printable_tail(result.errors, 1)));
    return split(result.output, '\n').front();
  }

  std::string network_facts() {
    const auto& network = request_.network;
    const bool wants_passt = network.empty() || network == "user" || network == "passt";
    if (!wants_passt) return network;
    try {
      return "passt: " + first_line_of({"passt", "--version"});
    } catch (const Error& error) {
      if (network == "passt") throw;
      return std::string(
                 "slirp, which lets guests reach this host's 127.0.0.1, because passt is not available: ") +
             error.what();
    }
  }

  /// Reads every byte of the disks that jobs' VMs share. Jobs themselves only check samples.
  std::string images_facts() {
    std::size_t images = 0;
    std::uint64_t bytes = 0;
    for (const auto& folder : unpacked_folders(request_.vmdir)) {
      const auto marker = folder.is_shared ? read_unpacked_marker(folder.path) : std::nullopt;
      if (!marker) continue;
      tools_.reporter.progress({.doing = "reading unpacked images", .done = bytes, .total = 0});
      const auto changed = changed_disks(folder.path, marker->first, StretchCheck::all, tools_.cancellation);
      if (!changed.empty() || marker->second == DisksState::changed)
        throw Error("the disks in " + folder.path.string() +
                    " have changed since they were unpacked; find out what wrote to them, then remove the "
                    "folder; the next job unpacks the image again");
      ++images;
      bytes += disk_space_of(folder.path);
    }
    return std::to_string(images) + " unpacked for jobs and clones, " + size_text(bytes) + ", all unchanged";
  }

  static std::string folder_facts(const std::filesystem::path& folder) {
    make_folders(folder, 0700);
    const auto probe = TempFolder::in(folder, ".sarde-selftest-", 0700);

    struct statvfs room {};

    if (::statvfs(folder.c_str(), &room) != 0)
      throw Error("look at " + folder.string() + ": " + errno_text(errno));
    return folder.string() + ", " + size_text(std::uint64_t{room.f_bavail} * room.f_frsize) + " free, " +
           (can_share_extents(probe.path()) ? "files can share extents" : "files cannot share extents");
  }

  const CommandTools& tools_;
  const SelftestRequest& request_;
  std::vector<Finding> findings_;
};

}  // namespace

SelftestAnswer self_test(const CommandTools& tools, const SelftestRequest& request) {
  tools.reporter.warn("This line is a warning: it is always shown");
  tools.reporter.say("This line is a step: -q hides it");
  tools.reporter.detail("This line is a detail: -v shows it");
  SelftestAnswer answer;
  auto list = nlohmann::ordered_json::array();
  std::vector<std::string> lines;
  for (const auto& finding : Tester(tools, request).run()) {
    answer.all_is_well = answer.all_is_well && finding.is_well;
    list.push_back({{"what", finding.what}, {"ok", finding.is_well}, {"detail", finding.detail}});
    lines.push_back((finding.is_well ? "ok      " : "FAILED  ") + finding.what + ": " + finding.detail);
  }
  answer.text = request.form == AnswerForm::json ? json_text(list) : join(lines, "\n");
  return answer;
}

}  // namespace sarde
