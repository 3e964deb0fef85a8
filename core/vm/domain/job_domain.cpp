#include "core/vm/domain/job_domain.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <set>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/carried.hpp"
#include "core/vm/domain/image_domain.hpp"
#include "core/vm/domain/image_parts.hpp"
#include "core/vm/domain/pci_places.hpp"
#include "core/vm/domain/vocabulary.hpp"
#include "core/vm/domain/xml_text.hpp"

namespace sarde {

using pugi::xml_document;
using pugi::xml_node;

namespace {

constexpr std::size_t longest_title = 200;

/// Is it made anew, whatever the image has?
bool is_built(std::string_view name) {
  static const std::set<std::string_view> built{"disk",  "interface",  "serial",  "console", "rng",
                                                "video", "controller", "channel", "emulator"};
  return built.contains(name);
}

/// What every image has and no job needs, or what the job's VM has of its own.
constexpr std::array<std::string_view, 29> not_worth_a_word{"name",
                                                            "title",
                                                            "description",
                                                            "metadata",
                                                            "uuid",
                                                            "memory",
                                                            "currentMemory",
                                                            "vcpu",
                                                            "os",
                                                            "cpu",
                                                            "on_poweroff",
                                                            "on_reboot",
                                                            "on_crash",
                                                            "on_lockfailure",
                                                            "pm",
                                                            "resource",
                                                            "seclabel",
                                                            "memoryBacking",
                                                            "devices/emulator",
                                                            "devices/disk",
                                                            "devices/rng",
                                                            "devices/serial",
                                                            "devices/console",
                                                            "devices/interface",
                                                            "devices/controller",
                                                            "devices/video",
                                                            "devices/video/model",
                                                            "devices/channel",
                                                            "features/gic"};

class JobDomainBuilder {
 public:
  JobDomainBuilder(const ImageDomain& image, const JobVm& vm)
      : image_(image.values),
        node_(image.node),
        vm_(vm),
        architecture_(*find_architecture(image.values.architecture)),
        keeps_pci_place_(pci_places_can_be_kept(image.node)) {}

  std::string build_interface() {
    add_interface(document_);
    return xml_text(document_);
  }

  BuiltDomain build() {
    domain_ = add(document_, "domain", {{"type", vm_.virt_type == VirtType::kvm ? "kvm" : "qemu"}});
    add(domain_, "name", {}, vm_.name.text());
    add(domain_, "title", {}, printable_line(printable_tail(vm_.title, 1), longest_title));
    add(add(domain_, "metadata"), "sarde:job",
        {{"xmlns:sarde", job_metadata_uri},
         {"id", vm_.job_id},
         {"expires", std::to_string(vm_.expires.unix_seconds)},
         {"boot", vm_.expires.boot},
         {"expires-uptime", std::to_string(vm_.expires.uptime)},
         {"folder", vm_.folder.string()}});
    size_and_processor();
    if (std::ranges::find(vm_.shared_folders, ShareType::virtiofs, &SharedFolder::type) !=
        vm_.shared_folders.end()) {
      // virtiofsd reads and writes the guest's memory.
      auto memory = add(domain_, "memoryBacking");
      add(memory, "source", {{"type", "memfd"}});
      add(memory, "access", {{"mode", "shared"}});
    }
    firmware_and_machine();
    for (const auto* event : {"on_poweroff", "on_crash"}) add(domain_, event, {}, "destroy");
    devices_ = add(domain_, "devices");
    auto left_out = copy_carried(node_, domain_, {.takes = Takes::job, .pci_bridges = keeps_pci_place_});
    complete_features(domain_, image_, vm_.virt_type);
    if (vm_.may_be_cloned) add_generation();
    set_timezone();
    devices(left_out);
    if (user_network_from_socket_) connect_to_socket();
    if (vm_.awaits_state)
      for (const auto* word : {"-incoming", "defer"}) add(command_line(), "qemu:arg", {{"value", word}});
    for (const auto& known : not_worth_a_word) left_out.erase(std::string(known));
    return {.xml = xml_text(document_), .left_out = {left_out.begin(), left_out.end()}};
  }

 private:
  /// libvirt 9 knows no network card on a stream socket. So QEMU is told of the socket, and the card, which
  /// is libvirt's in all else (alias net0: the only one), to take it in place of QEMU's built-in network.
  void connect_to_socket() {
    std::string path;
    for (const char c : vm_.user_network_socket.string()) path += c == ',' ? ",," : std::string(1, c);
    for (const auto& word :
         {std::string("-netdev"),
          fmt::format("stream,id={},server=off,addr.type=unix,addr.path={}", passt_netdev, path)})
      add(command_line(), "qemu:arg", {{"value", word}});
    auto device = add(add(domain_, "qemu:override"), "qemu:device", {{"alias", "net0"}});
    add(add(device, "qemu:frontend"), "qemu:property",
        {{"name", "netdev"}, {"type", "string"}, {"value", passt_netdev}});
  }

  /// What QEMU is told beside what libvirt knows.
  xml_node command_line() {
    if (auto there = domain_.child("qemu:commandline")) return there;
    domain_.append_attribute("xmlns:qemu").set_value("http://libvirt.org/schemas/domain/qemu/1.0");
    return add(domain_, "qemu:commandline");
  }

  /// A number that is another one in each VM (libvirt makes it). A kernel that sees it change while it runs
  /// knows that it was cloned, and takes new random numbers. The device is one of ACPI's.
  void add_generation() {
    if (architecture_.is_x86() && domain_.child("features").child("acpi") && !domain_.child("genid"))
      add(domain_, "genid");
  }

  void size_and_processor() {
    const auto kib = vm_.memory_mib ? *vm_.memory_mib * 1024 : image_.memory_kib;
    if (vm_.max_memory_mib && kib > *vm_.max_memory_mib * 1024)
      throw Error(Blame::job, "the VM would have " + size_text(kib * 1024) +
                                  " of memory, more than max-memory, " +
                                  size_text(*vm_.max_memory_mib << 20U));
    add(domain_, "memory", {{"unit", "KiB"}}, std::to_string(kib));
    const auto vcpus = vm_.vcpus.value_or(image_.vcpus);
    if (vm_.max_vcpus && vcpus > *vm_.max_vcpus)
      throw Error(Blame::job, "the VM would have " + std::to_string(vcpus) +
                                  " processors, more than max-vcpus, " + std::to_string(*vm_.max_vcpus));
    auto processors = add(domain_, "vcpu", {}, std::to_string(vcpus));
    if (image_.vcpus_at_start && vcpus == image_.vcpus)
      processors.append_attribute("current").set_value(std::to_string(*image_.vcpus_at_start).c_str());
    processor(vcpus);
  }

  /// A job's VM never moves to another host, so it may have all of this one's processor; unless its image was
  /// made for one model, which the nearest that this host has stands for. Emulation has what it has.
  void processor(unsigned vcpus) {
    const bool is_kvm = vm_.virt_type == VirtType::kvm;
    const bool has_topology = vcpus > 1 && (image_.topology || architecture_.is_x86());
    const bool has_mode = is_kvm || architecture_.has_maximum_cpu;
    const bool hides_nested = is_kvm && architecture_.is_x86() && !vm_.nested;
    if (!has_mode && !has_topology) return;
    auto cpu = add(domain_, "cpu");
    if (is_kvm && !image_.cpu_model.empty()) {
      for (const auto& [name, value] : {std::pair{"mode", "custom"}, {"match", "exact"}, {"check", "none"}})
        cpu.append_attribute(name).set_value(value);
      add(cpu, "model", {{"fallback", "allow"}}, image_.cpu_model);
    } else if (has_mode) {
      cpu.append_attribute("mode").set_value(is_kvm ? "host-passthrough" : "maximum");
    }
    // Whoever has them can attack KVM's emulation of them.
    for (const auto* feature : {"vmx", "svm"})
      if (hides_nested) add(cpu, "feature", {{"policy", "disable"}, {"name", feature}});
    if (!has_topology) return;
    // One socket unless the image has its processors in several: what libvirt would do by itself, a socket
    // for each, is more than Windows' licences allow.
    const auto topology = image_.topology && vcpus == image_.vcpus
                              ? *image_.topology
                              : CpuTopology{.sockets = 1, .cores = vcpus, .threads = 1};
    add(cpu, "topology",
        {{"sockets", std::to_string(topology.sockets)},
         {"cores", std::to_string(topology.cores)},
         {"threads", std::to_string(topology.threads)}});
  }

  /// Windows has its hardware clock in local time; other systems in UTC, and only their scripts are told.
  void set_timezone() {
    auto clock = domain_.child("clock");
    if (vm_.timezone.empty() || !clock || attribute(clock, "offset") != "localtime") return;
    clock.attribute("offset").set_value("timezone");
    clock.append_attribute("timezone").set_value(vm_.timezone.c_str());
  }

  void firmware_and_machine() {
    auto os = write_os(domain_, image_, vm_.nvram);
    if (!disks_have_boot_order(image_)) add(os, "boot", {{"dev", "hd"}});
  }

  [[nodiscard]] xml_node interface() const { return node_.child("devices").child("interface"); }

  void devices(std::set<std::string>& left_out) {
    // `unsafe`: what a job's VM wrote is thrown away anyhow, so its flushes need not reach the disk.
    write_disks(devices_, {.node = node_, .values = image_}, vm_.disk_files,
                {{"cache", "unsafe"}, {"discard", "unmap"}});
    auto on_virtio =
        static_cast<std::size_t>(std::ranges::count(image_.disks, std::string("virtio"), &ImageDisk::bus));
    for (const auto& own : vm_.own_disks) add_own_disk(own, on_virtio++);
    if (vm_.disk_limit) limit_disks();
    for (const auto& shared : vm_.shared_folders) add_shared(shared);
    add_allowed(left_out);
    add_interface(devices_);
    auto serial = add(devices_, "serial", {{"type", "pty"}});
    add(serial, "log", {{"file", vm_.console_log.string()}, {"append", "off"}});
    auto console = add(devices_, "console", {{"type", "pty"}});
    add(console, "target", {{"type", "serial"}, {"port", "0"}});
    if (architecture_.has_pci) {
      auto rng = add(devices_, "rng", {{"model", "virtio"}});
      add(rng, "backend", {{"model", "random"}}, "/dev/urandom");
    } else {
      // libvirt would add what such a board has no bus for.
      if (!devices_.child("memballoon")) add(devices_, "memballoon", {{"model", "none"}});
      if (!devices_.find_child_by_attribute("controller", "type", "usb"))
        add(devices_, "controller", {{"type", "usb"}, {"model", "none"}});
    }
    // Some systems' boot loaders want a screen; nobody can look at it.
    for (auto video : devices_.children("video"))
      if (!video.child("model"))
        add(video, "model", {{"type", architecture_.is_x86() ? "vga" : "virtio"}, {"primary", "yes"}});
  }

  /// Disks rather than CDs, because kernels made for clouds know virtio and not SATA. They come last, so the
  /// image's keep their names.
  void add_own_disk(const OwnDisk& own, std::size_t index) {
    constexpr std::size_t letters = 26;
    if (index >= letters)
      throw Error(Blame::job,
                  "the image has no room for the disk " + quote(own.serial) + ": 26 virtio disks");
    auto disk = add(devices_, "disk", {{"type", "file"}, {"device", "disk"}});
    auto driver = add(disk, "driver", {{"name", "qemu"}, {"type", own.format}});
    if (!own.read_only)
      for (const auto& [name, value] : {std::pair("cache", "unsafe"), std::pair("discard", "unmap")})
        driver.append_attribute(name).set_value(value);
    write_disk_source(
        disk, {.path = own.file, .format = own.format, .backing = own.backing, .ownership = own.ownership});
    add(disk, "target", {{"dev", disk_target("virtio", index)}, {"bus", "virtio"}});
    if (own.read_only) add(disk, "readonly");
    add(disk, "serial", {}, own.serial);
  }

  /// 9p maps what the guest says of owners and rights to extended attributes, so a symbolic link of the
  /// guest's is no link on the host.
  void add_shared(const SharedFolder& shared) {
    const bool is_virtiofs = shared.type == ShareType::virtiofs;
    auto node = add(devices_, "filesystem",
                    {{"type", "mount"}, {"accessmode", is_virtiofs ? "passthrough" : "mapped"}});
    if (is_virtiofs) add(node, "driver", {{"type", "virtiofs"}});
    if (!shared.virtiofsd.empty()) add(node, "binary", {{"path", shared.virtiofsd.string()}});
    add(node, "source", {{"dir", shared.folder.string()}});
    add(node, "target", {{"dir", shared.tag}});
    // libvirt 9 knows no read-only virtiofs: there, the program that serves it sees to that.
    if (shared.read_only && !is_virtiofs) add(node, "readonly");
  }

  /// One limit for all of them, which form a group.
  void limit_disks() {
    for (auto disk : devices_.children("disk")) {
      if (attribute(disk, "device") == "cdrom") continue;
      auto tune = add(disk, "iotune");
      add(tune, "total_bytes_sec", {}, std::to_string(*vm_.disk_limit));
      add(tune, "group_name", {}, "job");
    }
  }

  /// Devices that the administrator lets pass as the image has them.
  void add_allowed(std::set<std::string>& left_out) {
    for (const auto& device : node_.child("devices").children()) {
      const std::string name = device.name();
      if (!left_out.contains("devices/" + name) || is_built(name) ||
          std::ranges::find(vm_.allowed_devices, name) == vm_.allowed_devices.end())
        continue;
      auto own = devices_.append_copy(device);
      // Where it is in the guest is for libvirt to say, which places the others anew.
      for (const auto* place : {"address", "alias"}) own.remove_child(place);
    }
    for (const auto& name : vm_.allowed_devices)
      if (!is_built(name)) left_out.erase("devices/" + name);
  }

  void add_interface(xml_node parent) {
    auto type = image_.interface.type;
    if (vm_.network == NetworkMode::user) type = "user";
    if (vm_.network == NetworkMode::named) type = "network";
    if (vm_.network == NetworkMode::bridge) type = "bridge";
    user_network_from_socket_ = type == "user" && !vm_.user_network_socket.empty();
    auto node = add(parent, "interface", {{"type", type}});
    // A user-mode network has one card, and a saved state brings its address with it.
    constexpr auto only_card = "52:54:00:12:34:56";
    add(node, "mac", {{"address", type == "user" ? only_card : vm_.name.mac_address()}});
    if (vm_.network == NetworkMode::named) {
      add(node, "source", {{"network", vm_.network_name}});
    } else if (vm_.network == NetworkMode::bridge) {
      add(node, "source", {{"bridge", vm_.network_name}});
    } else if (type == "network" || type == "bridge") {
      add(node, "source", {{type.c_str(), source_of_image(type)}});
    } else if (type != "user") {
      throw Error(Blame::job, "the image's network interface is of type " + quote(type) +
                                  "; set 'network' to a libvirt network's name or to 'user'");
    }
    if (type != "user") restrict_to_own_traffic(node);
    if (vm_.network_limit) limit_network(node, type);
    if ((type != "user" || vm_.needs_agent) && parent == devices_) add_agent_channel();
    copy_carried_child(interface(), node, "devices/interface", "model");
    if (!node.child("model").attribute("type") && architecture_.has_pci) {
      node.remove_child("model");
      add(node, "model", {{"type", "virtio"}});
    }
    if (keeps_pci_place_ || attribute(interface().child("address"), "type") == "ccw")
      copy_carried_address(interface(), node);
    const auto model = attribute(node.child("model"), "type");
    constexpr Check cards_on_other_buses = "spapr-vlan|lance|smc91c111|usb-net";
    if (architecture_.has_roms && !passes(model, cards_on_other_buses))
      add(node, "rom", {{"enabled", "no"}});  // no second spent on a network boot
  }

  /// libvirt counts in KiB per second.
  void limit_network(xml_node node, const std::string& type) {
    if (type == "user")
      throw Error(
          "network-limit is set, but libvirt cannot limit the user-mode network; set 'network' to a libvirt "
          "network or a bridge, or unset network-limit");
    auto bandwidth = add(node, "bandwidth");
    for (const auto* direction : {"inbound", "outbound"})
      add(bandwidth, direction,
          {{"average", std::to_string(std::max<std::uint64_t>(1, *vm_.network_limit / 1024))}});
  }

  /// Ports that are isolated reach the bridge's own machine and the world, but not each other: one job's VM
  /// not another's. The filter lets it send under its own addresses only.
  void restrict_to_own_traffic(xml_node node) {
    add(node, "port", {{"isolated", "yes"}});
    if (vm_.filter) {
      auto filter = add(node, "filterref", {{"filter", vm_.filter->name}});
      for (const auto& [name, value] : vm_.filter->parameters)
        add(filter, "parameter", {{"name", name}, {"value", value}});
    }
  }

  /// The agent tells the address where no DHCP server of libvirt's does. Otherwise not on QEMU's own network,
  /// whose address is known: the channel's socket path is near the system's limit of 107 bytes in a user's
  /// home.
  void add_agent_channel() {
    auto agent = add(devices_, "channel", {{"type", "unix"}});
    add(agent, "target", {{"type", "virtio"}, {"name", "org.qemu.guest_agent.0"}});
  }

  /// The administrator has said that the image chooses (network = "image").
  [[nodiscard]] std::string source_of_image(const std::string& type) const {
    const auto& name = image_.interface.source;
    constexpr std::size_t longest_interface_name = 15;  // netdevice(7): IFNAMSIZ
    if (!passes(name, a_name) || (type == "bridge" && name.size() > longest_interface_name))
      throw Error(Blame::job, "the image's domain has " + quote(name) + " as its " + type);
    return name;
  }

  const ImageDomainValues& image_;
  xml_node node_;
  const JobVm& vm_;
  const Architecture& architecture_;
  const bool keeps_pci_place_;  ///< the card's name in the guest (enp1s0) comes from it, and from the bridges
  xml_document document_;
  xml_node domain_;
  xml_node devices_;
  bool user_network_from_socket_ = false;
};

/// Reads the image's domain and hands it to a builder of the job's.
template <class Work>
auto with_builder(const JobVm& vm, const Work& work) {
  const auto values = read_image_domain(vm.image_xml);
  xml_document document;
  parse_domain_text(document, vm.image_xml, "the image's domain");
  JobDomainBuilder builder({.node = document.document_element(), .values = values}, vm);
  return work(builder);
}

}  // namespace

BuiltDomain build_job_domain(const JobVm& vm) {
  return with_builder(vm, [](JobDomainBuilder& builder) { return builder.build(); });
}

std::string job_interface(const JobVm& vm) {
  return with_builder(vm, [](JobDomainBuilder& builder) { return builder.build_interface(); });
}

}  // namespace sarde
