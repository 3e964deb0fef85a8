#include "core/vm/domain/refused_table.hpp"

namespace sarde {

namespace {

constexpr std::string_view of_the_host = "would give the VM something of this host";
constexpr std::string_view a_file = "names a file of this host";
constexpr std::string_view runs_a_program = "would run a program of this host";
constexpr std::string_view reaches = "reaches for files, sockets or devices of this host";

/// What QEMU or libvirt serve themselves.
constexpr Check harmless_characters = "|pty|null|vc|spicevmc|spiceport|qemu-vdagent|stdio";
/// libvirt serves their channels at sockets of its own, whatever the image names.
constexpr Check guest_agents =
    "org.qemu.guest_agent.0|org.qemu.guest_agent.1|org.libguestfs.channel.0|com.redhat.spice.0|"
    "org.spice-space.webdav.0|com.redhat.rhevm.vdsm|ovirt-guest-agent.0";
/// What the setting `network` replaces anyway.
constexpr Check replaced_interfaces = "|user|network|bridge|direct|internal";

Refused character_device(std::string_view path) {
  return {path, {{"@type", Is::not_among, harmless_characters}}, reaches};
}

}  // namespace

std::span<const Refused> refused_table() {
  static const std::vector<Refused> rows{
      // Wherever they stand.
      {"*/seclabel", {{"@type", Is::among, "static"}}, "would choose the VM's security label"},
      {"*/dataStore", {}, "would keep the disk's data elsewhere"},

      // How the machine boots. What firmware it is counts, not which file: the host's own is used.
      {"bootloader", {}, runs_a_program},
      {"bootloader_args", {}, runs_a_program},
      {"os/kernel", {{"text()", Is::not_among, ""}}, a_file},
      {"os/initrd", {{"text()", Is::not_among, ""}}, a_file},
      {"os/dtb", {{"text()", Is::not_among, ""}}, a_file},
      {"os/init", {{"text()", Is::not_among, ""}}, a_file},
      {"os/initdir", {{"text()", Is::not_among, ""}}, a_file},
      {"os/shim", {{"text()", Is::not_among, ""}}, a_file},
      {"os/acpi", {}, a_file},
      {"os/nvram", {{"source"}}, "names a file or a server", "source"},
      {"sysinfo/entry", {{"@file"}}, a_file},
      {"idmap", {}, "is for containers"},
      {"memoryBacking/source",
       {{"@type", Is::among, "file"}},
       "would put the VM's memory into files of this host"},
      {"launchSecurity", {}, "is not supported in a job's VM, which is built anew"},

      // Devices.
      {"devices/hostdev", {}, of_the_host},
      {"devices/filesystem", {}, of_the_host},
      {"devices/shmem", {}, of_the_host},
      {"devices/lease", {}, of_the_host},
      {"devices/pstore", {}, of_the_host},
      {"devices/redirdev", {{"@type", Is::not_among, "spicevmc"}}, of_the_host},
      {"devices/smartcard", {{"@type", Is::not_among, "spicevmc"}}, of_the_host},
      {"devices/vsock",
       {{"cid/@auto", Is::not_among, "yes"}},
       "would take an address that another VM may have"},
      {"devices/tpm", {{"backend/@type", Is::not_among, "emulator"}}, "would give the VM this host's TPM"},
      {"devices/memory", {{"source/path"}}, a_file},
      {"devices/audio", {{"@path"}}, a_file},
      {"devices/audio", {{"@type", Is::among, "file"}}, a_file},
      {"devices/graphics", {{"@socket", Is::not_among, ""}}, "names a socket or a device of this host"},
      {"devices/graphics",
       {{"listen/@socket", Is::not_among, ""}},
       "names a socket or a device of this host"},
      {"devices/graphics", {{"gl/@rendernode"}}, "names a socket or a device of this host"},

      // A file disk is the image's if its name is a bare one (domain_policy.cpp).
      {"devices/disk", {{"source/reservations"}}, "has more in it than a file's name", "source"},
      {"devices/disk", {{"source/slices"}}, "has more in it than a file's name", "source"},
      {"devices/disk", {{"source/cookies"}}, "has more in it than a file's name", "source"},
      {"devices/disk", {{"mirror"}}, "would copy the disk elsewhere", "mirror"},

      {"devices/interface",
       {{"@type", Is::not_among, replaced_interfaces}},
       "is none that a job's VM may have"},
      {"devices/interface", {{"script"}}, runs_a_program, "script"},
      {"devices/interface", {{"downscript"}}, runs_a_program, "downscript"},
      {"devices/interface", {{"backend/@tap"}}, "names files of this host", "backend"},
      {"devices/interface", {{"backend/@vhost"}}, "names files of this host", "backend"},
      {"devices/interface", {{"backend/@logFile"}}, "names files of this host", "backend"},

      character_device("devices/serial"),
      character_device("devices/parallel"),
      character_device("devices/console"),
      // The sockets of agents' channels are libvirt's; they are made anew.
      {"devices/channel",
       {{"@type", Is::not_among, "|pty|null|vc|spicevmc|spiceport|qemu-vdagent|stdio|unix"}},
       reaches},
      {"devices/channel",
       {{"@type", Is::among, "unix"}, {"target/@name", Is::not_among, guest_agents}, {"source"}},
       reaches},
      {"devices/channel", {{"@type", Is::among, "unix"}, {"source/@mode", Is::not_among, "|bind"}}, reaches},
      {"devices/serial", {{"log"}}, "would write to a file of this host", "log"},
      {"devices/parallel", {{"log"}}, "would write to a file of this host", "log"},
      {"devices/console", {{"log"}}, "would write to a file of this host", "log"},
      {"devices/channel", {{"log"}}, "would write to a file of this host", "log"},
      {"devices/rng", {{"backend/@model", Is::among, "egd"}}, "reads from something of this host", "backend"},
      {"devices/rng",
       {{"backend/text()", Is::not_among, "|/dev/urandom|/dev/random|/dev/hwrng|/dev/hw_random"}},
       "reads from something of this host",
       "backend"},
  };
  return rows;
}

}  // namespace sarde
