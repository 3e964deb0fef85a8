#include "core/vm/domain/carried.hpp"

#include <map>
#include <string_view>
#include <vector>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/vocabulary.hpp"

namespace sarde {

using pugi::xml_node;

namespace {

constexpr Check on_off = "on|off";
constexpr Check yes_no = "yes|no";
constexpr Check any_text = "*";  ///< for people: shown, never looked up

struct CarriedAttribute {
  std::string_view name;
  Check check;
};

/// An element below the domain by its path, its attributes, and what its text must be (empty: none is taken).
struct Carried {
  std::string_view path;
  std::vector<CarriedAttribute> attributes = {};
  Check text = {};
};

/// formatdomain.html: what a VM keeps that is defined from an image.
const std::vector<Carried>& table() {
  static const std::vector<Carried> rows{
      {"title", {}, any_text},
      {"description", {}, any_text},
      {"metadata"},
      {"metadata/libosinfo:libosinfo",
       {{"xmlns:libosinfo", "http://libosinfo.org/xmlns/libvirt/domain/1.0"}}},
      {"metadata/libosinfo:libosinfo/libosinfo:os", {{"id", any_text}}},
      {"features"},
      {"features/acpi"},
      {"features/apic", {{"eoi", on_off}}},
      {"features/pae"},
      {"features/hap", {{"state", on_off}}},
      {"features/vmport", {{"state", on_off}}},
      {"features/smm", {{"state", on_off}}},
      {"features/pvspinlock", {{"state", on_off}}},
      {"features/vmcoreinfo", {{"state", on_off}}},
      {"features/gic", {{"version", "2|3|host"}}},
      {"features/kvm"},
      {"features/kvm/hidden", {{"state", on_off}}},
      {"features/kvm/hint-dedicated", {{"state", on_off}}},
      {"features/kvm/poll-control", {{"state", on_off}}},
      {"features/hyperv", {{"mode", "custom|passthrough"}}},
      {"features/hyperv/relaxed", {{"state", on_off}}},
      {"features/hyperv/vapic", {{"state", on_off}}},
      {"features/hyperv/spinlocks", {{"state", on_off}, {"retries", "#4095-1048576"}}},
      {"features/hyperv/vpindex", {{"state", on_off}}},
      {"features/hyperv/runtime", {{"state", on_off}}},
      {"features/hyperv/synic", {{"state", on_off}}},
      {"features/hyperv/stimer", {{"state", on_off}}},
      {"features/hyperv/stimer/direct", {{"state", on_off}}},
      {"features/hyperv/reset", {{"state", on_off}}},
      {"features/hyperv/frequencies", {{"state", on_off}}},
      {"features/hyperv/reenlightenment", {{"state", on_off}}},
      {"features/hyperv/tlbflush", {{"state", on_off}}},
      {"features/hyperv/ipi", {{"state", on_off}}},
      {"features/hyperv/evmcs", {{"state", on_off}}},
      {"cpu",
       {{"mode", "host-passthrough|host-model|custom|maximum"},
        {"match", "minimum|exact|strict"},
        {"check", "none|partial|full"},
        {"migratable", on_off}}},
      {"cpu/topology", {{"sockets", "#1-512"}, {"dies", "#1-64"}, {"cores", "#1-512"}, {"threads", "#1-8"}}},
      {"cpu/cache", {{"level", "#1-3"}, {"mode", "emulate|passthrough|disable"}}},
      {"cpu/feature", {{"policy", "force|require|optional|disable|forbid"}, {"name", "@"}}},
      {"clock", {{"offset", "utc|localtime"}}},
      {"clock/timer",
       {{"name", "platform|hpet|kvmclock|pit|rtc|tsc|hypervclock|armvtimer"},
        {"tickpolicy", "delay|catchup|merge|discard"},
        {"track", "boot|guest|wall"},
        {"present", yes_no}}},
      {"on_poweroff", {}, "destroy|restart|preserve"},
      {"on_reboot", {}, "destroy|restart|preserve"},
      {"on_crash", {}, "destroy|restart|preserve"},
      {"pm"},
      {"pm/suspend-to-mem", {{"enabled", yes_no}}},
      {"pm/suspend-to-disk", {{"enabled", yes_no}}},
      {"genid"},
      {"devices/controller",
       {{"type", "usb|sata|ide|virtio-serial|pci"},
        {"index", "#0-63"},
        {"model",
         "piix3-uhci|piix4-uhci|ehci|ich9-ehci1|ich9-uhci1|ich9-uhci2|ich9-uhci3|vt82c686b-uhci|pci-ohci|"
         "nec-xhci|qemu-xhci|none|pci-root|pcie-root|pcie-root-port|pci-bridge|dmi-to-pci-bridge|"
         "pcie-to-pci-bridge|pcie-switch-upstream-port|pcie-switch-downstream-port|virtio|"
         "virtio-transitional|virtio-non-transitional"},
        {"ports", "#1-31"}}},
      {"devices/controller/master", {{"startport", "#0-15"}}},
      {"devices/controller/model",
       {{"name",
         "pcie-root-port|ioh3420|pci-bridge|i82801b11-bridge|pcie-pci-bridge|x3130-upstream|"
         "xio3130-downstream"}}},
      {"devices/controller/target",
       {{"chassis", "#1-255"}, {"port", "#0-255"}, {"chassisNr", "#1-255"}, {"hotplug", on_off}}},
      {"devices/interface", {{"type", "user|network|bridge"}}},
      {"devices/interface/source", {{"network", "@"}, {"bridge", "@"}}},
      {"devices/interface/model",
       {{"type",
         "virtio|virtio-transitional|virtio-non-transitional|e1000|e1000e|rtl8139|ne2k_pci|pcnet|"
         "vmxnet3|usb-net"}}},
      {"devices/interface/link", {{"state", "up|down"}}},
      {"devices/interface/rom", {{"bar", on_off}, {"enabled", yes_no}}},
      {"devices/interface/mtu", {{"size", "#68-65535"}}},
      {"devices/serial", {{"type", "pty|null"}}},
      {"devices/serial/target",
       {{"type", "isa-serial|usb-serial|pci-serial|spapr-vio-serial|system-serial"}, {"port", "#0-3"}}},
      {"devices/serial/target/model",
       {{"name", "isa-serial|usb-serial|pci-serial|spapr-vty|pl011|16550a|sclpconsole"}}},
      {"devices/console", {{"type", "pty|null"}}},
      {"devices/console/target", {{"type", "serial|virtio|sclp"}, {"port", "#0-3"}}},
      {"devices/channel", {{"type", "unix|spicevmc|spiceport|pty|null|qemu-vdagent"}}},
      {"devices/channel/target", {{"type", "virtio"}, {"name", "@"}}},
      {"devices/input", {{"type", "tablet|mouse|keyboard"}, {"bus", "usb|ps2|virtio"}}},
      {"devices/graphics", {{"type", "vnc|spice"}, {"autoport", "yes"}}},
      {"devices/sound", {{"model", "ac97|es1370|ich6|ich7|ich9|pcspk|sb16|usb|virtio"}}},
      {"devices/audio", {{"id", "#1-16"}, {"type", "none|spice"}}},
      {"devices/video"},
      {"devices/video/model",
       {{"type", "vga|virtio|cirrus|bochs|qxl|vmvga|ramfb|none"},
        {"heads", "#1-16"},
        {"primary", yes_no},
        {"ram", "#1024-1048576"},
        {"vram", "#1024-1048576"},
        {"vgamem", "#1024-1048576"}}},
      {"devices/video/model/acceleration", {{"accel3d", yes_no}}},
      {"devices/watchdog",
       {{"model", "i6300esb|ib700|diag288"}, {"action", "reset|shutdown|poweroff|pause|none"}}},
      {"devices/memballoon", {{"model", "virtio|virtio-transitional|virtio-non-transitional|none"}}},
      {"devices/rng", {{"model", "virtio|virtio-transitional|virtio-non-transitional"}}},
      {"devices/rng/rate", {{"bytes", "#1-1073741824"}, {"period", "#1-3600000"}}},
      {"devices/rng/backend", {{"model", "random|builtin"}}, "/dev/urandom|/dev/random"},
      {"devices/panic", {{"model", "isa|hyperv|pvpanic"}}},
      {"devices/tpm", {{"model", "tpm-tis|tpm-crb|tpm-spapr"}}},
      {"devices/tpm/backend", {{"type", "emulator"}, {"version", "1.2|2.0"}}},
  };
  return rows;
}

/// Where a device is in the guest; disks' places come from their numbers.
const Carried address{"address",
                      {{"type", "pci|virtio-serial"},
                       {"domain", "#0-0"},
                       {"bus", "#0-63"},
                       {"slot", "#0-31"},
                       {"function", "#0-7"},
                       {"multifunction", on_off},
                       {"controller", "#0-63"},
                       {"port", "#0-31"}}};

class Copier {
 public:
  Copier() {
    for (const auto& row : table()) rows_.emplace(row.path, &row);
  }

  /// Depth is bounded: parse_domain_text().
  void copy_children(const xml_node& from, xml_node to, const std::string& path) {
    std::map<std::string, std::size_t> numbers;
    for (const auto& child : from.children()) {
      if (child.type() != pugi::node_element) continue;
      const std::string name = child.name();
      const auto here = path.empty() ? name : path + "/" + name;
      if (here == "devices") {
        copy_children(child, to.child("devices") ? to.child("devices") : add(to, "devices"), here);
        continue;
      }
      const auto* row = row_of(here, path);
      if (row == nullptr || !is_wanted(child, *row)) {
        if (name != "address" && name != "alias") left_out_.insert(here);
        continue;
      }
      constexpr std::size_t most_in_all = 1000;
      if (++copied_ > most_in_all)
        throw Error(Blame::job, "the image's domain has more than " + std::to_string(most_in_all) +
                                    " elements that a VM could keep");
      constexpr std::size_t most_of_a_kind = 64;
      if (++numbers[name] > most_of_a_kind)
        throw Error(Blame::job, "the image's domain has more than " + std::to_string(most_of_a_kind) +
                                    " elements <" + here + ">");
      copy(child, to, *row, here);
    }
  }

  std::set<std::string> take_left_out() { return std::move(left_out_); }

 private:
  [[nodiscard]] const Carried* row_of(const std::string& path, const std::string& parent) const {
    const auto found = rows_.find(path);
    if (found != rows_.end()) return found->second;
    const bool is_address = parent.starts_with("devices/") && path == parent + "/address";
    return is_address ? &address : nullptr;
  }

  /// An element whose kind (its first attribute in the table) is none of those listed goes as a whole; so
  /// does one whose text is.
  static bool is_wanted(const xml_node& node, const Carried& row) {
    if (!row.attributes.empty()) {
      const auto& kind = row.attributes.front();
      const auto value = node.attribute(std::string(kind.name).c_str());
      if (value && !kind.check.starts_with('#') && kind.check != any_text &&
          !passes(value.value(), kind.check))
        return false;
    }
    const auto text = trimmed(node.text().as_string());
    return row.text.empty() || row.text == any_text || text.empty() || passes(text, row.text);
  }

  void copy(const xml_node& node, xml_node to, const Carried& row, const std::string& path) {
    auto own = add(to, node.name());
    constexpr std::size_t longest_text = 1000;
    for (const auto& [name, check] : row.attributes) {
      const auto value = node.attribute(std::string(name).c_str());
      if (!value) continue;
      std::string text = value.value();
      if (check == any_text) {
        text = printable_line(text, longest_text);
      } else if (!passes(text, check)) {
        if (!check.starts_with('#')) continue;
        throw Error(Blame::job, "the image's domain has " + quote(text) + " as the " + std::string(name) +
                                    " of <" + path + ">");
      }
      own.append_attribute(std::string(name).c_str()).set_value(text.c_str());
    }
    const auto text = trimmed(node.text().as_string());
    if (!row.text.empty() && !text.empty())
      own.text().set((row.text == any_text ? printable_line(text, longest_text) : text).c_str());
    copy_children(node, own, path);
  }

  std::map<std::string_view, const Carried*> rows_;
  std::set<std::string> left_out_;
  std::size_t copied_ = 0;
};

}  // namespace

std::set<std::string> copy_carried(const xml_node& from, xml_node to) {
  Copier copier;
  copier.copy_children(from, to, "");
  return copier.take_left_out();
}

}  // namespace sarde
