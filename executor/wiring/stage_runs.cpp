#include "executor/wiring/stage_runs.hpp"

#include "core/foundation/text.hpp"
#include "core/guest/identity_file.hpp"
#include "core/guest/ssh_guest_shell.hpp"
#include "core/job/job_environment.hpp"
#include "core/vm/hypervisor_loader.hpp"
#include "executor/stages/cleanup_stage.hpp"
#include "executor/stages/config_stage.hpp"
#include "executor/stages/prepare_stage.hpp"
#include "executor/stages/run_stage.hpp"
#include "executor/wiring/wiring.hpp"

namespace sarde {

namespace {

JobResources resources_of(Wiring& wiring, const Job& job) {
  const auto name = VmName::of_job(job.id, job.distinction);
  return {name, JobFolder(wiring.values().get<"jobsdir">() / name.text()), wiring.hypervisor()};
}

GuestDoor guest_door(Wiring& wiring) {
  const auto& values = wiring.values();
  return GuestDoor({.address_timeout = values.get<"address-timeout">().value(),
                    .boot_timeout = values.get<"boot-timeout">().value(),
                    .login_grace = values.get<"login-grace">().value(),
                    .hypervisor = wiring.hypervisor(),
                    .connect =
                        [&wiring](const SshTarget& target, const ConnectLimits& limits) {
                          return connect_ssh(target, limits, wiring.clock(), wiring.cancellation());
                        },
                    .clock = wiring.clock(),
                    .cancellation = wiring.cancellation(),
                    .reporter = wiring.reporter()});
}

JobNetworks job_networks(Wiring& wiring) {
  const auto& values = wiring.values();
  return JobNetworks({.wanted = values.get<"network">(),
                      .is_session = is_session(values.get<"connect">()),
                      .environment = wiring.environment(),
                      .hypervisor = wiring.hypervisor(),
                      .clock = wiring.clock(),
                      .cancellation = wiring.cancellation(),
                      .reporter = wiring.reporter()});
}

ShapeRules shape_rules(const Values& values) {
  const auto type = values.get<"virt-type">();
  return {.virt_type = type == "kvm"    ? std::optional(VirtType::kvm)
                       : type == "qemu" ? std::optional(VirtType::qemu)
                                        : std::nullopt,
          .memory_mib = values.get<"memory">(),
          .vcpus = values.get<"vcpus">(),
          .max_memory_mib = values.get<"max-memory">(),
          .max_vcpus = values.get<"max-vcpus">(),
          .allowed_devices = values.get<"allow-devices">()};
}

CloudRules cloud_rules(const Values& values) {
  const auto when = values.get<"guest-setup">();
  return {.when = when == "cloud-init" ? CloudRules::When::always
                  : when == "none"     ? CloudRules::When::never
                                       : CloudRules::When::if_image_says,
          .user_data = values.get<"cloud-init-user-data">()};
}

PrepareStage::Rules prepare_rules(Wiring& wiring) {
  const auto& values = wiring.values();
  if (const auto key = values.get<"identity-file">(); !key.empty())
    static_cast<void>(read_identity_file(key));
  return {.image = image_rules(values),
          .login = {.of_image = partial_login(values.of_image()),
                    .otherwise = partial_login(values.of_others()),
                    .identity_file = values.get<"identity-file">(),
                    .ssh_port = values.get<"ssh-port">(),
                    .algorithms = values.get<"ssh-algorithms">() == "legacy" ? SshAlgorithms::legacy
                                                                             : SshAlgorithms::modern},
          .provision = {.script = values.get<"prepare-script">(),
                        .timeout = values.get<"prepare-script-timeout">().value(),
                        .shell = values.get<"shell">()},
          .shell = values.get<"shell">(),
          .max_job_disk = values.get<"max-job-disk">().value_or(UINT64_MAX),
          .boot_timeout = values.get<"boot-timeout">().value(),
          .jobsdir = values.get<"jobsdir">(),
          .vmdir = values.get<"vmdir">(),
          .owner = owner_of_job(wiring.environment())};
}

}  // namespace

PartialLogin partial_login(const Values& values) {
  PartialLogin login;
  if (values.has<"username">()) login.username = values.get<"username">();
  if (values.has<"password">()) login.password = Secret(values.get<"password">());
  return login;
}

int run_config(Wiring& wiring) {
  const auto& values = wiring.values();
  return print(config_answer({.builds = values.get<"guest-builds-dir">(),
                              .cache = values.get<"guest-cache-dir">(),
                              .shell = values.get<"shell">()},
                             wiring.job_if_any()));
}

int run_prepare(Wiring& wiring) {
  PrepareStage({.rules = prepare_rules(wiring),
                .resources = resources_of(wiring, wiring.job()),
                .images = JobImages({.images = wiring.images(),
                                     .registry = wiring.registry(),
                                     .clock = wiring.clock(),
                                     .reporter = wiring.reporter(),
                                     .allowed_devices = wiring.values().get<"allow-devices">(),
                                     .manifest_ttl = wiring.values().get<"manifest-ttl">()}),
                .seeds = CloudSeeds({.rules = cloud_rules(wiring.values()),
                                     .environment = wiring.environment_of_helpers().list(),
                                     .clock = wiring.clock(),
                                     .cancellation = wiring.cancellation(),
                                     .reporter = wiring.reporter()}),
                .starter = VmStarter({.shape = shape_rules(wiring.values()),
                                      .networks = job_networks(wiring),
                                      .hypervisor = wiring.hypervisor(),
                                      .clock = wiring.clock(),
                                      .reporter = wiring.reporter()}),
                .door = guest_door(wiring),
                .machines = wiring.hypervisor(),
                .clock = wiring.clock(),
                .cancellation = wiring.cancellation(),
                .reporter = wiring.reporter()})
      .run(wiring.job());
  return 0;
}

int run_script(Wiring& wiring) {
  wiring.exit_codes().forget_earlier_failure();
  wiring.reporter().detail("stage " + quote(wiring.invocation().argument(1)));
  RunStage stage({.resources = resources_of(wiring, wiring.job()),
                  .door = guest_door(wiring),
                  .machines = wiring.hypervisor(),
                  .clock = wiring.clock(),
                  .cancellation = wiring.cancellation(),
                  .reporter = wiring.reporter()});
  return wiring.exit_codes().of(stage.run(wiring.invocation().argument(0)));
}

int run_cleanup(Wiring& wiring) {
  if (const auto& job = wiring.job_if_any()) {
    clean_up(resources_of(wiring, *job), wiring.reporter());
  } else {
    wiring.reporter().detail("there is no job to clean up after");
  }
  return 0;
}

}  // namespace sarde
