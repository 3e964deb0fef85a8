#include "executor/commands/export_source.hpp"

#include <algorithm>
#include <cerrno>

#include "core/foundation/error.hpp"
#include "core/foundation/json_reading.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/disk_name.hpp"
#include "core/image/disk/qcow2_header.hpp"
#include "core/system/files.hpp"
#include "core/system/subprocess.hpp"
#include "core/vm/domain/domain_policy.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "core/vm/domain/source_disks.hpp"
#include "core/vm/qemu_account.hpp"

namespace sarde {

namespace fs = std::filesystem;
using nlohmann::operator""_json_pointer;

namespace {

/// Where a definition was found, and how its disks are to be taken.
struct Origin {
  std::string what;  ///< "VM 'x'"
  fs::path folder;   ///< that bare names are in; empty: the current one
  bool is_running = false;
};

std::string run_qemu_img(const CommandTools& tools, const std::vector<std::string>& arguments,
                         std::chrono::milliseconds longest) {
  Program qemu_img{.argv = {"qemu-img"}, .environment = tools.helpers};
  qemu_img.argv.insert(qemu_img.argv.end(), arguments.begin(), arguments.end());
  auto result = run_program(
      qemu_img,
      {.clock = tools.clock, .cancellation = tools.cancellation, .deadline = tools.clock.now() + longest});
  if (!result.succeeded()) {
    const bool is_full = result.errors.find(errno_text(ENOSPC)) != std::string::npos;
    throw Error(is_full ? Blame::host : Blame::job,
                "export: qemu-img " + join(arguments, " ") + ": " + quote(trimmed(result.errors)));
  }
  return std::move(result.output);
}

[[noreturn]] void refuse_part(const fs::path& file, const std::string& name, const std::string& why) {
  throw Error(Blame::job, "export: " + file.string() + " reads from " + quote(name) + ", which is " + why +
                              "; 'qemu-img convert' makes one file of it, if that is what you want");
}

/// Throws Error if the name of a part of the disk is no bare name. A disk that somebody has downloaded could
/// otherwise bring any file of this host into the image, or have QEMU open connections.
void refuse_if_elsewhere(const fs::path& file, const std::string& name) {
  const bool is_beside_it = is_bare_file_name(name) && name.find(':') == std::string::npos;
  if (!is_beside_it && name != file.filename()) refuse_part(file, name, "not in its folder");
}

/// The same for the whole backing chain of a qcow2 file.
void refuse_chain_elsewhere(const fs::path& file) {
  auto at = file;
  for (std::size_t depth = 0; depth < deepest_chain; ++depth) {
    const auto header = read_qcow2_header(at);
    if (!header || !header->backing_file) return;
    refuse_if_elsewhere(file, *header->backing_file);
    at = at.parent_path() / *header->backing_file;
  }
}

/// The format of a disk file (`format` empty: what it looks like), which may have parts in its own folder
/// only. Nothing that it names is opened before it is looked at; a VMDK's extents are. Throws Error.
std::string inspect_disk_file(const CommandTools& tools, const fs::path& file, const std::string& format) {
  std::error_code failed;
  if (!fs::is_regular_file(file, failed))
    throw Error(Blame::job, "export: there is no file " + quote(file.string()));
  if (format.empty() && read_qcow2_header(file)) {
    refuse_chain_elsewhere(file);
    return "qcow2";
  }
  std::vector<std::string> arguments{"info", "--output=json"};
  if (!format.empty()) arguments.insert(arguments.end(), {"-f", format});
  arguments.push_back(fs::absolute(file).string());
  const auto answer = run_qemu_img(tools, arguments, std::chrono::minutes(1));
  std::vector<std::string> others;   // of no format that is converted may a disk have these
  std::vector<std::string> extents;  // told by their whole path
  auto found = read_json(answer, "qemu-img's answer", Blame::host, [&](const nlohmann::json& info) {
    const auto specific = info.value("/format-specific/data"_json_pointer, nlohmann::json::object());
    if (info.contains("backing-filename")) others.push_back(info.at("backing-filename").get<std::string>());
    if (specific.contains("data-file")) others.push_back(specific.at("data-file").get<std::string>());
    if (specific.contains("extents"))
      for (const auto& extent : specific.at("extents"))
        extents.push_back(extent.at("filename").get<std::string>());
    return info.at("format").get<std::string>();
  });
  for (const auto& name : others) refuse_part(file, name, "no part that a disk in this format may have");
  for (const auto& name : extents) {
    const fs::path extent(name);
    const bool is_beside_it = extent.parent_path() == fs::absolute(file).parent_path();
    refuse_if_elsewhere(file, is_beside_it ? extent.filename().string() : name);
  }
  return found;
}

class SourceReader {
 public:
  SourceReader(const CommandTools& tools, const ExportRequest& request, Origin origin)
      : tools_(tools), request_(request), origin_(std::move(origin)) {}

  VmToExport read(std::string xml) {
    within("export " + origin_.what, [&] { refuse_other_hypervisors(xml); });
    const auto summary = parse_domain(xml, "the definition of " + origin_.what, DomainOrigin::this_host);
    source_.architecture = summary.architecture;
    if (!summary.uefi_variables.empty()) source_.uefi_variables = origin_.folder / summary.uefi_variables;
    source_.xml = std::move(xml);
    for (const auto& disk : source_disks(source_.xml)) take(disk);
    if (origin_.is_running) copy_live();
    convert_others();
    return std::move(source_);
  }

 private:
  [[noreturn]] void refuse(const SourceDisk& disk, const std::string& why) const {
    throw Error(Blame::job, "export " + origin_.what + ": " + disk.target + " (" + disk.device + " of type " +
                                disk.type + ") " + why +
                                "; detach it, or pass a definition without it (--libvirtconfig)");
  }

  void leave_out(const SourceDisk& disk, const std::string& what) {
    tools_.reporter.warn("WARNING: left out of the image: " + disk.target + ", " + what);
  }

  void take(const SourceDisk& disk) {
    if (disk.device == "floppy") {
      source_.dropped.insert(disk.element);
      return leave_out(disk, "a floppy drive");
    }
    if (disk.device == "cdrom") return take_drive(disk);
    if (disk.device != "disk") refuse(disk, "is a device of this host, not a disk");
    if (disk.type == "network")
      refuse(disk,
             "is on a server, and only files and block devices can be exported: 'qemu-img convert -O qcow2 " +
                 disk.address + " " + disk.target +
                 ".qcow2' makes a file of it, with which you can replace the disk");
    add_disk(disk, path_of(disk));
  }

  void take_drive(const SourceDisk& disk) {
    if (disk.type == "network") {
      source_.emptied.insert(disk.element);
      return leave_out(disk, "a CD on a server");
    }
    const auto path = disk.is_empty ? fs::path() : path_of(disk);
    std::error_code ignored;
    if (path.empty()) {
      source_.dropped.insert(disk.element);
      return tools_.reporter.detail("Left out of the image: " + disk.target + ", an empty CD drive");
    }
    if (disk.type == "block" || fs::is_block_file(path, ignored)) {
      source_.dropped.insert(disk.element);
      return leave_out(disk, "a CD drive of this host");
    }
    if (!request_.with_cdroms) {
      source_.emptied.insert(disk.element);
      return leave_out(disk, "the CD " + path.string() + " (--with-cdroms takes it along)");
    }
    add_disk(disk, path);
  }

  [[nodiscard]] fs::path path_of(const SourceDisk& disk) const {
    if (disk.type == "volume")
      return within("export " + origin_.what, [&] { return tools_.hypervisor().volume_path(disk.volume); });
    if (disk.path.empty()) refuse(disk, "is neither a file nor a block device");
    return (origin_.folder / disk.path).lexically_normal();
  }

  void add_disk(const SourceDisk& disk, const fs::path& path) {
    source_.disks.push_back({.element = disk.element, .path = path, .format = format_of(disk, path)});
    if (!disk.read_only && disk.device == "disk") live_.push_back({disk, source_.disks.size() - 1});
  }

  /// libvirt takes what is not said for raw. A file that looks like qcow2 all the same may have got its
  /// header from the guest: what that names would go into the image. So it stays unsaid, and is refused.
  static std::string format_of(const SourceDisk& disk, const fs::path& path) {
    if (!disk.format.empty()) return disk.format;
    std::error_code ignored;
    const bool is_file = fs::is_regular_file(path, ignored);
    return is_file && read_qcow2_header(path) ? "" : "raw";
  }

  /// A folder that QEMU can write to.
  const fs::path& copies() {
    if (source_.copies) return source_.copies->path();
    const auto& vmdir = tools_.images.unpacked.folder();
    make_folders(vmdir, 0700);
    source_.copies = TempFolder::in(vmdir, ".incoming-live-", 0700);
    return source_.copies->path();
  }

  /// Puts copies in place of the disks that the running VM writes to.
  void copy_live() {
    const QemuAccess access(tools_.hypervisor().qemu_account());
    access.enter(tools_.images.unpacked.folder());
    access.enter(copies());
    std::vector<DiskCopy> wanted;
    for (const auto& [disk, index] : live_) {
      // Each copy has its own folder, because two disks may have the same name.
      if (!is_bare_file_name(disk.target)) refuse(disk, "has a target that is not a device name");
      const auto folder = copies() / disk.target;
      make_folders(folder, 0700);
      access.enter(folder);
      auto& exported = source_.disks[index];
      const bool is_block = disk.type == "block";
      exported.path = folder / (exported.path.filename().string() + (is_block ? ".qcow2" : ""));
      if (is_block || exported.format != "raw") exported.format = "qcow2";
      wanted.push_back({.device = disk.target, .format = exported.format, .file = exported.path});
    }
    const Phase phase(tools_.clock, tools_.reporter);
    const auto show = progress_of(tools_.reporter, "copying the disks of the running VM");
    const auto state =
        tools_.hypervisor().copy_disks(request_.vm, wanted, [&](std::uint64_t done, std::uint64_t total) {
          tools_.cancellation.check();
          show(done, total);
        });
    phase.done("Copied " + std::to_string(wanted.size()) + " disk(s) of the running VM");
    warn_of(state);
  }

  void warn_of(GuestFileSystems state) {
    if (state == GuestFileSystems::still_frozen)
      tools_.reporter.warn("WARNING: the guest's file systems are still frozen: 'virsh domfsthaw " +
                           request_.vm + "' thaws them");
    if (state == GuestFileSystems::running)
      tools_.reporter.warn(
          "WARNING: no guest agent froze the guest's file systems, so the image is in the state that a power "
          "cut would leave");
  }

  /// Images hold qcow2 and raw.
  void convert_others() {
    for (auto& disk : source_.disks) {
      if (!passes_as_it_is(disk.format)) convert(disk);
    }
  }

  static bool passes_as_it_is(const std::string& format) { return format == "qcow2" || format == "raw"; }

  void convert(DiskToExport& disk) {
    if (disk.format.empty()) return;  // image_files() refuses it
    const Phase phase(tools_.clock, tools_.reporter);
    const auto folder = copies() / ("converted-" + std::to_string(disk.element));
    make_folders(folder, 0700);
    const auto converted = folder / (disk.path.stem().string() + ".qcow2");
    static_cast<void>(inspect_disk_file(tools_, disk.path, disk.format));
    run_qemu_img(tools_,
                 {"convert", "-f", disk.format, "-O", "qcow2", fs::absolute(disk.path).string(),
                  fs::absolute(converted).string()},
                 std::chrono::hours(24));
    phase.done("Converted " + disk.path.string() + " (" + disk.format + ") to qcow2");
    disk.path = converted;
    disk.format = "qcow2";
  }

  /// A disk that a running VM writes to, and its place in the source's disks.
  struct LiveDisk {
    SourceDisk disk;
    std::size_t index;
  };

  const CommandTools& tools_;
  const ExportRequest& request_;
  Origin origin_;
  VmToExport source_;
  std::vector<LiveDisk> live_;
};

VmToExport source_in_file(const CommandTools& tools, const ExportRequest& request) {
  const auto& file = request.libvirt_config;
  if (request.live)
    throw Error(Blame::job,
                "export: --live copies the disks that libvirt knows for the VM and cannot be combined with "
                "--libvirtconfig");
  return SourceReader(tools, request, {.what = quote(file.string()), .folder = file.parent_path()})
      .read(read_named_file(file));
}

VmToExport source_of_vm(const CommandTools& tools, const ExportRequest& request) {
  const auto& vm = request.vm;
  auto& hypervisor = tools.hypervisor();
  auto xml = hypervisor.definition(vm);
  const bool is_running = hypervisor.state(vm) == DomainState::running;
  if (is_running && !request.live)
    throw Error(Blame::job,
                "export VM " + quote(vm) +
                    ": it is running, so its disks would change while they are read; shut it down first "
                    "('virsh shutdown " +
                    vm + "'), or use --live to export a copy of its current state");
  return SourceReader(tools, request, {.what = "VM " + quote(vm), .folder = {}, .is_running = is_running})
      .read(std::move(xml));
}

/// A VM made of disk files alone, for those who have no VM yet.
VmToExport source_of_disks(const CommandTools& tools, const ExportRequest& request) {
  if (request.live || !request.libvirt_config.empty())
    throw Error(Blame::job,
                "export: --disk makes an image of files alone, without --live and --libvirtconfig");
  BareVm vm{.name = request.vm.substr(request.vm.rfind('/') + 1),
            .architecture = request.bare.architecture,
            .uefi = request.bare.uefi,
            .memory_mib = request.bare.memory_mib,
            .vcpus = request.bare.vcpus,
            .disks = {}};
  vm.name = vm.name.substr(0, vm.name.find_first_of(":@"));
  constexpr std::size_t most_disks = 26;  // vda to vdz
  if (request.disks.size() > most_disks)
    throw Error(Blame::job, "export: a VM may have " + std::to_string(most_disks) + " disks, not " +
                                std::to_string(request.disks.size()));
  for (const auto& file : request.disks)
    vm.disks.push_back({.file = fs::absolute(file).string(), .format = inspect_disk_file(tools, file, "")});
  return SourceReader(tools, request, {.what = "these disks", .folder = {}}).read(domain_of_disks(vm));
}

}  // namespace

std::string read_named_file(const fs::path& file) {
  try {
    return read_file(file);
  } catch (const Error& error) {
    throw Error(Blame::job, std::string("export: ") + error.what());
  }
}

VmToExport source_of_export(const CommandTools& tools, const ExportRequest& request) {
  auto source = !request.disks.empty()            ? source_of_disks(tools, request)
                : !request.libvirt_config.empty() ? source_in_file(tools, request)
                                                  : source_of_vm(tools, request);
  if (source.disks.empty()) throw Error(Blame::job, "export: the VM has no disk that could be exported");
  return source;
}

}  // namespace sarde
