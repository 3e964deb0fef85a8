#include "config/settings_rules.hpp"

#include <algorithm>

#include "config/units.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

std::span<const OptionRule> option_rules() {
  using enum ValueKind;
  static const std::vector<OptionRule> rules{
      {"address-timeout", seconds, "how long a VM may take to get an address"},
      {"allowed-pull-policies", list, "pull policies that a job may choose"},
      {"boot-timeout", seconds, "how long a VM may take until its SSH server lets us in"},
      {"chunksize", size, "largest layer of an exported image; 0: as large as it comes"},
      {"compression", text, "small (slower) or fast (larger)", {"small", "fast"}},
      {"connect", text, "libvirt connection URI"},
      {"fetch-timeout", seconds, "how long one transfer from or to a registry may take"},
      {"guest-builds-dir", text, "where jobs build, in the guest"},
      {"guest-cache-dir", text, "where jobs keep their cache, in the guest"},
      {"identity-file", path, "private key to log into guests with"},
      {"image", text, "image of jobs that name none"},
      {"insecure", flag, "plain HTTP and unverified certificates for every registry"},
      {"insecure-registries", list, "registries (host[:port]) that may be spoken to so"},
      {"jobsdir", path, "folder of the running jobs' files"},
      {"libvirtconfig", path, "domain XML to export instead of the VM's own"},
      {"memory", size, "memory of a job's VM; 0: as the image has it"},
      {"network", text, "user, image, or the name of a libvirt network"},
      {"ocidir", path, "folder of the images as they come from registries"},
      {"password", text, "password to log into guests with"},
      {"prepare-script", path, "script that is run in each job's VM before the job"},
      {"pull-policy", text, "when to ask the registry for an image", {"always", "if-not-present", "never"}},
      {"shell", text, "shell that runs a job's scripts", {"bash", "sh", "pwsh", "powershell"}},
      {"ssh-port", number, "port of the guests' SSH server; 0: as the image has it"},
      {"username", text, "user to log into guests as"},
      {"vcpus", number, "processors of a job's VM; 0: as the image has it"},
      {"verbosity", number, "0: results only, 1: steps, 2: details"},
      {"virt-type", text, "auto, kvm or qemu (emulation)", {"auto", "kvm", "qemu"}},
      {"vmconfig", path, "JSON file with the VM's login and services"},
      {"vmdir", path, "folder of the unpacked images' disks"},
  };
  return rules;
}

const OptionRule* find_rule(std::string_view name) {
  const auto rules = option_rules();
  const auto found = std::ranges::find(rules, name, &OptionRule::name);
  return found == rules.end() ? nullptr : &*found;
}

namespace {

std::string complaint(const OptionRule& rule, const std::string& value) {
  switch (rule.kind) {
    case ValueKind::flag:
      return value == "true" || value == "false" ? "" : "is not true or false";
    case ValueKind::number:
      return parse_number(value) ? "" : "is not a whole number";
    case ValueKind::seconds:
      return parse_number(value).value_or(0) > 0 ? "" : "is not a whole number of seconds";
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
    const auto wrong = complaint(rule, item);
    const auto shown = rule.name == "password" ? std::string("the value") : quote(item);
    if (!wrong.empty())
      throw Error(Blame::job, value.origin + ": " + std::string(rule.name) + ": " + shown + " " + wrong);
  }
}

}  // namespace sarde
