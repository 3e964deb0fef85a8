#include "executor/stages/prepare_stage.hpp"

#include <utility>

#include "core/foundation/error.hpp"
#include "core/system/files.hpp"
#include "executor/job/console_tail.hpp"
#include "executor/job/disk_watch.hpp"
#include "executor/job/kept_door.hpp"
#include "executor/job/leftovers.hpp"
#include "executor/job/phases.hpp"

namespace sarde {

namespace {

/// What `run` needs to know.
JobRecord record_of(const OpenGuest& guest, const GuestLogin& login, const DiskWatch::Bounds& bounds,
                    const ScriptRules& scripts) {
  const auto& door = guest.door;
  return {.address = door.address,
          .port = door.port,
          .host_key = door.shell->host_key(),
          .username = login.username,
          .password = login.password,
          .identity_file = login.identity_file.string(),
          .use_agent = login.use_agent,
          .legacy_ssh = login.algorithms == SshAlgorithms::legacy,
          .shell = scripts.shell,
          .timezone = scripts.timezone,
          .path_folder = guest.path_folder,
          .saved_state = guest.saved_state,
          .disk_limit = bounds.limit,
          .room = bounds.room};
}

}  // namespace

VmStart PrepareStage::run(const Job& job) {
  auto& [rules, resources, images, seeds, admission, runners, starter, door, machines, first_question,
         metrics, clock, cancellation, reporter] = parts_;
  discard_earlier(job);
  Rollback undo(resources, reporter);
  const Phase whole(clock, reporter);
  const ObservedPhase observed(metrics, clock, "prepare");
  const auto lock =
      within("prepare " + resources.name().text(), [&] { return resources.folder().create(rules.owner); });
  const auto choice = choose_image(job, rules.image);
  // The first question to a libvirt that has just been started takes most of a second: then the registry is
  // asked meanwhile. Usually, it answers at once, and what is wrong with the host is told before anything
  // else.
  auto asking = std::async(first_question, [&] {
    static_cast<void>(machines().qemu_account());
    static_cast<void>(machines().software());
  });
  bool is_checked = false;
  const auto check_host = [&] {
    if (std::exchange(is_checked, true)) return;
    timed(clock, reporter, "waited for libvirt", [&] { asking.get(); });
    starter.check_host(rules.vmdir, rules.jobsdir);
  };
  constexpr std::chrono::milliseconds at_once(100);
  const bool asks_registry = choice.policies.empty() || choice.policies.front() != "never";
  if (!choice.vm.empty() || (asks_registry && asking.wait_for(at_once) != std::future_status::timeout))
    check_host();
  auto image = [&] {
    const ObservedPhase phase(metrics, clock, "image");
    const Section section(
        reporter, "image",
        "Getting the image " + (choice.vm.empty() ? choice.reference.text() : "vm:" + choice.vm));
    return images.obtain(choice, job, resources.folder(), check_host);
  }();
  resources.folder().describe({.id = job.id,
                               .project = job.project,
                               .name = job.name,
                               .image = image.image.reference.text(),
                               .since = clock.moment().unix_seconds});
  const auto setup = seeds.set_up(image.image, login_for(image.image.vm_config, rules.login, reporter),
                                  resources.folder(), resources.name());
  const GuestNeeds needs{.ssh_port = setup.login.port,
                         .disks = disks_for(image.image, setup),
                         .mounts = mounts_of(job, rules.mounts, reporter),
                         .agent = !setup.key_for_agent.empty()};
  auto started = starter.plan(job, image, resources, needs);
  check_host();
  auto server = watch_of_server(image);
  {
    const ObservedPhase phase(metrics, clock, "admission");
    // A job that waits for room keeps an image that has come from nobody.
    const auto see_to_image = [&] {
      server.look();
      if (image.unpacked.hold && LazyImages::has_come(image)) image.unpacked.hold.reset();
    };
    admission.wait_for(resources.folder(), VmStarter::memory_of(started.vm), see_to_image);
  }
  const auto use_whole_image = [&] {
    starter.undo(started, resources.folder());
    image = images.wait_for_all_of(std::move(image));
    server = watch_of_server(image);
    started = starter.plan(job, image, resources, needs);
  };
  if (!image.unpacked.served_at.empty() && !image.unpacked.hold) {
    image.unpacked.hold = hold_disk_server(image.unpacked.folder);
    if (!image.unpacked.hold) use_whole_image();
  }
  const auto bounds = disk_bounds(resources.folder().path(), rules.max_job_disk);
  DiskWatch disks(resources, bounds, machines, clock);
  const auto watch = [&] {
    disks.look();
    server.look();
  };
  const WarmStart::Subject subject{
      .job = job, .image = image, .resources = resources, .needs = needs, .setup = setup, .watch = watch};
  const auto guest = [&] {
    try {
      return open(started, subject);
    } catch (const NotServed& error) {
      reporter.warn(std::string("WARNING: the VM cannot start before its image is there: ") + error.what());
      use_whole_image();
      return open(started, subject);
    }
  }();
  auto record = record_of(guest, setup.login, bounds, rules.scripts);
  if (!image.unpacked.served_at.empty()) record.disk_server = image.unpacked.folder.string();
  resources.folder().write(record);
  if (rules.keeps_connection) keep_connection();
  whole.done("VM " + resources.name().text() + " is ready");
  std::vector<PhaseTime> phases;
  for (const auto* name : {"image", "admission", "vm", "guest"})
    phases.push_back({.name = name, .time = metrics.time_of(name)});
  for (const auto& line : phase_chart(phases)) reporter.detail(line);
  undo.dismiss();
  return guest.start;
}

/// Of an image whose disks are whole, there is nothing to watch.
DiskServerWatch PrepareStage::watch_of_server(const ObtainedImage& image) const {
  return {image.unpacked.served_at.empty() ? std::filesystem::path() : image.unpacked.folder,
          parts_.rules.environment};
}

/// Without it, each stage connects to the guest itself.
void PrepareStage::keep_connection() {
  try {
    start_door_keeper(parts_.resources.folder(), parts_.rules.environment);
  } catch (const Error& error) {
    parts_.reporter.detail(std::string("The connection to the VM is not kept: ") + error.what());
  }
}

/// The disks that the VM gets beside its image's.
std::vector<OwnDisk> PrepareStage::disks_for(const StoredImage& image, const GuestSetup& setup) {
  std::vector<OwnDisk> disks;
  if (!setup.seed.empty()) disks.push_back({.file = setup.seed, .format = "raw", .serial = "cloud-init"});
  const auto architecture = parse_domain(image.domain_xml, "the image's domain").architecture;
  if (auto runner = parts_.runners.disk_for(architecture)) disks.push_back(std::move(*runner));
  return disks;
}

/// gitlab-runner tries up to three times with the same job id. First removes what an earlier try left behind,
/// then what was left behind by other jobs whose cleanup did not run.
void PrepareStage::discard_earlier(const Job& job) {
  auto& reporter = parts_.reporter;
  if (parts_.resources.are_there()) reporter.say("Removing what an earlier try of this job left behind");
  parts_.resources.take_down();
  discard_leftovers(parts_.machines, parts_.rules.jobsdir, parts_.clock, reporter);
  if (job.has_services)
    reporter.warn("WARNING: this executor does not start services; the job's 'services:' are ignored");
}

/// Starts the VM (it continues from a saved state, or boots) and gives the guest what the job needs; then
/// the administrator's script runs. If this fails, shows the end of the guest's console, which may say why.
OpenGuest PrepareStage::open(StartedVm& planned, const WarmStart::Subject& subject) {
  auto& [rules, resources, images, seeds, admission, runners, starter, door, machines, first_question,
         metrics, clock, cancellation, reporter] = parts_;
  try {
    starter.settle(planned);
    WarmStart warm({.rules = rules.warm,
                    .starter = starter,
                    .door = door,
                    .hypervisor = machines,
                    .clock = clock,
                    .cancellation = cancellation,
                    .reporter = reporter},
                   subject, planned);
    auto opened = [&] {
      const ObservedPhase phase(metrics, clock, "vm");
      const Section section(reporter, "vm", "Starting a VM");
      auto continued = warm.go_on(planned);
      if (!continued) starter.start(planned, subject.image, resources.folder(), subject.needs);
      subject.image.unpacked.hold.reset();  // the VM itself is connected now
      return continued;
    }();
    const ObservedPhase phase(metrics, clock, "guest");
    const Section section(reporter, "guest", "Waiting for the guest");
    OpenGuest guest{.door = opened ? std::move(*opened) : boot(planned, warm, subject),
                    .path_folder = {},
                    .saved_state = warm.state_size()};
    guest.start = guest.saved_state != 0 ? VmStart::continued
                  : warm.has_saved()     ? VmStart::saved
                                         : VmStart::booted;
    door.warn_of_open_login(guest.door, subject.setup.login);
    auto& shell = *guest.door.shell;
    mount_in_guest(shell, subject.needs.mounts, subject.watch, clock.now() + rules.boot_timeout,
                   cancellation);
    guest.path_folder = runners.put_in(shell, subject.watch);
    run_admin_script(shell, rules.script, subject.watch, clock, cancellation, reporter);
    return guest;
  } catch (const Error&) {
    show_console(planned.vm.console_log, reporter);
    throw;
  }
}

/// Waits for the guest and what sets it up; its state may then be saved for other jobs.
OpenDoor PrepareStage::boot(StartedVm& started, WarmStart& warm, const WarmStart::Subject& subject) {
  auto& [rules, resources, images, seeds, admission, runners, starter, door, machines, first_question,
         metrics, clock, cancellation, reporter] = parts_;
  const auto& setup = subject.setup;
  const auto began = clock.now();
  const auto deadline = [&] { return clock.now() + rules.boot_timeout; };
  if (!setup.key_for_agent.empty())
    seeds.authorize(machines(), started.vm.name, setup, subject.watch, deadline());
  auto opened = door.open(started, setup.login, subject.watch);
  if (!setup.seed.empty()) seeds.await(*opened.shell, subject.watch, deadline());
  opened = warm.keep(started, std::move(opened), milliseconds_between(began, clock.now()));
  starter.forget_copies(started.vm);
  return opened;
}

}  // namespace sarde
