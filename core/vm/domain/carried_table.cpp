#include "core/vm/domain/carried_table.hpp"

namespace sarde {

namespace {

constexpr Check on_off = "on|off";
constexpr Check yes_no = "yes|no";
constexpr Check virtio_kinds = "virtio|virtio-transitional|virtio-non-transitional";

constexpr Check controller_models =
    "piix3-uhci|piix4-uhci|ehci|ich9-ehci1|ich9-uhci1|ich9-uhci2|ich9-uhci3|vt82c686b-uhci|pci-ohci|"
    "nec-xhci|qemu-xhci|none|pci-root|pcie-root|pcie-root-port|pci-bridge|dmi-to-pci-bridge|"
    "pcie-to-pci-bridge|pcie-switch-upstream-port|pcie-switch-downstream-port|virtio|virtio-transitional|"
    "virtio-non-transitional";

/// A switch below <features>.
Carried feature(std::string_view path) {
  return {path, {{"state", on_off}}};
}

}  // namespace

std::span<const Carried> carried_table() {
  static const std::vector<Carried> rows{
      // For people, and for programs that show VMs.
      {"title", {}, any_text, Takes::definition},
      {"description", {}, any_text, Takes::definition},
      {"metadata", {}, {}, Takes::definition},
      {"metadata/libosinfo:libosinfo",
       {{"xmlns:libosinfo", "http://libosinfo.org/xmlns/libvirt/domain/1.0"}},
       {},
       Takes::definition},
      {"metadata/libosinfo:libosinfo/libosinfo:os", {{"id", any_text}}, {}, Takes::definition},

      // The machine.
      {"features"},
      {"features/acpi"},
      {"features/apic", {{"eoi", on_off}}},
      {"features/pae"},
      feature("features/hap"),
      feature("features/vmport"),
      feature("features/smm"),
      feature("features/vmcoreinfo"),
      {"features/gic", {{"version", "2|3|host"}}, {}, Takes::definition},
      {"features/kvm"},
      feature("features/kvm/hidden"),
      feature("features/kvm/hint-dedicated"),
      feature("features/kvm/poll-control"),
      {"features/hyperv", {{"mode", "custom|passthrough"}}},
      feature("features/hyperv/relaxed"),
      feature("features/hyperv/vapic"),
      {"features/hyperv/spinlocks", {{"state", on_off}, {"retries", "#4095-1048576"}}},
      feature("features/hyperv/vpindex"),
      feature("features/hyperv/runtime"),
      feature("features/hyperv/synic"),
      feature("features/hyperv/stimer"),
      feature("features/hyperv/stimer/direct"),
      feature("features/hyperv/reset"),
      feature("features/hyperv/frequencies"),
      feature("features/hyperv/reenlightenment"),
      feature("features/hyperv/tlbflush"),
      feature("features/hyperv/ipi"),
      feature("features/hyperv/evmcs"),
      {"iothreads", {}, "#1-64", Takes::both, 1},
      {"genid", {}, {}, Takes::both, 1},
      {"clock",
       {{"offset", "utc|localtime|timezone|variable"},
        {"timezone", time_zone},
        {"adjustment", "reset|#-2147483648-2147483647"},
        {"basis", "utc|localtime"}}},
      {"clock/timer",
       {{"name", "hpet|kvmclock|pit|rtc|tsc|hypervclock|armvtimer"},
        {"tickpolicy", "delay|catchup|merge|discard"},
        {"track", "boot|guest|wall"},
        {"present", yes_no}}},

      // A job's VM has the host's processor, and ends when it is switched off.
      {"cpu",
       {{"mode", "host-passthrough|host-model|custom|maximum"},
        {"match", "minimum|exact|strict"},
        {"check", "none|partial|full"},
        {"migratable", on_off}},
       {},
       Takes::definition},
      {"cpu/topology",
       {{"sockets", "#1-512"}, {"dies", "#1-64"}, {"cores", "#1-512"}, {"threads", "#1-8"}},
       {},
       Takes::definition},
      {"cpu/cache", {{"level", "#1-3"}, {"mode", "emulate|passthrough|disable"}}, {}, Takes::definition},
      {"cpu/feature",
       {{"policy", "force|require|optional|disable|forbid"}, {"name", a_name}},
       {},
       Takes::definition},
      {"on_poweroff", {}, "destroy|restart|preserve", Takes::definition},
      {"on_reboot", {}, "destroy|restart|preserve", Takes::definition},
      {"on_crash", {}, "destroy|restart|preserve", Takes::definition},
      {"pm", {}, {}, Takes::definition},
      {"pm/suspend-to-mem", {{"enabled", yes_no}}, {}, Takes::definition},
      {"pm/suspend-to-disk", {{"enabled", yes_no}}, {}, Takes::definition},

      // Disks, beside file, bus, target, and place in the boot order, which are counted anew
      // (disk_reading.hpp).
      {"devices/disk", {{"model", virtio_kinds}}},
      {"devices/disk/target", {{"rotation_rate", "#1-65535"}}},
      {"devices/disk/serial", {}, a_name},
      {"devices/disk/wwn", {}, hex16},
      {"devices/disk/blockio",
       {{"logical_block_size", "512|1024|2048|4096"}, {"physical_block_size", "512|1024|2048|4096"}}},

      {"devices/controller",
       {{"type", "usb|pci"}, {"index", "#0-63"}, {"model", controller_models}, {"ports", "#1-31"}},
       {},
       Takes::job},
      {"devices/controller",
       {{"type", "usb|sata|ide|virtio-serial|pci"},
        {"index", "#0-63"},
        {"model", controller_models},
        {"ports", "#1-31"}},
       {},
       Takes::definition},
      {"devices/controller/master", {{"startport", "#0-15"}}},
      {"devices/controller/model",
       {{"name",
         "pcie-root-port|ioh3420|pci-bridge|i82801b11-bridge|pcie-pci-bridge|x3130-upstream|"
         "xio3130-downstream"}}},
      {"devices/controller/target",
       {{"chassis", "#1-255"}, {"port", "#0-255"}, {"chassisNr", "#1-255"}, {"hotplug", on_off}}},

      // The network card. What it is connected to is the administrator's choice for a job, `network`.
      {"devices/interface", {{"type", "user|network|bridge"}}, {}, Takes::definition},
      {"devices/interface/source", {{"network", a_name}, {"bridge", a_name}}, {}, Takes::definition},
      {"devices/interface/model",
       {{"type",
         "virtio|virtio-transitional|virtio-non-transitional|e1000|e1000e|rtl8139|ne2k_pci|pcnet|vmxnet3|"
         "usb-net|lance|sungem|spapr-vlan|smc91c111|i82559er"}}},
      {"devices/interface/link", {{"state", "up|down"}}, {}, Takes::definition},
      {"devices/interface/rom", {{"bar", on_off}, {"enabled", yes_no}}, {}, Takes::definition},
      {"devices/interface/mtu", {{"size", "#68-65535"}}, {}, Takes::definition},

      {"devices/input", {{"type", "tablet|mouse|keyboard"}, {"bus", "usb|ps2|virtio"}}},
      {"devices/video"},
      {"devices/video/model",
       {{"type", "vga|virtio|cirrus|bochs|qxl|vmvga|ramfb|none"},
        {"heads", "#1-16"},
        {"primary", yes_no},
        {"ram", "#1024-1048576"},
        {"vram", "#1024-1048576"},
        {"vgamem", "#1024-1048576"}}},
      {"devices/video/model/acceleration", {{"accel3d", "no"}}},
      {"devices/watchdog",
       {{"model", "i6300esb|ib700|diag288"}, {"action", "reset|shutdown|poweroff|none"}},
       {},
       Takes::both,
       1},
      {"devices/panic", {{"model", "isa|hyperv|pvpanic|pseries|s390"}}},
      {"devices/tpm", {{"model", "tpm-tis|tpm-crb|tpm-spapr"}}, {}, Takes::both, 1},
      {"devices/tpm/backend", {{"type", "emulator"}, {"version", "1.2|2.0"}}},
      {"devices/memballoon",
       {{"model", "virtio|virtio-transitional|virtio-non-transitional|none"}},
       {},
       Takes::both,
       1},

      // A job's VM has a console and random numbers of its own, and nobody looks at it or listens.
      {"devices/serial", {{"type", "pty|null"}}, {}, Takes::definition},
      {"devices/serial/target",
       {{"type", "isa-serial|usb-serial|pci-serial|spapr-vio-serial|system-serial"}, {"port", "#0-3"}},
       {},
       Takes::definition},
      {"devices/serial/target/model",
       {{"name", "isa-serial|usb-serial|pci-serial|spapr-vty|pl011|16550a|sclpconsole"}},
       {},
       Takes::definition},
      {"devices/console", {{"type", "pty|null"}}, {}, Takes::definition},
      {"devices/console/target", {{"type", "serial|virtio|sclp"}, {"port", "#0-3"}}, {}, Takes::definition},
      {"devices/channel", {{"type", "unix|spicevmc|pty|null|qemu-vdagent"}}, {}, Takes::definition},
      {"devices/channel/target", {{"type", "virtio"}, {"name", a_name}}, {}, Takes::definition},
      {"devices/graphics", {{"type", "vnc|spice"}, {"autoport", "yes"}}, {}, Takes::definition},
      {"devices/sound",
       {{"model", "ac97|es1370|ich6|ich7|ich9|pcspk|sb16|usb|virtio"}},
       {},
       Takes::definition},
      {"devices/audio", {{"id", "#1-16"}, {"type", "none|spice"}}, {}, Takes::definition},
      {"devices/redirdev", {{"type", "spicevmc"}, {"bus", "usb"}}, {}, Takes::definition},
      {"devices/rng", {{"model", virtio_kinds}}, {}, Takes::definition},
      {"devices/rng/rate", {{"bytes", "#1-1073741824"}, {"period", "#1-3600000"}}, {}, Takes::definition},
      {"devices/rng/backend", {{"model", "random|builtin"}}, "/dev/urandom|/dev/random", Takes::definition},
  };
  return rows;
}

const Carried& carried_address() {
  static const Carried row{"address",
                           {{"type", "pci|virtio-serial|ccw"},
                            {"domain", "#0-0"},
                            {"bus", "#0-63"},
                            {"slot", "#0-31"},
                            {"function", "#0-7"},
                            {"multifunction", on_off},
                            {"controller", "#0-63"},
                            {"port", "#0-31"},
                            {"cssid", "#0-254"},
                            {"ssid", "#0-3"},
                            {"devno", "#0-65535"}}};
  return row;
}

}  // namespace sarde
