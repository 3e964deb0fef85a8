#include "executor/job/cloud_seed.hpp"

#include <array>

#include <nlohmann/json.hpp>

#include "core/foundation/base64.hpp"
#include "core/foundation/digest.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"
#include "core/guest/job_key.hpp"
#include "core/system/files.hpp"
#include "core/system/subprocess.hpp"
#include "executor/job/phases.hpp"

namespace sarde {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

/// A part's type, by its first line, as cloud-init itself tells them apart.
std::string_view type_of(const std::string& user_data) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> types{
      {{"#cloud-config-archive", "text/cloud-config-archive"},
       {"#cloud-config-jsonp", "text/cloud-config-jsonp"},
       {"#cloud-config", "text/cloud-config"},
       {"#cloud-boothook", "text/cloud-boothook"},
       {"#include-once", "text/x-include-once-url"},
       {"#include", "text/x-include-url"},
       {"#part-handler", "text/part-handler"},
       {"## template: jinja", "text/jinja2"},
       {"#!", "text/x-shellscript"}}};
  for (const auto& [begins, type] : types)
    if (user_data.starts_with(begins)) return type;
  return {};
}

/// Lists of later parts are added to those of earlier ones; a key that is there stays.
constexpr auto merging = "Merge-Type: list(append)+dict(no_replace,recurse_list)+str()\n";

std::string part(std::string_view type, const std::string& content) {
  return "Content-Type: " + std::string(type) +
         "; charset=\"utf-8\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n" + merging + "\n" +
         to_base64(content) + "\n";
}

std::string read_user_data(const fs::path& file) {
  if (file.empty()) return "";
  auto text = within("cloud-init-user-data", [&] { return read_file(file); });
  if (type_of(text).empty() && !text.starts_with("Content-Type:") && !text.starts_with("MIME-Version:"))
    throw Error("cloud-init-user-data: the first line of " + file.string() +
                " says no kind of user data (#cloud-config, #!/bin/sh, …), so cloud-init would ignore it");
  return text;
}

}  // namespace

std::string cloud_user_data(const std::string& username, const std::string& public_key,
                            const std::string& of_administrator) {
  // JSON is YAML, and needs no more escaping.
  const ordered_json ours{{"users",
                           {{{"name", username},
                             {"lock_passwd", true},
                             {"sudo", "ALL=(ALL) NOPASSWD:ALL"},
                             {"ssh_authorized_keys", {public_key}}}}},
                          {"disable_root", username != "root"}};
  const auto boundary = "sarde-" + Digest::of(public_key + of_administrator).hex().substr(0, 32);
  auto message = "Content-Type: multipart/mixed; boundary=\"" + boundary + "\"\nMIME-Version: 1.0\n\n--" +
                 boundary + "\n" + part("text/cloud-config", "#cloud-config\n" + json_text(ours)) + "--" +
                 boundary;
  if (!of_administrator.empty()) {
    const auto type = type_of(of_administrator);
    message +=
        "\n" + (type.empty() ? of_administrator + "\n" : part(type, of_administrator)) + "--" + boundary;
  }
  return message + "--\n";
}

GuestSetup CloudSeeds::set_up(const StoredImage& image, GuestLogin login, const JobFolder& folder,
                              const VmName& name) {
  const bool is_wanted =
      parts_.rules.when == CloudRules::When::always ||
      (parts_.rules.when == CloudRules::When::if_image_says && image.guest_setup == "cloud-init");
  if (parts_.rules.when == CloudRules::When::agent) {
    login.identity_file = folder.path() / "ssh-key";
    login.password = Secret();
    login.origin = "the guest's agent was told to add a key made for this job";
    auto key = create_job_key(login.identity_file);
    return {.login = std::move(login), .key_for_agent = std::move(key)};
  }
  if (!is_wanted) return {.login = std::move(login)};
  const auto files = folder.path() / "seed";
  const auto disk = folder.path() / "seed.iso";
  make_folders(files, 0700);
  login.identity_file = folder.path() / "ssh-key";
  login.password = Secret();
  login.origin = "cloud-init was told to create the user, with a key made for this job";
  const auto public_key = create_job_key(login.identity_file);
  write_file(files / "user-data",
             cloud_user_data(login.username, public_key, read_user_data(parts_.rules.user_data)), 0600);
  const ordered_json meta_data{{"instance-id", name.text()}, {"local-hostname", name.text()}};
  write_file(files / "meta-data", json_text(meta_data) + "\n", 0600);
  write_disk(files, disk);
  parts_.reporter.detail("cloud-init will create user " + quote(login.username) + " with a key for this job");
  return {.login = std::move(login), .seed = disk};
}

void CloudSeeds::write_disk(const fs::path& folder, const fs::path& disk) {
  constexpr std::chrono::minutes long_enough(1);
  const auto result = run_program({.argv = {"xorriso", "-as", "mkisofs", "-quiet", "-output", disk.string(),
                                            "-volid", "CIDATA", "-joliet", "-rock", folder.string()},
                                   .environment = parts_.environment},
                                  {.clock = parts_.clock,
                                   .cancellation = parts_.cancellation,
                                   .deadline = parts_.clock.now() + long_enough});
  if (!result.succeeded()) throw Error("make the disk for cloud-init: " + quote(trimmed(result.errors)));
}

void CloudSeeds::authorize(Machines& machines, const VmName& vm, const GuestSetup& setup,
                           const std::function<void()>& watch, TimePoint deadline) {
  constexpr std::chrono::milliseconds pause(500);
  const Phase phase(parts_.clock, parts_.reporter);
  while (!machines.authorize_key(vm.text(), setup.login.username, trimmed(setup.key_for_agent))) {
    if (machines.state(vm.text()) != DomainState::running)
      throw Error("wait for the guest's agent: VM '" + vm.text() + "' has ended");
    if (parts_.clock.now() >= deadline)
      throw Error("wait for the guest's agent, which is to add a key for user " +
                  quote(setup.login.username) +
                  ": it did not answer within boot-timeout; is qemu-guest-agent in the image? (guest-setup)");
    watch();
    parts_.clock.sleep(pause, parts_.cancellation);
  }
  phase.done("The guest's agent has added a key for user " + quote(setup.login.username));
}

void CloudSeeds::await(GuestShell& guest, const std::function<void()>& watch, TimePoint deadline) {
  const Phase phase(parts_.clock, parts_.reporter);
  const GuestScript script{.content =
                               "command -v cloud-init >/dev/null || exit 0\n"
                               "cloud-init status --wait >/dev/null 2>&1\n",
                           .shell = "sh",
                           .deadline = deadline,
                           .watch = watch};
  const auto outcome = guest.run_script(script, parts_.cancellation);
  if (std::holds_alternative<ScriptTimedOut>(outcome))
    throw Error("wait for cloud-init in the VM: it was not done within boot-timeout");
  if (std::holds_alternative<ScriptStopped>(outcome)) parts_.cancellation.check();
  const auto* exited = std::get_if<ScriptExited>(&outcome);
  if (exited == nullptr || exited->code != 0)
    parts_.reporter.warn(
        "WARNING: cloud-init reports errors in the VM ('cloud-init status --long' and "
        "/var/log/cloud-init.log tell them)");
  phase.done("cloud-init has set up the VM");
}

}  // namespace sarde
