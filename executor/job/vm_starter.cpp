#include "executor/job/vm_starter.hpp"

#include <algorithm>
#include <utility>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/disk_overlay.hpp"
#include "core/system/files.hpp"
#include "core/vm/account_passage.hpp"
#include "core/vm/domain/image_domain.hpp"
#include "core/vm/domain/job_domain.hpp"
#include "core/vm/passt.hpp"
#include "core/vm/qemu_account.hpp"
#include "executor/job/phases.hpp"
#include "executor/job/thin_copies.hpp"
#include "executor/job/uefi_copy.hpp"

namespace sarde {

namespace {

/// Added to the job's own time limit to allow for the image, the boot, after_script, uploads and three tries
/// of `prepare`.
constexpr std::chrono::seconds expiry_margin(4 * 3600);

}  // namespace

void VmStarter::check_host(const std::filesystem::path& vmdir, const std::filesystem::path& jobsdir) const {
  const auto account = timed(parts_.clock, parts_.reporter, "connected to libvirt",
                             [&] { return parts_.hypervisor().qemu_account(); });
  timed(parts_.clock, parts_.reporter, "looked at the network", [&] { parts_.networks.check(); });
  if (!account) return;
  require_passage(vmdir, "vmdir", *account);
  require_passage(jobsdir, "jobsdir", *account);
}

std::uint64_t VmStarter::memory_of(const JobVm& vm) {
  return vm.memory_mib.value_or(read_image_domain(vm.image_xml).memory_kib / 1024);
}

StartedVm VmStarter::plan(const Job& job, const ObtainedImage& image, const JobResources& resources,
                          const GuestNeeds& guest) {
  const auto& folder = resources.folder();
  const auto domain = parse_domain(image.image.domain_xml, "the image's domain");
  StartedVm planned{.vm = sized_vm(job, image.image, resources),
                    .network = parts_.networks.choose(domain.has_user_network)};
  auto& vm = planned.vm;
  vm.disk_files = make_copies(domain, image.unpacked, folder);
  vm.own_disks = own_disks(guest, folder);
  if (const auto& served = image.unpacked; !served.served_at.empty()) {
    vm.disk_server = DiskServer{.socket = served.served_at, .files = {}};
    for (const auto& disk : served.disks) vm.disk_server->files.push_back(served.folder / disk);
  }
  vm.needs_agent = guest.agent;
  for (const auto& mount : guest.mounts) vm.shared_folders.push_back(mount.shared);
  copy_uefi_variables(image.image, vm.nvram, parts_.reporter);
  vm.network = planned.network.mode;
  vm.network_name = planned.network.name;
  const auto built = build_job_domain(vm);
  if (!built.left_out.empty())
    parts_.reporter.detail("Left out of the image's domain: " + join(built.left_out, ", "));
  return planned;
}

std::string VmStarter::disk_sizes() const {
  return std::to_string(parts_.shape.disk_size.value_or(0)) + " " +
         std::to_string(parts_.shape.scratch_disk.value_or(0));
}

void VmStarter::settle(StartedVm& planned) {
  auto& vm = planned.vm;
  const auto architecture = parse_domain(vm.image_xml, "the image's domain").architecture;
  vm.virt_type = timed(parts_.clock, parts_.reporter, "asked libvirt for KVM", [&] {
    return choose_virt_type(parts_.shape, architecture, parts_.hypervisor(), parts_.reporter);
  });
  if (vm.nested && vm.virt_type == VirtType::kvm) check_nested(architecture);
}

void VmStarter::start(StartedVm& planned, const ObtainedImage& image, const JobFolder& folder,
                      const GuestNeeds& guest) {
  const Phase phase(parts_.clock, parts_.reporter);
  const auto open = [&] {
    parts_.networks.open(planned.network, planned.vm.image_xml, folder.network(), guest.ssh_port);
  };
  const auto launch_it = [&] { launch(planned, image, folder, guest, open, [&] { start_domain(planned); }); };
  try {
    launch_it();
  } catch (const NoPasst& error) {
    parts_.hypervisor().destroy(planned.vm.name.text());
    close_network(folder);
    planned.vm.user_network_socket.clear();
    parts_.networks.do_without_passt(planned.network, error.what());
    launch_it();
  }
  phase.done("Started VM " + planned.vm.name.text());
}

void VmStarter::restore(StartedVm& planned, const WarmTemplate& made, const ObtainedImage& image,
                        const JobFolder& folder, const GuestNeeds& guest) {
  auto& vm = planned.vm;
  const auto disks = written_disks(vm);
  // All new files have names of their own, whatever happens: those of the VM that is only planned stay.
  const auto renamed = [](const std::filesystem::path& file) {
    return file.parent_path() / ("warm-" + file.filename().string());
  };
  for (const auto& disk : disks) disk.file = renamed(disk.file);
  const auto variables = std::exchange(vm.nvram, folder.path() / "warm-nvram.fd");
  vm.awaits_state = true;
  const QemuAccess access(parts_.hypervisor().qemu_account());
  access.enter(made.folder.parent_path());
  access.enter(made.folder);
  for (const auto& disk : disks) {
    if (std::ranges::find(made.disks, disk.name) == made.disks.end())
      throw Error("the saved state lacks the disk " + quote(disk.name));
    const auto frozen = made.disk(disk.name);
    access.read(frozen);
    create_overlay({.base = frozen, .base_format = "qcow2", .overlay = disk.file});
    disk.backing.insert(disk.backing.begin(), {.path = frozen, .format = "qcow2"});
  }
  // The machine brings the content of the UEFI variables with it, but wants a file of their size.
  std::error_code missing;
  if (std::filesystem::exists(variables, missing)) std::filesystem::copy_file(variables, vm.nvram);
  launch(
      planned, image, folder, guest,
      [&] { parts_.networks.open_passt(planned.network, folder.network(), guest.ssh_port); },
      [&] { parts_.hypervisor().restore(vm, {.file = made.state(), .shape = made.shape}); });
}

void VmStarter::undo(StartedVm& started, const JobFolder& folder) {
  parts_.hypervisor().destroy(started.vm.name.text());
  close_network(folder);
  remove_if_there(started.vm.nvram);
  forget_copies(started.vm);
}

void VmStarter::close_network(const JobFolder& folder) {
  stop_passt(folder.network());
  remove_if_there(folder.network());
}

WarmTemplate VmStarter::save(StartedVm& started, const JobFolder& folder,
                             const std::filesystem::path& files) {
  auto& vm = started.vm;
  const QemuAccess access(parts_.hypervisor().qemu_account());
  const auto disks = written_disks(vm);
  require_room_for_state(vm, disks, files);
  std::map<std::filesystem::path, std::filesystem::path> next;
  for (const auto& disk : disks) {
    const auto overlay = folder.path() / ("next-" + disk.file.filename().string());
    create_overlay({.base = disk.file, .base_format = "qcow2", .overlay = overlay});
    access.own(overlay);
    next[disk.file] = overlay;
  }
  WarmTemplate made{.folder = files};
  made.shape = parts_.hypervisor().save(vm, made.state(), next).shape;
  for (const auto& disk : disks) {
    const auto frozen = std::exchange(disk.file, next.at(disk.file));
    disk.backing.insert(disk.backing.begin(), {.path = frozen, .format = "qcow2"});
    // A copy: QEMU still has the file itself open, and may be able to write to it.
    std::filesystem::copy_file(frozen, made.disk(disk.name));
    set_mode(made.disk(disk.name), 0400);
    remove_if_there(frozen);
    made.disks.push_back(disk.name);
  }
  return made;
}

/// The host's disk must have room for the guest's memory and for what it has written, twice. A guest that has
/// written much while it booted saves no time.
void VmStarter::require_room_for_state(const JobVm& vm, const std::vector<WrittenDisk>& disks,
                                       const std::filesystem::path& files) {
  constexpr std::uint64_t most_written = 2ULL << 30U;
  std::uint64_t written = 0;
  for (const auto& disk : disks) written += size_of(disk.file);
  if (written > most_written) throw Error("it has already written " + size_text(written) + " to its disks");
  const auto needed = (memory_of(vm) << 20U) + 2 * written;
  const auto room = std::filesystem::space(files);
  constexpr std::uint64_t reserve = 20;  // one part in
  if (room.available < needed + room.capacity / reserve)
    throw Error("the disk of vmdir has no room for " + size_text(needed));
}

std::vector<VmStarter::WrittenDisk> VmStarter::written_disks(JobVm& vm) {
  std::vector<WrittenDisk> disks;
  for (auto& [name, file] : vm.disk_files)
    if (file.path.parent_path() == vm.folder)
      disks.push_back({.name = name, .file = file.path, .backing = file.backing});
  for (auto& own : vm.own_disks)
    if (!own.read_only) disks.push_back({.name = own.serial, .file = own.file, .backing = own.backing});
  return disks;
}

/// Gives the VM its files and its network, and starts it.
void VmStarter::launch(StartedVm& planned, const ObtainedImage& image, const JobFolder& folder,
                       const GuestNeeds& guest, const std::function<void()>& open_network,
                       const std::function<void()>& start) {
  auto& [vm, network] = planned;
  const auto step = [&](const std::string& what, const auto& work) {
    return timed(parts_.clock, parts_.reporter, what, work);
  };
  step("gave QEMU its files", [&] { let_qemu_in(image.unpacked, vm, guest.mounts); });
  step("set up the network", open_network);
  if (network.passt) vm.user_network_socket = network.passt->socket;
  vm.network = network.mode;
  vm.network_name = network.name;
  vm.filter = network.filter;
  folder.expect_vm();
  std::exception_ptr other;  // within() would make it an Error like others
  step("libvirt created the domain", [&] {
    within("VM '" + vm.name.text() + "'", [&] {
      try {
        start();
      } catch (const NoPasst&) {
        other = std::current_exception();
      } catch (const NotServed&) {
        other = std::current_exception();
      }
    });
  });
  if (other) std::rethrow_exception(other);
}

JobVm VmStarter::sized_vm(const Job& job, const StoredImage& image, const JobResources& resources) const {
  const auto& folder = resources.folder();
  JobVm vm{.name = resources.name(),
           .image_xml = image.domain_xml,
           .job_id = job.id,
           .title = "GitLab job " + job.id + (job.project.empty() ? "" : " of " + job.project) + ", image " +
                    image.reference.text(),
           .folder = folder.path(),
           .expires = parts_.clock.moment().after(job.timeout + expiry_margin),
           .console_log = folder.console_log(),
           .nvram = folder.nvram()};
  apply_shape(parts_.shape, vm);
  return vm;
}

DiskFiles VmStarter::make_copies(const DomainSummary& domain, const UnpackedImage& disks,
                                 const JobFolder& folder) {
  const Phase phase(parts_.clock, parts_.reporter);
  auto files = make_thin_copies(domain, disks,
                                {.path = [&](const std::string& disk) { return folder.overlay(disk); },
                                 .first_size = parts_.shape.disk_size.value_or(0)});
  phase.done("Made thin copies of " + std::to_string(files.size()) + " disk(s)");
  if (parts_.shape.disk_size)
    parts_.reporter.say(
        "The first disk has at least " + size_text(*parts_.shape.disk_size) +
        " (disk-size); the guest grows its file system itself, as cloud-init's growpart does");
  return files;
}

std::vector<OwnDisk> VmStarter::own_disks(const GuestNeeds& guest, const JobFolder& folder) const {
  auto disks = guest.disks;
  if (const auto size = parts_.shape.scratch_disk) {
    const auto file = folder.overlay("scratch");
    create_empty_disk(file, *size);
    disks.push_back({.file = file, .format = "qcow2", .serial = "scratch", .read_only = false});
  }
  return disks;
}

/// Gives QEMU, and no other account, access to the files of this job and of its image that it needs.
void VmStarter::let_qemu_in(const UnpackedImage& disks, const JobVm& vm,
                            const std::vector<FolderMount>& mounts) {
  const QemuAccess access(parts_.hypervisor().qemu_account());
  let_qemu_share(access, mounts);
  let_qemu_read(access, disks);
  access.enter(vm.folder.parent_path());
  access.enter(vm.folder);
  for (const auto& [disk, file] : vm.disk_files)
    if (file.path.parent_path() == vm.folder) access.own(file.path);
  std::error_code ignored;
  if (std::filesystem::exists(vm.nvram, ignored)) access.own(vm.nvram);
  for (const auto& disk : vm.own_disks)
    if (disk.ownership == DiskOwnership::own) {
      access.own(disk.file);
    } else {
      access.enter(disk.file.parent_path().parent_path());
      access.enter(disk.file.parent_path());
      access.read(disk.file);
    }
}

/// If libvirt cannot start the VM with the filter, starts it without.
void VmStarter::start_domain(StartedVm& started) {
  auto& machines = parts_.hypervisor();
  try {
    machines.start(started.vm);
  } catch (const NotServed&) {
    throw;
  } catch (const Error& error) {
    // libvirt says which command of tc(8) has failed.
    if (started.vm.network_limit && std::string_view(error.what()).find("(tc ") != std::string_view::npos)
      throw Error(std::string(error.what()) +
                  "; network-limit needs the kernel's traffic shaping: the modules sch_htb, sch_sfq, "
                  "sch_ingress, cls_fw and act_police");
    if (!started.vm.filter || error.blame() == Blame::job) throw;
    started.vm.filter.reset();
    machines.start(started.vm);
    parts_.networks.warn_of_no_filter(error.what());
  }
}

void VmStarter::forget_copies(const JobVm& vm) {
  if (!parts_.hypervisor().is_local()) return;
  for (const auto& [disk, file] : vm.disk_files) {
    if (file.path.parent_path() == vm.folder) remove_if_there(file.path);
  }
  for (const auto& disk : vm.own_disks)
    if (!disk.read_only) remove_if_there(disk.file);
}

}  // namespace sarde
