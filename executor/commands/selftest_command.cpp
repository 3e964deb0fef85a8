#include "executor/commands/selftest_command.hpp"

#include <sys/statvfs.h>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"
#include "core/guest/identity_file.hpp"
#include "core/image/disk/reflink.hpp"
#include "core/image/store/image_removal.hpp"
#include "core/image/store/unpacked_marker.hpp"
#include "core/system/files.hpp"
#include "core/system/subprocess.hpp"
#include "core/system/temp_files.hpp"
#include "core/vm/account_passage.hpp"
#include "core/vm/hypervisor_loader.hpp"
#include "core/vm/passt.hpp"
#include "executor/job/job_network.hpp"
#include "executor/job/vm_shape.hpp"

namespace sarde {

namespace {

class Tester {
 public:
  Tester(const CommandTools& tools, const SelftestRequest& request) : tools_(tools), request_(request) {}

  std::vector<Finding> run() {
    look_at("skopeo", [&] { return first_line_of({"skopeo", "--version"}); });
    look_at("libvirt", [&] {
      return request_.connect + " answers, " + std::to_string(tools_.hypervisor().domains().size()) +
             " VM(s)";
    });
    libvirt_answers_ = findings_.back().is_well;
    look_at("virtualisation", [&] {
      require_libvirt();
      const auto type = virt_type_of_host("x86_64", tools_.hypervisor());
      return std::string(type == VirtType::kvm
                             ? "KVM"
                             : "not available in hardware; VMs are emulated, which is slow. If this machine "
                               "has it: turn on VT-x or "
                               "AMD-V in its firmware, then 'modprobe kvm_intel' (or kvm_amd)");
    });
    look_at("ocidir", [&] { return folder_facts(request_.ocidir); });
    for (const auto& [name, folder] :
         {std::pair("vmdir", request_.vmdir), std::pair("jobsdir", request_.jobsdir)})
      look_at(name, [&, name = name, folder = folder] { return qemu_folder_facts(name, folder); });
    look_at("network", [&] { return network_facts(); });
    look_at("credentials", [&] { return credentials_facts(); });
    if (!request_.identity_file.empty())
      look_at("identity-file", [&] {
        static_cast<void>(read_identity_file(request_.identity_file));
        return request_.identity_file.string();
      });
    look_at("images", [&] { return images_facts(); });
    return std::move(findings_);
  }

 private:
  template <typename Look>
  void look_at(const std::string& what, Look look) {
    findings_.push_back(finding_of(what, look));
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
    const auto chosen = choose_network(request_.network, false);
    const auto libvirts = [&](const std::string& name) {
      tools_.hypervisor().require_network(name);
      return "libvirt's network " + quote(name) + ", active";
    };
    if (chosen.mode == NetworkMode::image) return "image";
    if (chosen.mode == NetworkMode::bridge) {
      require_bridge(chosen.name);
      return "this host's bridge " + quote(chosen.name);
    }
    if (chosen.is_user && !chosen.wants_passt) return "slirp";
    require_libvirt();
    if (!chosen.is_user) return libvirts(chosen.name);
    try {
      try_passt();
      return "passt: " + first_line_of({"passt", "--version"});
    } catch (const Error& error) {
      if (request_.network.wanted == "passt") throw;
      if (!chosen.otherwise.empty())
        return libvirts(chosen.otherwise) +
               ", on which every VM boots, because passt is not available: " + error.what();
      return std::string(
                 "slirp, which lets guests reach this host's 127.0.0.1, because passt is not available: ") +
             error.what();
    }
  }

  /// Its own failure is reported once.
  void require_libvirt() const {
    if (!libvirt_answers_) throw Error("not tried, because libvirt does not answer");
  }

  /// As for a job, with a socket that nobody connects to.
  void try_passt() {
    auto& host = tools_.hypervisor();
    const auto account = host.qemu_account();
    if (!account || !host.has_stream_network())
      throw Error("QEMU is older than 7.2, or runs on another machine");
    const auto probe = TempFolder::in(request_.jobsdir, ".sarde-selftest-", 0700);
    const QemuAccess access(account);
    access.enter(request_.jobsdir);
    access.enter(probe.path());
    start_passt(
        {.folder = probe.path() / "network", .guest_port = 22, .qemu = *account, .group = access.group()},
        request_.environment, tools_.clock, tools_.cancellation);
    stop_passt(probe.path() / "network");
  }

  /// Files with credentials that jobs' images are fetched with: what cannot be read would only be seen when a
  /// registry refuses.
  std::string credentials_facts() {
    const auto home = std::filesystem::path(request_.environment.non_empty("HOME").value_or("/root"));
    const auto runtime = request_.environment.non_empty("XDG_RUNTIME_DIR");
    std::vector<std::filesystem::path> files{request_.authfile};
    if (request_.authfile.empty()) {
      files = {runtime ? *runtime + "/containers/auth.json" : "", home / ".config/containers/auth.json",
               home / ".docker/config.json"};
      if (const auto given = request_.environment.non_empty("REGISTRY_AUTH_FILE")) files = {*given};
    }
    std::vector<std::string> read;
    for (const auto& file : files) {
      std::error_code missing;
      const bool is_there = std::filesystem::exists(file, missing);
      if (!is_there && !missing && (request_.authfile.empty() || file.empty())) continue;
      static_cast<void>(parse_json(read_file(file), file.string()));
      read.push_back(file.string());
    }
    return read.empty() ? "none on this machine" : join(read, ", ");
  }

  /// Reads every byte of the disks that jobs' VMs share. Jobs themselves only check samples.
  std::string images_facts() {
    std::size_t images = 0;
    std::uint64_t bytes = 0;
    for (const auto& folder : unpacked_folders(request_.vmdir)) {
      const auto marker = folder.is_shared ? read_unpacked_marker(folder.path) : std::nullopt;
      if (!marker) continue;
      tools_.reporter.progress({.doing = "reading unpacked images", .done = bytes, .total = 0});
      if (marker->first.is_lost()) continue;  // whoever needs them unpacks them again
      if (marker->second == DisksState::changed ||
          !read_disks(folder.path, marker->first, tools_.cancellation).changed.empty())
        throw Error("the disks in " + folder.path.string() +
                    " have changed since they were unpacked; find out what wrote to them, then remove the "
                    "folder; the next job unpacks the image again");
      ++images;
      bytes += disk_space_of(folder.path);
    }
    return std::to_string(images) + " unpacked for jobs and clones, " + size_text(bytes) + ", all unchanged";
  }

  /// A folder that QEMU has to get into: tried as QEMU's account.
  std::string qemu_folder_facts(const char* setting, const std::filesystem::path& folder) {
    auto facts = folder_facts(folder);
    if (!libvirt_answers_) return facts + "; whether QEMU can get there was not tried";
    if (const auto account = tools_.hypervisor().qemu_account()) require_passage(folder, setting, *account);
    return facts;
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
  bool libvirt_answers_ = false;
};

}  // namespace

std::vector<Finding> look_at_host(const CommandTools& tools, const SelftestRequest& request) {
  return Tester(tools, request).run();
}

SelftestAnswer answer_of(const std::vector<Finding>& findings, AnswerForm form) {
  SelftestAnswer answer;
  auto list = nlohmann::ordered_json::array();
  std::vector<std::string> lines;
  for (const auto& finding : findings) {
    answer.all_is_well = answer.all_is_well && finding.is_well;
    list.push_back({{"what", finding.what}, {"ok", finding.is_well}, {"detail", finding.detail}});
    lines.push_back((finding.is_well ? "ok      " : "FAILED  ") + printable_line(finding.what) + ": " +
                    printable_line(finding.detail, SIZE_MAX));
  }
  answer.text = form == AnswerForm::json ? json_text(list) : join(lines, "\n");
  return answer;
}

SelftestAnswer self_test(const CommandTools& tools, const SelftestRequest& request) {
  return answer_of(look_at_host(tools, request), request.form);
}

}  // namespace sarde
