#include "executor/wiring/command_runs.hpp"

#include "config/runner_file.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/hypervisor_loader.hpp"
#include "executor/commands/clone_command.hpp"
#include "executor/commands/console_command.hpp"
#include "executor/commands/doctor_command.hpp"
#include "executor/commands/export_command.hpp"
#include "executor/commands/gc_command.hpp"
#include "executor/commands/import_command.hpp"
#include "executor/commands/inspect_command.hpp"
#include "executor/commands/jobs_command.hpp"
#include "executor/commands/list_command.hpp"
#include "executor/commands/login_command.hpp"
#include "executor/commands/prune_command.hpp"
#include "executor/commands/rm_command.hpp"
#include "executor/commands/selftest_command.hpp"
#include "executor/commands/settings_command.hpp"
#include "executor/commands/ssh_command.hpp"
#include "executor/commands/transfer_commands.hpp"
#include "executor/commands/verify_command.hpp"
#include "executor/job/guest_runner.hpp"
#include "executor/wiring/command_table.hpp"
#include "executor/wiring/stage_runs.hpp"
#include "executor/wiring/wiring.hpp"

namespace sarde {

namespace {

std::string argument(const Wiring& wiring, std::size_t index) {
  return wiring.invocation().argument(index);
}

AnswerForm answer_form(const Values& values) {
  return values.get<"json">() || values.get<"format">() == "json" ? AnswerForm::json : AnswerForm::text;
}

/// Prints the VM's name, its UUID with --print-uuid, or both.
int print_vm(const Wiring& wiring, const DefinedVm& vm) {
  const auto& values = wiring.values();
  if (answer_form(values) == AnswerForm::json) return wiring.print(as_json(vm));
  return wiring.print(values.get<"print-uuid">() ? vm.uuid : vm.name);
}

/// Prints `text`, which may be empty, or all of the image that is known.
int print_image(const Wiring& wiring, const NamedImage& image, const std::string& text) {
  return wiring.print(answer_form(wiring.values()) == AnswerForm::json ? as_json(image) : text);
}

Removal removal(const Values& values) {
  return values.get<"dry-run">() ? Removal::pretended : Removal::real;
}

/// Where jobs' folders may be, according to the settings of commands and of stages.
std::vector<std::filesystem::path> jobsdirs(const Wiring& wiring) {
  const auto own = wiring.values().get<"jobsdir">();
  const auto of_stages = wiring.values_of(wiring.sources_of_stages()).get<"jobsdir">();
  if (of_stages == own) return {own};
  return {own, of_stages};
}

RemovalRequest removal_request(const Wiring& wiring) {
  const auto& values = wiring.values();
  return {.removal = removal(values),
          .form = answer_form(values),
          .jobsdirs = jobsdirs(wiring),
          .lock_timeout = values.get<"fetch-timeout">().value()};
}

FetchRequest fetch_request(const Wiring& wiring) {
  return {.container = argument(wiring, 0), .source = wiring.values().get<"source">()};
}

}  // namespace

int run_login(Wiring& wiring) {
  // Only a login given for this call counts: the default login for guests is no account at a registry.
  log_in(tools_of(wiring), {.registry = argument(wiring, 0),
                            .given = partial_login(wiring.values().of_call()),
                            .password_stdin = wiring.values().get<"password-stdin">()});
  return 0;
}

int run_logout(Wiring& wiring) {
  log_out(tools_of(wiring), argument(wiring, 0));
  return 0;
}

int run_fetch(Wiring& wiring) {
  return print_image(wiring, named(fetch_image(tools_of(wiring), fetch_request(wiring))), "");
}

int run_push(Wiring& wiring) {
  const auto pushed = push_image(
      tools_of(wiring), {.container = argument(wiring, 0), .target = wiring.values().get<"target">()});
  return print_image(wiring, pushed, "");
}

int run_import(Wiring& wiring) {
  const auto& values = wiring.values();
  return print_vm(wiring, import_image(tools_of(wiring), {.container = argument(wiring, 0),
                                                          .name = values.get<"name">(),
                                                          .raw = values.get<"raw">()}));
}

int run_pull(Wiring& wiring) {
  return print_vm(wiring, pull_image(tools_of(wiring), {.fetch = fetch_request(wiring),
                                                        .name = wiring.values().get<"name">()}));
}

std::vector<std::filesystem::path> paths_of(const std::vector<std::string>& names) {
  return {names.begin(), names.end()};
}

int run_export(Wiring& wiring) {
  const auto& values = wiring.values();
  const auto exported = export_image(
      tools_of(wiring),
      {.vm = argument(wiring, 0),
       .container = argument(wiring, 1),
       .tag = values.get<"tag">(),
       .raw = values.get<"raw">(),
       .live = values.get<"live">(),
       .with_cdroms = values.get<"with-cdroms">(),
       .cloud_init = values.get<"cloud-init">(),
       .strict = values.get<"strict">(),
       .allowed_devices = values.get<"allow-devices">(),
       .disks = paths_of(values.get<"disk">()),
       .bare = {.architecture = values.get<"arch">(),
                .uefi = values.get<"firmware">() == "uefi",
                .memory_mib = values.get<"memory">().number.value_or(BareMachine().memory_mib),
                .vcpus = static_cast<unsigned>(values.get<"vcpus">().number.value_or(BareMachine().vcpus))},
       .vm_config = values.get<"vmconfig">(),
       .libvirt_config = values.get<"libvirtconfig">(),
       .compression = values.get<"compression">() == "fast" ? Compression::fast : Compression::small,
       .largest_layer = values.get<"chunksize">().value_or(0),
       .threads = wiring.threads()});
  // Scripts that were written for sardinecake expect the image's id.
  return print_image(wiring, exported, wiring.invocation().is_sarde ? exported.id.text() : exported.name);
}

int run_clone(Wiring& wiring) {
  return print_vm(wiring, clone_vm(tools_of(wiring), {.source = argument(wiring, 0),
                                                      .target = argument(wiring, 1),
                                                      .keep_blobs = wiring.values().get<"keep-blobs">()}));
}

int run_list(Wiring& wiring) {
  const auto& uri = wiring.values().get<"connect">();
  return wiring.print(
      list_images(tools_of(wiring), {.form = answer_form(wiring.values()),
                                     .jobsdirs = jobsdirs(wiring),
                                     .may_have_base_vms = may_define(uri, "sha256:", wiring.environment())}));
}

int run_getconfig(Wiring& wiring) {
  return wiring.print(config_of_image(
      tools_of(wiring), {.container = argument(wiring, 0), .raw = wiring.values().get<"raw">()}));
}

int run_inspect(Wiring& wiring) {
  const auto& values = wiring.values();
  if (values.has<"diff">() && values.get<"diff">().empty())
    throw Error(Blame::job, "inspect --diff: no image is named to compare with");
  return wiring.print(inspect_image(tools_of(wiring), {.container = argument(wiring, 0),
                                                       .raw = values.get<"raw">(),
                                                       .remote = values.get<"remote">(),
                                                       .other = values.get<"diff">(),
                                                       .form = answer_form(values),
                                                       .threads = wiring.threads(),
                                                       .max_image = values.get<"max-image">(),
                                                       .allowed_devices = values.get<"allow-devices">()}));
}

int run_rm(Wiring& wiring) {
  return wiring.print(
      remove_images(tools_of(wiring), removal_request(wiring), wiring.invocation().arguments));
}

int run_prune(Wiring& wiring) {
  const auto& values = wiring.values();
  PruneRequest request{.how = removal_request(wiring), .older_than = values.get<"older-than">()};
  if (values.has<"budget">()) request.budget = values.get<"budget">();
  request.scheduled = values.get<"scheduled">();
  return wiring.print(prune_images(tools_of(wiring), request));
}

int run_gc(Wiring& wiring) {
  const auto& values = wiring.values();
  return wiring.print(collect_garbage(
      tools_of(wiring),
      {.removal = removal(values), .form = answer_form(values), .jobsdirs = jobsdirs(wiring)}));
}

int run_jobs(Wiring& wiring) {
  return wiring.print(list_jobs(tools_of(wiring), answer_form(wiring.values()), jobsdirs(wiring)));
}

int run_ssh(Wiring& wiring) {
  const auto& words = wiring.invocation().arguments;
  return log_into_job(
      find_job(jobsdirs(wiring), argument(wiring, 0)),
      {.command = {words.begin() + 1, words.end()}, .environment = wiring.environment().list()});
}

int run_console(Wiring& wiring) {
  return open_console(find_job(jobsdirs(wiring), argument(wiring, 0)), wiring.values().get<"connect">(),
                      wiring.environment().list());
}

int run_logs(Wiring& wiring) {
  show_logs(tools_of(wiring), find_job(jobsdirs(wiring), argument(wiring, 0)),
            wiring.values().get<"follow">(),
            [&](const std::string& line) { wiring.print(line.empty() ? " " : line); });
  return 0;
}

namespace {

SelftestRequest selftest_request(const Wiring& wiring) {
  const auto& values = wiring.values();
  return {.connect = values.get<"connect">(),
          .network = network_rules(values),
          .ocidir = values.get<"ocidir">(),
          .vmdir = values.get<"vmdir">(),
          .jobsdir = values.get<"jobsdir">(),
          .authfile = values.get<"authfile">(),
          .identity_file = values.get<"identity-file">(),
          .form = answer_form(values),
          .environment = wiring.environment_of_helpers()};
}

int answer(const Wiring& wiring, const SelftestAnswer& answer) {
  wiring.print(answer.text, AnswerKind::verdicts);
  return answer.all_is_well ? 0 : wiring.exit_codes().of(Blame::host);
}

/// Those of the custom executor.
std::optional<std::vector<RunnerFacts>> runners_in(const std::optional<RunnerFile>& file) {
  if (!file) return std::nullopt;
  std::vector<RunnerFacts> runners;
  for (const auto& runner : file->runners)
    if (runner.executor == "custom")
      runners.push_back({.name = runner.name, .programs = runner.programs, .timeouts = runner.timeouts});
  return runners;
}

/// A config.toml that cannot be read is a finding, not the end.
unsigned concurrency_or_one(const Wiring& wiring) {
  try {
    return concurrency(wiring);
  } catch (const Error&) {
    return 1;
  }
}

}  // namespace

int run_verify(Wiring& wiring) {
  return answer(wiring, verify_images(tools_of(wiring), {.containers = wiring.invocation().arguments,
                                                         .form = answer_form(wiring.values())}));
}

int run_selftest(Wiring& wiring) {
  return answer(wiring, self_test(tools_of(wiring), selftest_request(wiring)));
}

int run_doctor(Wiring& wiring) {
  const auto& values = wiring.values();
  const auto host = selftest_request(wiring);
  const auto path = runner_file_path({}, wiring.environment(), is_root());
  std::error_code ignored;
  return answer(
      wiring,
      examine(tools_of(wiring),
              {.host = host,
               .program = std::filesystem::read_symlink("/proc/self/exe", ignored),
               .runner_file = path,
               .runners = [&] { return runners_in(read_runner_file(path)); },
               .concurrency = concurrency_or_one(wiring),
               .longest_prepare =
                   values.get<"admission-timeout">().value() + values.get<"address-timeout">().value() +
                   values.get<"boot-timeout">().value() + values.get<"prepare-script-timeout">().value(),
               .settings_files = paths_of(wiring.settings_files()),
               .guest_runner = values.get<"guest-runner">(),
               .warm = values.get<"warm">(),
               .runner_of_host = runner_of_host(0, wiring.environment().get("PATH").value_or(""))}));
}

int run_settings(Wiring& wiring) {
  const auto first = argument(wiring, 0);
  const auto second = argument(wiring, 1);
  if (first == "convert") {
    if (second.empty()) throw Error(Blame::job, "settings convert: no file given; name the INI file");
    return wiring.print(convert_settings(second, wiring.values().get<"executor">(), command_names()));
  }
  if (!second.empty())
    throw Error(Blame::job, "settings: cannot use both " + quote(first) + " and " + quote(second) +
                                "; only 'settings convert FILE.ini' takes two arguments");
  // Jobs on an image get the settings from the files that the stages read, which may be different files.
  auto sources = first.empty() ? wiring.sources() : wiring.sources_of_stages();
  sources.image = names_of_image(first);
  return wiring.print(show_settings(wiring.values_of(sources).all(), sources.file.commands,
                                    answer_form(wiring.values()) == AnswerForm::json));
}

}  // namespace sarde
