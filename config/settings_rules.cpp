#include "config/settings_rules.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "config/units.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

std::span<const OptionRule> option_rules() {
  using enum ValueKind;
  constexpr auto call = OptionScope::call;
  static const std::vector<OptionRule> rules{
      {"address-timeout", seconds, "how long a VM may take to get an address; default: timeout, or 120 s"},
      {"allow-devices", list,
       "elements in <devices> that an image's domain may have although they reach for the host"},
      {"allowed-pull-policies", list, "pull policies that a job may choose"},
      {"authfile", path,
       "registry credentials, as containers-auth.json(5) has them; default: skopeo's own places"},
      {"boot-timeout", seconds,
       "how long a VM may take until its SSH server lets us in; default: timeout, or 300 s"},
      {"budget", size, "remove the images not used for longest until the rest fits", {}, call},
      {"chunksize", size, "largest layer of an exported image; 0: as large as it comes"},
      {"compression", text, "small (slower) or fast (larger)", {"small", "fast"}},
      {"connect", text, "libvirt connection URI"},
      {"dry-run", flag, "say what would be removed, remove nothing", {}, call},
      {"fetch-timeout", seconds, "how long one transfer from or to a registry may take"},
      {"format", text, "text or json", {"text", "json"}, call},
      {"guest-builds-dir", text, "where jobs build, in the guest"},
      {"guest-cache-dir", text, "where jobs keep their cache, in the guest"},
      {"identity-file", path, "private key to log into guests with"},
      {"image", text, "image of jobs that name none"},
      {"insecure", flag, "plain HTTP and unverified certificates for every registry"},
      {"insecure-registries", list, "registries (host[:port]) that may be spoken to so"},
      {"jobsdir", path, "folder of the running jobs' files", {}, OptionScope::everywhere, "clonedir"},
      {"job-settable", list, "options that a job may set, as variables SARDE_<OPTION>"},
      {"json", flag, "the same as --format json", {}, call},
      {"libvirtconfig", path, "domain XML to export instead of the VM's own"},
      {"live", flag, "export the VM while it runs, from a consistent copy of its disks", {}, call},
      {"max-disk", size, "most bytes that the disks of an image may have in all, as the guest sees them"},
      {"max-image", size, "most bytes that an image's disk files may unpack to"},
      {"max-job-disk", size, "most bytes that a job may write to its VM's disks; 0: any"},
      {"max-memory", size, "most memory that a job's VM may have; 0: any; default: what the host has"},
      {"max-vcpus", number, "most processors that a job's VM may have; 0: any; default: what the host has"},
      {"memory", size, "memory of a job's VM; 0: as the image has it"},
      {"name", text, "the VM's name; else the image config's digest", {}, call},
      {"network", text, "user (passt, else slirp), passt, slirp, image, or the name of a libvirt network"},
      {"no-run", flag, "read the settings and the command line, then stop"},
      {"ocidir", path, "folder of the images as they come from registries"},
      {"older-than", seconds, "remove images that were not used for that long (30d, 12h)", {}, call},
      {"omit-backingstore", flag, "of no effect: VMs are always defined so (sardinecake's option)"},
      {"password", text, "password to log in with: into guests, or for 'login' at the registry"},
      {"password-stdin", flag, "read the password from standard input", {}, call},
      {"prepare-script", path, "script that is run in each job's VM before the job"},
      {"prepare-script-timeout", seconds, "how long the prepare-script may take"},
      {"print-uuid", flag, "print the VM's UUID rather than its name", {}, call},
      {"pull-policy", text, "when to ask the registry for an image", {"always", "if-not-present", "never"}},
      {"raw", flag, "CONTAINER is the folder of an OCI layout", {}, call},
      {"remote", flag, "ask the registry, even if the image is in the cache", {}, call},
      {"shell", text, "shell that runs a job's scripts", {"bash", "sh", "pwsh", "powershell"}},
      {"signature-policy", path,
       "whose signatures an image must have: containers-policy.json(5); default: skopeo's"},
      {"source", text, "the image's name at the registry, if it is another", {}, call},
      {"ssh-port", number, "port of the guests' SSH server; 0: as the image has it"},
      {"tag", text, "the image's name", {}, call},
      {"target", text, "the image's name at the registry, if it is another", {}, call},
      {"timeout", seconds, "address-timeout and boot-timeout in one"},
      {"username", text, "user to log in as: into guests, or for 'login' at the registry"},
      {"vcpus", number, "processors of a job's VM; 0: as the image has it"},
      {"verbosity", number, "0: results only, 1: steps, 2: details"},
      {"virt-type", text, "auto, kvm or qemu (emulation)", {"auto", "kvm", "qemu"}},
      {"vmconfig", path, "JSON file with the VM's login and services"},
      {"vmdir", path, "folder of the unpacked images' disks", {}, OptionScope::everywhere, "outdir"},
  };
  return rules;
}

const OptionRule* find_rule(std::string_view name) {
  const auto rules = option_rules();
  const auto found = std::ranges::find_if(rules, [&](const OptionRule& rule) {
    return rule.name == name || (!rule.alias.empty() && rule.alias == name);
  });
  return found == rules.end() ? nullptr : &*found;
}

bool may_be_left_to_jobs(std::string_view name) {
  constexpr std::array<std::string_view, 13> harmless{
      "address-timeout", "boot-timeout", "guest-builds-dir", "guest-cache-dir", "memory",
      "password",        "shell",        "ssh-port",         "timeout",         "username",
      "vcpus",           "verbosity",    "virt-type"};
  return std::ranges::find(harmless, name) != harmless.end();
}

std::string variable_name(std::string_view option) {
  std::string name = "SARDE_";
  for (const char c : option)
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

namespace {

std::string complaint(const OptionRule& rule, const std::string& value) {
  switch (rule.kind) {
    case ValueKind::flag:
      return value == "true" || value == "false" ? "" : "is not true or false";
    case ValueKind::number:
      return parse_number(value) ? "" : "is not a whole number";
    case ValueKind::seconds:
      return parse_seconds(value).value_or(0) > 0 ? "" : "is not a time such as 90, 45m, 12h or 30d";
    case ValueKind::size:
      return parse_size(value) ? "" : "is not a size such as 256MiB";
    case ValueKind::path:
      return value.empty() ? "is empty" : "";
    default:
      break;
  }
  if (rule.choices.empty() || std::ranges::find(rule.choices, value) != rule.choices.end()) return "";
  return "is not one of " + join({rule.choices.begin(), rule.choices.end()}, ", ");
}

}  // namespace

void check_value(const OptionRule& rule, const OptionValue& value) {
  for (const auto& item : value.items) {
    if (!is_utf8_text(item))
      throw Error(Blame::job,
                  value.origin + ": " + std::string(rule.name) + ": the value is not valid UTF-8");
    const auto wrong = complaint(rule, item);
    const auto shown = rule.name == "password" ? std::string("the value") : quote(item);
    if (!wrong.empty())
      throw Error(Blame::job, value.origin + ": " + std::string(rule.name) + ": " + shown + " " + wrong);
  }
}

}  // namespace sarde
