#include "executor/stages/prepare_stage.hpp"

#include "core/foundation/error.hpp"
#include "core/system/files.hpp"
#include "executor/job/console_tail.hpp"
#include "executor/job/disk_watch.hpp"
#include "executor/job/leftovers.hpp"
#include "executor/job/phases.hpp"

namespace sarde {

namespace {

/// What `run` needs to know.
JobRecord record_of(const OpenDoor& door, const GuestLogin& login, const DiskWatch::Bounds& bounds,
                    const ScriptRules& scripts, const std::string& path_folder) {
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
          .path_folder = path_folder,
          .disk_limit = bounds.limit,
          .room = bounds.room};
}

}  // namespace

void PrepareStage::run(const Job& job) {
  auto& [rules, resources, images, seeds, admission, runners, starter, door, machines, metrics, clock,
         cancellation, reporter] = parts_;
  discard_earlier(job);
  Rollback undo(resources, reporter);
  const Phase whole(clock, reporter);
  const ObservedPhase observed(metrics, clock, "prepare");
  const auto lock =
      within("prepare " + resources.name().text(), [&] { return resources.folder().create(rules.owner); });
  const auto choice = choose_image(job, rules.image);
  const auto image = [&] {
    const ObservedPhase phase(metrics, clock, "image");
    const Section section(
        reporter, "image",
        "Getting the image " + (choice.vm.empty() ? choice.reference.text() : "vm:" + choice.vm));
    return images.obtain(choice, job, resources.folder(),
                         [&] { starter.check_host(rules.vmdir, rules.jobsdir); });
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
  {
    const ObservedPhase phase(metrics, clock, "admission");
    admission.wait_for(resources.folder(), VmStarter::memory_of(started.vm));
  }
  const auto bounds = disk_bounds(resources.folder().path(), rules.max_job_disk);
  DiskWatch disks(resources, bounds, machines, clock);
  const auto watch = [&] { disks.look(); };
  {
    const ObservedPhase phase(metrics, clock, "vm");
    const Section section(reporter, "vm", "Starting a VM");
    starter.start(started, image, resources.folder(), needs);
  }
  auto guest = open(started, setup, needs.mounts, watch);
  resources.folder().write(record_of(guest.door, setup.login, bounds, rules.scripts, guest.path_folder));
  whole.done("VM " + resources.name().text() + " is ready");
  undo.dismiss();
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

/// Waits for the guest and what sets it up, and runs the prepare-script. If this fails, shows the end of the
/// guest's console, which may say why.
PrepareStage::OpenGuest PrepareStage::open(const StartedVm& started, const GuestSetup& setup,
                                           const std::vector<FolderMount>& mounts,
                                           const std::function<void()>& watch) {
  try {
    const ObservedPhase phase(parts_.metrics, parts_.clock, "guest");
    const Section section(parts_.reporter, "guest", "Waiting for the guest");
    if (!setup.key_for_agent.empty())
      parts_.seeds.authorize(parts_.machines(), started.vm.name, setup, watch,
                             parts_.clock.now() + parts_.rules.boot_timeout);
    OpenGuest guest{.door = parts_.door.open(started, setup.login, watch), .path_folder = {}};
    auto& shell = *guest.door.shell;
    if (!setup.seed.empty()) parts_.seeds.await(shell, watch, parts_.clock.now() + parts_.rules.boot_timeout);
    mount_in_guest(shell, mounts, watch, parts_.clock.now() + parts_.rules.boot_timeout, parts_.cancellation);
    guest.path_folder = parts_.runners.put_in(shell, watch);
    run_admin_script(shell, parts_.rules.script, watch, parts_.clock, parts_.cancellation, parts_.reporter);
    return guest;
  } catch (const Error&) {
    show_console(started.vm.console_log, parts_.reporter);
    throw;
  }
}

}  // namespace sarde
