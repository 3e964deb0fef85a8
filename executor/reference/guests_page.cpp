#include <map>

#include "core/foundation/text.hpp"
#include "core/vm/domain/carried_table.hpp"
#include "core/vm/domain/refused_table.hpp"
#include "executor/reference/reference.hpp"

namespace sarde {

namespace {

constexpr auto intro = R"(# What of your VM a job gets

The domain of a job's VM is newly written; this page says what it takes from the image's domain. `sarde-executor export` says at once what a job would refuse or lose, and with `--strict` it fails; `inspect` says the same of a finished image.

The tables are generated from the program's own (`core/vm/domain/carried_table.cpp`, `refused_table.cpp`); edits by hand are overwritten. `tests/domains/` has more than 200 definitions as virt-install, virt-manager, Vagrant, Terraform, oVirt, Unraid, OpenStack and others write them, each with what becomes of it.

## What is the image's, written anew

- **Memory and processors**, unless `memory` or `vcpus` are set; processors that the guest may plug in later; sockets, cores and threads (one socket with all cores if the image does not say). With KVM, the processor is the host's, or the model that the image names.
- **The machine** by its family, in the host's version: `pc-q35-rhel9.4.0` becomes `q35`; `pc-1.0` and `rhel6.6.0` become `pc`.
- **The firmware** by its kind, in the host's files: UEFI however it is written (`firmware='efi'`, a pflash or a ROM loader), with Secure Boot and enrolled keys as the image had them. UEFI variables travel with the image, and each VM has its own copy. ACPI is added where UEFI needs it.
- **Disks** with their bus, or the nearest that the machine has: IDE on q35, NVMe, and the buses of other hypervisors become SATA on PCs, else virtio. Targets (vda, sdb), boot order and SCSI controllers are counted anew.
- **The network card**: its model and its place on the PCI bus, so that `ens5` stays `ens5`. What it is connected to is the setting `network`. A second card is left out.
- **Windows guests** (by libosinfo's metadata, or if the image has any Hyper-V feature) get the usual Hyper-V enlightenments and clock under KVM.
- A serial console, random numbers from the host, and, if the image has a screen, a screen that nobody sees.

## What is copied

An element is copied with the attributes listed, if each has one of the values; an element of another kind, or a value that is not listed, is left out. A number out of its range is refused. "Defined VMs" are those that `import`, `pull` and `clone` make of an image.

)";

std::string code(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c;
  }
  return "`" + escaped + "`";
}

std::string values(Check check) {
  if (check == any_text) return "any text";
  if (check == a_name) return "a name";
  if (check == time_zone) return "a time zone";
  if (check == hex16) return "16 hexadecimal digits";
  if (check.starts_with('#')) {
    const auto range = check.substr(1);
    const auto dash = range.find('-', 1);
    return std::string(range.substr(0, dash)) + " to " + std::string(range.substr(dash + 1));
  }
  std::vector<std::string> words;
  for (const auto& word : split(check, '|'))
    if (!word.empty()) words.push_back(word.starts_with('#') ? values(word) : word);
  return join(words, ", ");
}

std::string attributes(const Carried& row) {
  std::vector<std::string> all;
  for (const auto& [name, check] : row.attributes) all.push_back(code(name) + ": " + values(check));
  if (!row.text.empty()) all.push_back("text: " + values(row.text));
  return all.empty() ? "" : join(all, "; ");
}

std::string whose(Takes takes) {
  switch (takes) {
    case Takes::job:
      return "jobs";
    case Takes::definition:
      return "defined VMs";
    case Takes::both:
      return "both";
  }
  return "";
}

std::string refusal(const Refused& row) {
  std::vector<std::string> all;
  for (const auto& condition : row.conditions) {
    const auto where = code(condition.where);
    switch (condition.is) {
      case Is::present:
        all.push_back("has " + where);
        break;

      case Is::among:
        all.push_back(where + " is " + values(condition.words));
        break;
      case Is::not_among:
        all.push_back(values(condition.words).empty() ? where + " is not empty"
                                                      : where + " is none of: " + values(condition.words));
        break;
    }
  }
  return all.empty() ? "always" : join(all, ", and ");
}

}  // namespace

std::string guests_page() {
  std::string page = intro;
  page += "| element | attributes and values | whose VM gets it |\n| --- | --- | --- |\n";
  for (const auto& row : carried_table())
    page += "| " + code(row.path) + " | " + attributes(row) + " | " + whose(row.takes) + " |\n";
  page += "| `address` of a device | " + attributes(carried_address()) +
          " | both; in jobs' VMs only of the network card and of the PCI bridges before it |\n";
  page += R"(
## What is left out

Everything else that is not refused below: graphics and what belongs to them (SPICE's channels, USB redirection, smart cards), sound, vsock with an address that libvirt chooses, tuning of the host's resources (`cputune`, `numatune`, huge pages), SMBIOS entries, empty and physical CD drives, floppies, paths of QEMU and of firmware. `-v` lists what a job's VM did not get.

## What is refused

These reach for something of the host. A job whose image has one of them fails, and the message names it. Elements of `<devices>` can be allowed for an image with `allow-devices`.

| element | when | because it |
| --- | --- | --- |
)";
  for (const auto& row : refused_table())
    page += "| " + code(row.path) + " | " + refusal(row) + " | " + std::string(row.why) + " |\n";
  page +=
      "| `devices/disk` | it is no file of the image: another type, or a path | would give the VM a file of "
      "the "
      "host |\n| any element with a prefix (`qemu:commandline`) | always | would hand something to the "
      "hypervisor that libvirt does not check |\n| `domain` | its type is none of kvm, qemu, hvf | is "
      "another "
      "hypervisor's |\n";
  return page;
}

}  // namespace sarde
