#include "executor/stages/prepare_stage.hpp"

#include <algorithm>
#include <set>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/registry/registry_auth.hpp"
#include "core/job/job_environment.hpp"
#include "core/system/files.hpp"
#include "core/vm/domain/domain_policy.hpp"
#include "core/vm/domain/image_domain.hpp"
#include "core/vm/domain/libvirt_answers.hpp"
#include "core/vm/qemu_account.hpp"
#include "core/vm/traffic_filter.hpp"
#include "executor/job/disk_watch.hpp"
#include "executor/job/leftovers.hpp"
#include "executor/job/thin_copies.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

constexpr std::size_t console_lines = 20;

/// Beyond the job's own time limit: for the image, the boot, after_script, uploads and three tries of
/// `prepare`.
constexpr std::chrono::seconds expiry_margin(4 * 3600);
constexpr milliseconds longest_patience(10'000);  ///< for the first bytes of an SSH server

}  // namespace

void PrepareStage::run(const Job& job) {
  // gitlab-runner tries up to three times under one job id: what an earlier try left goes first.
  if (resources_.are_there()) parts_.reporter.say("Removing what an earlier try of this job left");
  resources_.take_down();
  discard_leftovers();
  if (job.has_services)
    parts_.reporter.warn("WARNING: this executor starts no services; the job's 'services:' are ignored");
  try {
    bring_up(job);
  } catch (...) {
    roll_back();
    throw;
  }
}

/// Whatever ended it: also what the standard library throws.
void PrepareStage::roll_back() noexcept {
  try {
    resources_.take_down();
  } catch (const std::exception& error) {
    parts_.reporter.warn(std::string("WARNING: ") + error.what());
  }
}

void PrepareStage::bring_up(const Job& job) {
  const auto start = parts_.clock.now();
  const auto lock = within("prepare " + resources_.name().text(),
                           [&] { return resources_.folder().create(owner_of_job(parts_.environment)); });
  const auto [image, disks] = obtain_image(job);
  parts_.images.mark_used(image);
  auto record = login_into(image);
  const auto domain = parse_domain(image.domain_xml, "the image's domain");
  auto network = choose_network(domain);
  auto plan = make_overlays(domain, disks);
  record.room = free_space(resources_.folder().path());
  record.disk_limit = disk_limit(record.room);
  DiskWatch written(resources_, {.limit = record.disk_limit, .room = record.room}, parts_.hypervisor,
                    parts_.clock);
  watch_ = [&] { written.look(); };
  start_vm(image, domain, disks, plan, job, network);
  try {
    reach(record, image, network, plan);
    log_in(std::move(record));
  } catch (const Error&) {
    show_console();
    throw;
  }
  step("VM " + resources_.name().text() + " is ready", start);
}

void PrepareStage::refuse_what_no_job_may_have(const std::string& domain_xml) const {
  const auto refused = elements_to_refuse(domain_xml, parts_.settings.allow_devices);
  if (refused.empty()) {
    static_cast<void>(read_image_domain(domain_xml));
    return;
  }
  std::vector<std::string> reasons;
  for (const auto& element : refused) reasons.push_back("<" + element.path + "> " + element.why);
  throw Error(Blame::job,
              "the image's domain has what no job's VM may have: " + join(reasons, "; ") +
                  ". Export the VM without it; an administrator can let it pass with allow-devices");
}

/// What other jobs left whose cleanup never came. A fault there is none of this job's.
void PrepareStage::discard_leftovers() {
  try {
    const auto& jobsdir = parts_.settings.jobsdir;
    for (const auto& leftover : find_leftovers(parts_.hypervisor(), jobsdir, parts_.clock)) {
      parts_.reporter.say("Removing what another job left, " + leftover.name + ": " + leftover.why);
      remove_leftover(leftover, parts_.hypervisor(), jobsdir, parts_.clock);
    }
  } catch (const Cancelled&) {
    throw;
  } catch (const std::exception& error) {
    parts_.reporter.detail(std::string("Could not look for what other jobs left: ") + error.what());
  }
}

void PrepareStage::step(const std::string& what, TimePoint since) {
  parts_.reporter.say(what + " (" + duration_text(milliseconds_between(since, parts_.clock.now())) + ")");
}

std::string PrepareStage::pull_policy(const Job& job) const {
  if (job.pull_policies.empty()) return parts_.settings.pull_policy;
  const auto& allowed = parts_.settings.allowed_pull_policies;
  for (const auto& policy : job.pull_policies) {
    if (policy == parts_.settings.pull_policy || std::ranges::find(allowed, policy) != allowed.end())
      return policy;
  }
  throw Error(Blame::job,
              "the job wants pull policy " + quote(join(job.pull_policies, ", ")) +
                  ", but this runner allows only " +
                  quote(join(allowed.empty() ? std::vector{parts_.settings.pull_policy} : allowed, ", ")));
}

ObtainedImage PrepareStage::obtain_image(const Job& job) {
  const auto& name = job.image.empty() ? parts_.settings.image : job.image;
  if (name.empty()) {
    throw Error(Blame::job,
                "the job names no image, and this runner has no default: add 'image: "
                "registry.example.org/vms/debian12' to the job");
  }
  const auto reference = ImageReference::parse(name);
  const auto policy = pull_policy(job);
  if (policy == "never" || (policy == "if-not-present" && parts_.images.has(reference))) {
    parts_.reporter.say("Using image " + quote(reference.text()) + " from the cache (pull policy '" + policy +
                        "')");
    try {
      return from_cache(reference, policy, job);
    } catch (const Error&) {
      // Before its use was noted, somebody may have removed it.
      if (policy == "never" || parts_.images.has(reference)) throw;
      parts_.reporter.say("It has just been removed from there");
    }
  }
  return from_registry(reference, choose_access(reference, job));
}

/// A private image that another job's credentials brought is for jobs whose own would bring it, too.
void PrepareStage::check_access(const StoredImage& image, const std::string& policy, const Job& job) {
  if (!parts_.images.is_private(image)) return;
  if (policy == "never")
    throw Error(Blame::job,
                "image " + quote(image.reference.text()) +
                    " came with another job's credentials, and pull policy 'never' lets this job not "
                    "show that it may have it: choose another policy, or fetch the image with this "
                    "machine's own credentials ('sarde login', 'sarde fetch')");
  static_cast<void>(choose_access(image.reference, job));
  remove_if_there(resources_.folder().authfile());
}

namespace {

/// The one whose key says most of the image; null if there is none.
const RegistryLogin* login_for(const ImageReference& reference, const std::vector<RegistryLogin>& logins) {
  const RegistryLogin* best = nullptr;
  for (const auto& login : logins) {
    if (is_for(login.key, reference) && (best == nullptr || login.key.size() > best->key.size()))
      best = &login;
  }
  return best;
}

}  // namespace

/// The first credentials that let the job have the image: DOCKER_AUTH_CONFIG's, those that the runner gave
/// it, this machine's own. They are tried, for a job's token may be good for its own project's images only.
PrepareStage::ChosenAccess PrepareStage::choose_access(const ImageReference& reference, const Job& job) {
  DockerAuth docker;
  if (!job.docker_auth_config.empty()) {
    docker = parse_docker_auth(job.docker_auth_config);
    if (docker.names_helpers)
      parts_.reporter.warn(
          "WARNING: DOCKER_AUTH_CONFIG names credential helpers; these would run on the runner's "
          "machine, and are not used");
  }
  const auto& authfile = resources_.folder().authfile();
  for (const auto* login : {login_for(reference, docker.logins), login_for(reference, job.logins)}) {
    if (login == nullptr) continue;
    write_registry_auth(authfile, reference.asked_registry(), login->auth);
    const RegistryAccess access{.authfile = authfile};
    try {
      return {.access = access, .announced = parts_.registry.announce(reference, access)};
    } catch (const AccessDenied& error) {
      parts_.reporter.say(std::string("With the job's credentials: ") + error.what());
    }
  }
  remove_if_there(authfile);
  return {.access = {}, .announced = parts_.registry.announce(reference, {})};
}

ObtainedImage PrepareStage::from_cache(const ImageReference& reference, const std::string& policy,
                                       const Job& job) {
  const auto start = parts_.clock.now();
  auto image = parts_.images.load(reference);
  check_access(image, policy, job);
  refuse_what_no_job_may_have(image.domain_xml);
  parts_.images.mark_used(image);
  resources_.folder().note_image(image.config_digest.text());
  parts_.reporter.say("It is " + image.manifest.digest.text());
  auto unpacked = parts_.images.unpack_shared(image, [&](std::uint64_t done, std::uint64_t total) {
    parts_.reporter.progress({.doing = "unpacking", .done = done, .total = total});
  });
  say_unpacked(unpacked, start);
  return {.image = std::move(image), .unpacked = std::move(unpacked)};
}

ObtainedImage PrepareStage::from_registry(const ImageReference& reference, const ChosenAccess& chosen) {
  const auto start = parts_.clock.now();
  auto obtained = parts_.images.obtain(
      {.reference = reference,
       .source = reference,
       .announced = chosen.announced,
       .announce_use = [&](const std::string& digest) { resources_.folder().note_image(digest); },
       .check = [&](const std::string& domain_xml) { refuse_what_no_job_may_have(domain_xml); },
       .progress =
           [&](const std::string& doing, std::uint64_t done, std::uint64_t total) {
             parts_.reporter.progress({.doing = doing, .done = done, .total = total});
           }},
      parts_.registry, chosen.access);
  if (chosen.access.authfile) remove_if_there(*chosen.access.authfile);
  const auto& image = obtained.image;
  step("Fetched image " + quote(reference.text()) + ", " + image.manifest.digest.text() + ", " +
           size_text(image.compressed_size()),
       start);
  say_unpacked(obtained.unpacked, start);
  return obtained;
}

void PrepareStage::say_unpacked(const UnpackedImage& unpacked, TimePoint start) {
  if (unpacked.was_there) {
    parts_.reporter.detail("The image's disks are unpacked already, in " + unpacked.folder.string());
  } else {
    step("Unpacked the image's disks" + shared_note(unpacked), start);
  }
}

JobDomainPlan PrepareStage::make_overlays(const DomainSummary& domain, const UnpackedImage& disks) {
  const auto start = parts_.clock.now();
  JobDomainPlan plan{.name = resources_.name()};
  plan.disk_files = make_thin_copies(
      domain, disks, [&](const std::string& disk) { return resources_.folder().overlay(disk); });
  step("Made thin copies of " + std::to_string(plan.disk_files.size()) + " disk(s)", start);
  return plan;
}

PrepareStage::Network PrepareStage::choose_network(const DomainSummary& domain) const {
  auto name = parts_.settings.network;
  // libvirt's own network has ports that can be isolated, and firewall rules; an image does not choose.
  if (name.empty()) name = parts_.settings.connect.find("/session") != std::string::npos ? "user" : "default";
  if (name == "user" || name == "passt" || name == "slirp")
    return {.mode = NetworkMode::user, .is_user = true};
  if (name == "image") return {.mode = NetworkMode::image, .is_user = domain.has_user_network};
  return {.mode = NetworkMode::named, .name = name};
}

/// passt, if it is not to be QEMU's built-in network, or has to be for want of passt.
std::optional<PasstNetwork> PrepareStage::open_user_network(std::uint16_t guest_port) {
  const auto& wanted = parts_.settings.network;
  if (wanted == "slirp") return std::nullopt;
  try {
    auto& hypervisor = parts_.hypervisor();
    const auto account = hypervisor.qemu_account();
    if (!account || !hypervisor.has_stream_network())
      throw Error("QEMU is older than 7.2, or on another machine");
    return start_passt({.folder = resources_.folder().network(),
                        .guest_port = guest_port,
                        .qemu = *account,
                        .group = QemuAccess(account).group()},
                       parts_.environment, parts_.clock, parts_.cancellation);
  } catch (const Error& error) {
    if (wanted == "passt") throw Error(std::string("make the VM's network with passt: ") + error.what());
    parts_.reporter.warn(std::string("WARNING: the VM reaches what listens on this host's 127.0.0.1 (as "
                                     "10.0.2.2), for passt cannot make its network: ") +
                         error.what());
    return std::nullopt;
  }
}

VirtType PrepareStage::choose_virt_type(const std::string& architecture) {
  if (parts_.settings.virt_type == "kvm") return VirtType::kvm;
  if (parts_.settings.virt_type == "qemu") return VirtType::qemu;
  const auto cpuinfo = read_proc_file("/proc/cpuinfo").value_or("");
  const auto chosen = usable_virt_type(parts_.hypervisor().offers_kvm(architecture), architecture, cpuinfo);
  if (chosen == VirtType::qemu) {
    parts_.reporter.say("This host has no hardware virtualisation for " + architecture +
                        ": the VM is emulated, which is slow");
  }
  return chosen;
}

/// On a bridge the VM is held to its own addresses, as far as libvirt has filters for that.
std::optional<TrafficFilter> PrepareStage::choose_filter(const StoredImage& image, const Network& network) {
  if (network.is_user) return std::nullopt;
  auto& hypervisor = parts_.hypervisor();
  try {
    const auto name =
        network.mode == NetworkMode::named ? network.name : image_network_name(image.domain_xml);
    const bool is_libvirts = !name.empty() && hypervisor.network_gives_addresses(name);
    return filter_without_address(hypervisor, is_libvirts ? AddressSource::libvirt : AddressSource::anybody);
  } catch (const Error& error) {
    warn_of_no_filter(error.what());
    return std::nullopt;
  }
}

void PrepareStage::warn_of_no_filter(const std::string& why) {
  parts_.reporter.warn(
      "WARNING: another VM on this network could answer in the job's VM's place, for libvirt cannot filter "
      "its "
      "traffic: " +
      why);
}

/// Starts it, without the filter if that is what libvirt cannot do.
void PrepareStage::start(const StoredImage& image, JobDomainPlan& plan) {
  const auto built = build_job_domain(image.domain_xml, plan);
  if (!built.left_out.empty())
    parts_.reporter.detail("Left out of the image's domain: " + join(built.left_out, ", "));
  auto& hypervisor = parts_.hypervisor();
  within("VM '" + resources_.name().text() + "'", [&] {
    try {
      hypervisor.start(built.xml);
    } catch (const Error& error) {
      if (!plan.filter || error.blame() == Blame::job) throw;
      plan.filter.reset();
      hypervisor.start(build_job_domain(image.domain_xml, plan).xml);
      warn_of_no_filter(error.what());
    }
  });
}

/// What QEMU needs of this job's and of its image's files it may read from now on, and nobody else.
void PrepareStage::let_qemu_in(const UnpackedImage& disks, const JobDomainPlan& plan) {
  const QemuAccess access(parts_.hypervisor().qemu_account());
  const auto& folder = resources_.folder().path();
  let_qemu_read(access, disks);
  access.enter(folder.parent_path());
  access.enter(folder);
  for (const auto& [disk, file] : plan.disk_files)
    if (file.path.parent_path() == folder) access.own(file.path);
}

/// Half of what a guest may write is not to be the last that the host has.
std::uint64_t PrepareStage::disk_limit(std::uint64_t room) const {
  constexpr std::uint64_t reserve_part = 20;
  const auto limit = parts_.settings.max_job_disk == 0 ? UINT64_MAX : parts_.settings.max_job_disk;
  return std::min(limit, room - room / reserve_part);
}

void PrepareStage::start_vm(const StoredImage& image, const DomainSummary& domain, const UnpackedImage& disks,
                            JobDomainPlan& plan, const Job& job, Network& network) {
  const auto begun = parts_.clock.now();
  plan.job_id = job.id;
  plan.title = "GitLab job " + job.id + (job.project.empty() ? "" : " of " + job.project) + ", image " +
               image.reference.text();
  plan.expires = parts_.clock.moment().after(job.timeout + expiry_margin);
  plan.network = network.mode;
  plan.network_name = network.name;
  plan.folder = resources_.folder().path();
  plan.console_log = resources_.folder().console_log();
  plan.nvram = resources_.folder().nvram();
  plan.memory_mib = parts_.settings.memory_mib;
  plan.vcpus = parts_.settings.vcpus;
  plan.max_memory_mib = parts_.settings.max_memory_mib;
  plan.max_vcpus = parts_.settings.max_vcpus;
  plan.allowed_devices = parts_.settings.allow_devices;
  // Once without libvirt, which is not asked for anything on behalf of an image that is to be refused.
  static_cast<void>(build_job_domain(image.domain_xml, plan));
  plan.virt_type = choose_virt_type(domain.architecture);
  let_qemu_in(disks, plan);
  if (network.is_user) network.passt = open_user_network(guest_port_of(image));
  if (network.passt) plan.user_network_socket = network.passt->socket;
  plan.filter = choose_filter(image, network);
  auto& hypervisor = parts_.hypervisor();
  resources_.folder().expect_vm();
  start(image, plan);
  // QEMU holds the overlays open; without a name they go when it ends, however it ends.
  if (hypervisor.is_local()) {
    for (const auto& [disk, file] : plan.disk_files) {
      if (file.path.parent_path() == resources_.folder().path()) remove_if_there(file.path);
    }
  }
  step("Started VM " + resources_.name().text(), begun);
}

std::uint16_t PrepareStage::guest_port_of(const StoredImage& image) const {
  return parts_.settings.ssh_port != 0 ? parts_.settings.ssh_port : image.vm_config.ssh_port.value_or(22);
}

/// Throws Error, the job's fault, for what nobody can log in with.
void PrepareStage::check_login(const JobRecord& record) {
  constexpr std::size_t longest_name = 256;
  constexpr std::size_t longest_password = 4096;
  const auto& name = record.username;
  if (name.empty())
    throw Error(Blame::job,
                "log into the VM: nobody is named to log in as; say it in the image's vm config, or as "
                "'username' in the "
                "configuration's section for this image");
  if (name.size() > longest_name || printable_line(name, longest_name) != name)
    throw Error(Blame::job, "log into the VM: " + quote(name) + " cannot be a user's name");
  if (record.password.reveal().size() > longest_password)
    throw Error(Blame::job, "log into the VM: the password of " + quote(name) + " is longer than " +
                                size_text(longest_password));
}

JobRecord PrepareStage::login_into(const StoredImage& image) {
  const auto& settings = parts_.settings;
  const auto& embedded = image.vm_config;
  JobRecord record{.address = "127.0.0.1",
                   .port = guest_port_of(image),
                   .host_key = {},
                   .username = {},
                   .password = {},
                   .identity_file = settings.identity_file.string(),
                   .shell = settings.shell};
  record.username = settings.image_login.username.value_or(
      embedded.username.value_or(settings.login.username.value_or("")));
  record.password = settings.image_login.password.value_or(
      embedded.password.value_or(settings.login.password.value_or(Secret())));
  check_login(record);
  // The widespread password that equals its user's name is no secret, and hiding it would hide the name
  // everywhere.
  if (record.password.reveal() != record.username) parts_.reporter.mask(record.password.reveal());
  return record;
}

/// Finds out where the VM's SSH server is.
void PrepareStage::reach(JobRecord& record, const StoredImage& image, const Network& network,
                         JobDomainPlan& plan) {
  const auto start = parts_.clock.now();
  auto& hypervisor = parts_.hypervisor();
  if (network.passt) {
    record.port = network.passt->port;
  } else if (network.is_user) {
    record.port = hypervisor.forward_port(resources_.name().text(), record.port);
  } else {
    BootWait wait(resources_.name().text(), {.hypervisor = hypervisor,
                                             .clock = parts_.clock,
                                             .cancellation = parts_.cancellation,
                                             .reporter = parts_.reporter,
                                             .watch = watch_});
    record.address = wait.for_address(parts_.settings.address_timeout);
    hold_to_address(image, plan, record.address);
  }
  step("The VM's SSH server is expected at " + record.address + " port " + std::to_string(record.port),
       start);
}

/// From now on the VM may use this address, and no other.
void PrepareStage::hold_to_address(const StoredImage& image, JobDomainPlan& plan,
                                   const std::string& address) {
  if (!plan.filter || address.find(':') != std::string::npos) return;
  auto& hypervisor = parts_.hypervisor();
  try {
    plan.filter = filter_with_address(hypervisor, plan.filter->source, address);
    hypervisor.update_device(resources_.name().text(), job_interface(image.domain_xml, plan));
  } catch (const Error& error) {
    // A VM that may do nothing but ask for an address is of no use.
    throw Error(std::string("hold the VM to its address ") + address + ": " + error.what());
  }
}

void PrepareStage::log_in(JobRecord record) {
  const auto start = parts_.clock.now();
  const SshTarget target{.address = record.address,
                         .port = record.port,
                         .username = record.username,
                         .password = record.password,
                         .identity_file = record.identity_file,
                         .known_host_key = {}};
  BootWait wait(resources_.name().text(), {.hypervisor = parts_.hypervisor(),
                                           .clock = parts_.clock,
                                           .cancellation = parts_.cancellation,
                                           .reporter = parts_.reporter,
                                           .watch = watch_});
  // On a host with too much to do even a guest that is up takes long to answer: who waited long waits longer.
  const auto connect = [&] {
    const auto waited = milliseconds_between(start, parts_.clock.now());
    const auto patience = std::clamp(waited / 10, ConnectLimits{}.until_banner, longest_patience);
    return connect_ssh(target, {.until_banner = patience}, parts_.clock, parts_.cancellation);
  };
  const auto shell = wait.for_shell(connect, parts_.settings.boot_timeout);
  record.host_key = shell->host_key();
  resources_.folder().write(record);
  step("The VM booted, and lets user '" + record.username + "' in", start);
  if (!parts_.settings.prepare_script.empty()) run_prepare_script(*shell);
}

void PrepareStage::run_prepare_script(GuestShell& shell) {
  const auto start = parts_.clock.now();
  const auto& path = parts_.settings.prepare_script;
  const auto outcome = within("run the prepare-script " + path.string() + " in the VM", [&] {
    const GuestScript script{.content = read_file(path),
                             .shell = parts_.settings.shell,
                             .deadline = start + parts_.settings.prepare_script_timeout,
                             .watch = watch_};
    return shell.run_script(script, parts_.cancellation);
  });
  if (std::holds_alternative<ScriptTimedOut>(outcome))
    throw Error("run the prepare-script " + path.string() + " in the VM: it did not end within " +
                duration_text(parts_.settings.prepare_script_timeout) + " (prepare-script-timeout)");
  if (std::holds_alternative<ScriptStopped>(outcome)) parts_.cancellation.check();
  const auto* exited = std::get_if<ScriptExited>(&outcome);
  if (exited == nullptr || exited->code != 0) {
    throw Error("run the prepare-script " + path.string() + " in the VM: it " +
                (exited != nullptr ? "ended with exit code " + std::to_string(exited->code)
                                   : std::string("was killed by a signal")));
  }
  step("Ran the prepare-script", start);
}

void PrepareStage::show_console() {
  constexpr std::uint64_t enough = 64U << 10U;
  const auto tail =
      printable_tail(read_end_of_file(resources_.folder().console_log(), enough), console_lines);
  if (tail.empty()) {
    parts_.reporter.warn("The VM wrote nothing to its serial console");
    return;
  }
  parts_.reporter.warn("The end of the VM's serial console:");
  for (const auto& line : split(tail, '\n')) parts_.reporter.warn("  | " + line);
}

}  // namespace sarde
