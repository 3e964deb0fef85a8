#include "executor/wiring/command_runs.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "executor/commands/clone_command.hpp"
#include "executor/commands/export_command.hpp"
#include "executor/commands/gc_command.hpp"
#include "executor/commands/import_command.hpp"
#include "executor/commands/inspect_command.hpp"
#include "executor/commands/list_command.hpp"
#include "executor/commands/login_command.hpp"
#include "executor/commands/prune_command.hpp"
#include "executor/commands/rm_command.hpp"
#include "executor/commands/selftest_command.hpp"
#include "executor/commands/settings_command.hpp"
#include "executor/commands/transfer_commands.hpp"
#include "executor/wiring/command_table.hpp"
#include "executor/wiring/stage_runs.hpp"
#include "executor/wiring/wiring.hpp"

namespace sarde {

namespace {

CommandTools tools_of(Wiring& wiring) {
  return {.images = wiring.images(),
          .registry = wiring.registry(),
          .hypervisor = wiring.hypervisor(),
          .clock = wiring.clock(),
          .cancellation = wiring.cancellation(),
          .reporter = wiring.reporter(),
          .helpers = wiring.environment_of_helpers().list()};
}

std::string argument(const Wiring& wiring, std::size_t index) {
  return wiring.invocation().argument(index);
}

AnswerForm answer_form(const Values& values) {
  return values.get<"json">() || values.get<"format">() == "json" ? AnswerForm::json : AnswerForm::text;
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
  static_cast<void>(fetch_image(tools_of(wiring), fetch_request(wiring)));
  return 0;
}

int run_push(Wiring& wiring) {
  push_image(tools_of(wiring), {.container = argument(wiring, 0), .target = wiring.values().get<"target">()});
  return 0;
}

int run_import(Wiring& wiring) {
  const auto& values = wiring.values();
  return print(import_image(tools_of(wiring), {.container = argument(wiring, 0),
                                               .name = values.get<"name">(),
                                               .raw = values.get<"raw">(),
                                               .print_uuid = values.get<"print-uuid">()}));
}

int run_pull(Wiring& wiring) {
  const auto& values = wiring.values();
  return print(pull_image(tools_of(wiring), {.fetch = fetch_request(wiring),
                                             .name = values.get<"name">(),
                                             .print_uuid = values.get<"print-uuid">()}));
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
  return print(wiring.invocation().is_sarde ? exported.id.text() : exported.name);
}

int run_clone(Wiring& wiring) {
  return print(clone_vm(tools_of(wiring), {.source = argument(wiring, 0),
                                           .target = argument(wiring, 1),
                                           .print_uuid = wiring.values().get<"print-uuid">()}));
}

int run_list(Wiring& wiring) {
  return print(list_images(tools_of(wiring), answer_form(wiring.values()), jobsdirs(wiring)));
}

int run_getconfig(Wiring& wiring) {
  return print(config_of_image(tools_of(wiring),
                               {.container = argument(wiring, 0), .raw = wiring.values().get<"raw">()}));
}

int run_inspect(Wiring& wiring) {
  const auto& values = wiring.values();
  return print(inspect_image(tools_of(wiring), {.container = argument(wiring, 0),
                                                .raw = values.get<"raw">(),
                                                .remote = values.get<"remote">(),
                                                .form = answer_form(values),
                                                .threads = wiring.threads(),
                                                .max_image = values.get<"max-image">(),
                                                .allowed_devices = values.get<"allow-devices">()}));
}

int run_rm(Wiring& wiring) {
  return print(remove_images(tools_of(wiring), removal_request(wiring), wiring.invocation().arguments));
}

int run_prune(Wiring& wiring) {
  const auto& values = wiring.values();
  PruneRequest request{.how = removal_request(wiring), .older_than = values.get<"older-than">()};
  if (values.has<"budget">()) request.budget = values.get<"budget">();
  return print(prune_images(tools_of(wiring), request));
}

int run_gc(Wiring& wiring) {
  const auto& values = wiring.values();
  return print(collect_garbage(
      tools_of(wiring),
      {.removal = removal(values), .form = answer_form(values), .jobsdirs = jobsdirs(wiring)}));
}

int run_selftest(Wiring& wiring) {
  const auto& values = wiring.values();
  const auto answer = self_test(tools_of(wiring), {.connect = values.get<"connect">(),
                                                   .network = values.get<"network">(),
                                                   .ocidir = values.get<"ocidir">(),
                                                   .vmdir = values.get<"vmdir">(),
                                                   .jobsdir = values.get<"jobsdir">(),
                                                   .authfile = values.get<"authfile">(),
                                                   .identity_file = values.get<"identity-file">(),
                                                   .form = answer_form(values),
                                                   .environment = wiring.environment_of_helpers()});
  print(answer.text);
  return answer.all_is_well ? 0 : wiring.exit_codes().of(Blame::host);
}

int run_settings(Wiring& wiring) {
  const auto first = argument(wiring, 0);
  const auto second = argument(wiring, 1);
  if (first == "convert") {
    if (second.empty()) throw Error(Blame::job, "settings convert: no file given; name the INI file");
    return print(convert_settings(second, wiring.values().get<"executor">(), command_names()));
  }
  if (!second.empty())
    throw Error(Blame::job, "settings: cannot use both " + quote(first) + " and " + quote(second) +
                                "; only 'settings convert FILE.ini' takes two arguments");
  // Jobs on an image get the settings from the files that the stages read, which may be different files.
  auto sources = first.empty() ? wiring.sources() : wiring.sources_of_stages();
  sources.image = names_of_image(first);
  return print(show_settings(wiring.values_of(sources).all(), sources.file.commands,
                             answer_form(wiring.values()) == AnswerForm::json));
}

}  // namespace sarde
