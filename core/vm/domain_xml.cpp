#include "core/vm/domain_xml.hpp"

#include <algorithm>
#include <array>
#include <pugixml.hpp>
#include <sstream>
#include <utility>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

using pugi::xml_document;
using pugi::xml_node;

namespace {

/// Parses without entities and DTDs: pugixml knows neither, and its depth is bounded by its own stack use per
/// level, so the depth is checked.
void parse(xml_document& document, std::string_view text, const std::string& what) {
  constexpr int deepest = 64;
  const auto result =
      document.load_buffer(text.data(), text.size(), pugi::parse_default | pugi::parse_ws_pcdata_single);
  if (!result) throw Error(Blame::job, "read " + what + ": it is not valid XML: " + result.description());
  int depth = 0;
  for (auto node = document.first_child(); node;) {
    if (node.first_child()) {
      node = node.first_child();
      if (++depth > deepest) throw Error(Blame::job, "read " + what + ": it is nested too deeply");
      continue;
    }
    while (node && !node.next_sibling()) {
      node = node.parent();
      --depth;
    }
    node = node.next_sibling();
  }
  if (std::string_view(document.document_element().name()) != "domain")
    throw Error(Blame::job, "read " + what + ": it is no libvirt domain");
}

std::string text_of(const xml_document& document) {
  std::ostringstream text;
  document.save(text, "  ", pugi::format_default | pugi::format_no_declaration);
  return text.str();
}

std::string attribute(const xml_node& node, const char* name, const std::string& otherwise = "") {
  return node.attribute(name).as_string(otherwise.c_str());
}

/// A word of letters, digits and `-_.`, else Error: what may go from an image's XML into ours.
std::string plain_word(const std::string& text, const std::string& what) {
  const auto is_plain = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  };
  if (text.empty() || text.size() > 64 || !std::ranges::all_of(text, is_plain)) {
    throw Error(Blame::job, "the image's domain has " + quote(text) + " as its " + what);
  }
  return text;
}

template <std::size_t Count>
std::string one_of(const std::string& text, const std::array<std::string_view, Count>& allowed,
                   const std::string& otherwise) {
  return std::ranges::find(allowed, text) != allowed.end() ? text : otherwise;
}

/// KiB of a <memory unit=…> (formatdomain.html#memory-allocation).
std::uint64_t memory_kib(const xml_node& memory) {
  constexpr std::array<std::pair<std::string_view, double>, 14> units{{{"b", 1.0 / 1024},
                                                                       {"bytes", 1.0 / 1024},
                                                                       {"KB", 1000.0 / 1024},
                                                                       {"k", 1},
                                                                       {"KiB", 1},
                                                                       {"MB", 1e6 / 1024},
                                                                       {"M", 1024},
                                                                       {"MiB", 1024},
                                                                       {"GB", 1e9 / 1024},
                                                                       {"G", 1048576},
                                                                       {"GiB", 1048576},
                                                                       {"TB", 1e12 / 1024},
                                                                       {"T", 1073741824},
                                                                       {"TiB", 1073741824}}};
  const auto unit = attribute(memory, "unit", "KiB");
  const auto amount = parse_number(trimmed(memory.text().as_string()));
  const auto* const found = std::ranges::find(units, unit, &std::pair<std::string_view, double>::first);
  const auto kib = amount && found != units.end() ? static_cast<double>(*amount) * found->second : 0;
  constexpr double most = 4.0 * 1073741824;  // 4 TiB
  if (kib < 1024 || kib > most)
    throw Error(Blame::job, "the image's domain asks for " + quote(memory.text().as_string()) + " " +
                                quote(unit) + " of memory");
  return static_cast<std::uint64_t>(kib);
}

/// q35 for pc-q35-7.2: a newer or older QEMU than the image's has other version numbers, and a VM that boots
/// anew does not care.
std::string machine_alias(const std::string& machine) {
  if (machine.starts_with("pc-q35")) return "q35";
  if (machine.starts_with("pc-i440fx")) return "pc";
  if (machine.starts_with("virt-")) return "virt";
  return machine;
}

std::vector<xml_node> file_disks(const xml_node& domain) {
  std::vector<xml_node> disks;
  for (const auto& disk : domain.child("devices").children("disk")) {
    const bool is_disk = one_of<2>(attribute(disk, "device", "disk"), {"disk", "cdrom"}, "") != "";
    if (attribute(disk, "type") == "file" && is_disk && !attribute(disk.child("source"), "file").empty())
      disks.push_back(disk);
  }
  return disks;
}

DomainDisk disk_of(const xml_node& node) {
  return {.file = attribute(node.child("source"), "file"),
          .format = attribute(node.child("driver"), "type"),
          .device = attribute(node, "device", "disk"),
          .target = attribute(node.child("target"), "dev"),
          .read_only = !node.child("readonly").empty()};
}

xml_node add(xml_node parent, const char* name,
             const std::vector<std::pair<const char*, std::string>>& attributes = {},
             const std::string& text = "") {
  auto node = parent.append_child(name);
  for (const auto& [key, value] : attributes) node.append_attribute(key).set_value(value.c_str());
  if (!text.empty()) node.text().set(text.c_str());
  return node;
}

class JobDomainBuilder {
 public:
  JobDomainBuilder(const xml_node& image, const JobDomainPlan& plan) : image_(image), plan_(plan) {}

  BuiltDomain build() {
    domain_ = add(document_, "domain", {{"type", plan_.virt_type == VirtType::kvm ? "kvm" : "qemu"}});
    add(domain_, "name", {}, plan_.name.text());
    add(domain_, "title", {}, printable_tail(plan_.title, 1));
    auto metadata = add(domain_, "metadata");
    add(metadata, "sarde:job",
        {{"xmlns:sarde", job_metadata_uri},
         {"id", plan_.job_id},
         {"expires", std::to_string(plan_.expires.unix_seconds)},
         {"boot", plan_.expires.boot},
         {"expires-uptime", std::to_string(plan_.expires.uptime)},
         {"folder", plan_.folder.string()}});
    size_and_processor();
    firmware_and_machine();
    for (const auto* event : {"on_poweroff", "on_crash"}) add(domain_, event, {}, "destroy");
    devices();
    if (user_network_from_socket_) connect_to_socket();
    return {.xml = text_of(document_), .left_out = left_out()};
  }

 private:
  /// libvirt 9 knows no network card on a stream socket. So QEMU is told of the socket, and the card, which
  /// is libvirt's in all else (alias net0: the only one), to take it in place of QEMU's built-in network.
  void connect_to_socket() {
    domain_.append_attribute("xmlns:qemu").set_value("http://libvirt.org/schemas/domain/qemu/1.0");
    std::string path;
    for (const char c : plan_.user_network_socket.string()) path += c == ',' ? ",," : std::string(1, c);
    auto command_line = add(domain_, "qemu:commandline");
    for (const auto& word :
         {std::string("-netdev"), "stream,id=passt0,server=off,addr.type=unix,addr.path=" + path})
      add(command_line, "qemu:arg", {{"value", word}});
    auto device = add(add(domain_, "qemu:override"), "qemu:device", {{"alias", "net0"}});
    add(add(device, "qemu:frontend"), "qemu:property",
        {{"name", "netdev"}, {"type", "string"}, {"value", "passt0"}});
  }

  void size_and_processor() {
    const auto kib = plan_.memory_mib != 0 ? plan_.memory_mib * 1024 : memory_kib(image_.child("memory"));
    if (plan_.max_memory_mib != 0 && kib > plan_.max_memory_mib * 1024)
      throw Error(Blame::job, "the VM would have " + size_text(kib * 1024) +
                                  " of memory, more than max-memory, " +
                                  size_text(plan_.max_memory_mib << 20U));
    add(domain_, "memory", {{"unit", "KiB"}}, std::to_string(kib));
    const auto wanted = parse_number(trimmed(image_.child("vcpu").text().as_string("1"))).value_or(0);
    if (wanted == 0 || wanted > 512)
      throw Error(Blame::job, "the image's domain asks for " +
                                  quote(image_.child("vcpu").text().as_string()) + " processors");
    const auto vcpus = plan_.vcpus != 0 ? plan_.vcpus : wanted;
    if (plan_.max_vcpus != 0 && vcpus > plan_.max_vcpus)
      throw Error(Blame::job, "the VM would have " + std::to_string(vcpus) +
                                  " processors, more than max-vcpus, " + std::to_string(plan_.max_vcpus));
    add(domain_, "vcpu", {}, std::to_string(vcpus));
    processor();
    add(domain_, "clock",
        {{"offset", one_of<2>(attribute(image_.child("clock"), "offset"), {"utc", "localtime"}, "utc")}});
  }

  /// A job's VM never moves to another host, so it may have all of this one's processor; unless its image was
  /// made for one model, which the nearest that this host has stands for. Emulation has what it has.
  void processor() {
    const auto from = image_.child("cpu");
    const std::string model = trimmed(from.child("model").text().as_string());
    if (plan_.virt_type != VirtType::kvm || attribute(from, "mode") != "custom" || model.empty()) {
      add(domain_, "cpu", {{"mode", plan_.virt_type == VirtType::kvm ? "host-passthrough" : "maximum"}});
      return;
    }
    auto cpu = add(domain_, "cpu", {{"mode", "custom"}, {"match", "exact"}, {"check", "none"}});
    add(cpu, "model", {{"fallback", "allow"}}, plain_word(model, "processor model"));
  }

  void firmware_and_machine() {
    const auto from = image_.child("os");
    auto os = add(domain_, "os");
    const bool uefi =
        attribute(from, "firmware") == "efi" || attribute(from.child("loader"), "type") == "pflash";
    if (uefi) os.append_attribute("firmware").set_value("efi");
    const auto type = from.child("type");
    auto own_type =
        add(os, "type", {{"arch", plain_word(attribute(type, "arch", "x86_64"), "architecture")}}, "hvm");
    if (type.attribute("machine")) {
      own_type.append_attribute("machine").set_value(
          machine_alias(plain_word(attribute(type, "machine"), "machine type")).c_str());
    }
    if (uefi) add(os, "nvram", {}, plan_.nvram.string());
    if (!disks_have_boot_order()) add(os, "boot", {{"dev", "hd"}});
    auto features = add(domain_, "features");
    for (const auto* feature : {"acpi", "apic", "pae"}) {
      if (image_.child("features").child(feature)) add(features, feature);
    }
  }

  [[nodiscard]] bool disks_have_boot_order() const {
    return std::ranges::any_of(file_disks(image_),
                               [](const xml_node& disk) { return !disk.child("boot").empty(); });
  }

  void devices() {
    devices_ = add(domain_, "devices");
    for (const auto& disk : file_disks(image_)) add_disk(disk);
    for (const auto& controller : image_.child("devices").children("controller")) {
      if (attribute(controller, "type") != "scsi") continue;
      add(devices_, "controller",
          {{"type", "scsi"},
           {"index", std::to_string(controller.attribute("index").as_uint())},
           {"model", one_of<3>(attribute(controller, "model"), {"virtio-scsi", "lsilogic", "lsisas1068"},
                               "virtio-scsi")}});
    }
    for (const auto& device : image_.child("devices").children()) {
      if (!is_allowed(device)) continue;
      auto own = devices_.append_copy(device);
      // Where it is in the guest is for libvirt to say, which places the others anew.
      for (const auto* name : {"address", "alias"}) own.remove_child(name);
    }
    add_interface();
    auto serial = add(devices_, "serial", {{"type", "pty"}});
    add(serial, "log", {{"file", plan_.console_log.string()}, {"append", "off"}});
    auto console = add(devices_, "console", {{"type", "pty"}});
    add(console, "target", {{"type", "serial"}, {"port", "0"}});
    auto rng = add(devices_, "rng", {{"model", "virtio"}});
    add(rng, "backend", {{"model", "random"}}, "/dev/urandom");
    const auto video = attribute(image_.child("devices").child("video").child("model"), "type");
    if (!video.empty() && video != "none") {
      // Some systems' boot loaders want a screen; nobody can look at it.
      add(add(devices_, "video"), "model",
          {{"type", one_of<5>(video, {"vga", "virtio", "cirrus", "bochs", "qxl"}, "vga")}});
    }
  }

  void add_disk(const xml_node& from) {
    const auto disk = disk_of(from);
    const auto file = plan_.disk_files.find(disk.file);
    if (file == plan_.disk_files.end())
      throw Error(Blame::job,
                  "the image's domain has a disk " + quote(disk.file) + ", which the image does not hold");
    auto node = add(devices_, "disk", {{"type", "file"}, {"device", disk.device}});
    // `unsafe`: what a job's VM wrote is thrown away anyhow, so its flushes need not reach the disk.
    add(node, "driver",
        {{"name", "qemu"}, {"type", file->second.format}, {"cache", "unsafe"}, {"discard", "unmap"}});
    add(node, "source", {{"file", file->second.path.string()}});
    const auto target = from.child("target");
    auto own_target = add(node, "target", {{"dev", plain_word(attribute(target, "dev"), "disk's target")}});
    if (target.attribute("bus")) {
      own_target.append_attribute("bus").set_value(
          one_of<4>(attribute(target, "bus"), {"virtio", "scsi", "sata", "ide"}, "virtio").c_str());
    }
    if (const auto order = from.child("boot").attribute("order").as_uint(); order != 0)
      add(node, "boot", {{"order", std::to_string(order)}});
    if (disk.read_only || disk.device == "cdrom") add(node, "readonly");
  }

  void add_interface() {
    const auto from = image_.child("devices").child("interface");
    auto type = attribute(from, "type", "user");
    if (plan_.network == NetworkMode::user) type = "user";
    if (plan_.network == NetworkMode::named) type = "network";
    user_network_from_socket_ = type == "user" && !plan_.user_network_socket.empty();
    auto node = add(devices_, "interface", {{"type", type}});
    add(node, "mac", {{"address", plan_.name.mac_address()}});
    if (plan_.network == NetworkMode::named) {
      add(node, "source", {{"network", plan_.network_name}});
    } else if (type == "network" || type == "bridge") {
      const auto* key = type.c_str();
      add(node, "source", {{key, plain_word(attribute(from.child("source"), key), "network")}});
    } else if (type != "user") {
      throw Error(Blame::job, "the image's network interface is of type " + quote(type) +
                                  "; set 'network' to a libvirt network's name or to 'user'");
    }
    // Ports that are isolated reach the bridge's own machine and the world, but not each other: one job's VM
    // not another's.
    if (type != "user") {
      add(node, "port", {{"isolated", "yes"}});
      // The agent tells the address where no DHCP server of libvirt's does. Not on QEMU's own network, whose
      // address is known: the channel's socket path is near the system's limit of 107 bytes in a user's home.
      auto agent = add(devices_, "channel", {{"type", "unix"}});
      add(agent, "target", {{"type", "virtio"}, {"name", "org.qemu.guest_agent.0"}});
    }
    add(node, "model",
        {{"type", one_of<5>(attribute(from.child("model"), "type"),
                            {"virtio", "e1000", "e1000e", "rtl8139", "virtio-transitional"}, "virtio")}});
    add(node, "rom", {{"enabled", "no"}});  // no second spent on a network boot
  }

  /// By the administrator, to be taken as it is; not what is built above.
  [[nodiscard]] bool is_allowed(const xml_node& device) const {
    const std::string name = device.name();
    return device.type() == pugi::node_element && !is_built(name) &&
           std::ranges::find(plan_.allowed_devices, name) != plan_.allowed_devices.end();
  }

  /// Is it made anew, whatever the image has?
  static bool is_built(const std::string& name) {
    constexpr std::array<std::string_view, 9> built{"disk",  "interface",  "serial",  "console", "rng",
                                                    "video", "controller", "channel", "emulator"};
    return std::ranges::find(built, name) != built.end();
  }

  /// Names of the image's devices that have no counterpart above.
  [[nodiscard]] std::vector<std::string> left_out() const {
    std::vector<std::string> names;
    for (const auto& device : image_.child("devices").children()) {
      const std::string name = device.name();
      const bool is_taken = is_built(name) || is_allowed(device);
      if (device.type() == pugi::node_element && !is_taken && std::ranges::find(names, name) == names.end())
        names.push_back(name);
    }
    return names;
  }

  xml_node image_;
  const JobDomainPlan& plan_;
  xml_document document_;
  xml_node domain_;
  xml_node devices_;
  bool user_network_from_socket_ = false;
};

}  // namespace

ImageDomain parse_domain(std::string_view xml, const std::string& what) {
  xml_document document;
  parse(document, xml, what);
  const auto domain = document.document_element();
  ImageDomain result{.name = domain.child("name").text().as_string(),
                     .architecture = attribute(domain.child("os").child("type"), "arch", "x86_64"),
                     .disks = {}};
  for (const auto& disk : file_disks(domain)) result.disks.push_back(disk_of(disk));
  const auto interface = domain.child("devices").child("interface");
  result.has_user_network = !interface || attribute(interface, "type") == "user";
  return result;
}

BuiltDomain build_job_domain(std::string_view image_xml, const JobDomainPlan& plan) {
  xml_document document;
  parse(document, image_xml, "the image's domain");
  return JobDomainBuilder(document.document_element(), plan).build();
}

namespace {

/// Without what belongs to one VM only.
void remove_identity(xml_node domain) {
  domain.remove_child("uuid");
  auto devices = domain.child("devices");
  for (auto interface : devices.children("interface")) interface.remove_child("mac");
  for (auto disk : devices.children("disk")) disk.remove_child("backingStore");
}

void collect_files(const xml_node& disk, std::vector<std::filesystem::path>& files) {
  for (const auto* name : {"file", "dev"}) {
    const auto file = attribute(disk.child("source"), name);
    if (!file.empty()) files.emplace_back(file);
  }
  if (const auto backing = disk.child("backingStore")) collect_files(backing, files);
}

}  // namespace

std::string domain_for_export(std::string_view xml, const std::map<std::string, std::string>& names) {
  xml_document document;
  parse(document, xml, "the VM's definition");
  auto domain = document.document_element();
  remove_identity(domain);
  auto devices = domain.child("devices");
  for (auto graphics : devices.children("graphics")) graphics.remove_attribute("passwd");
  for (auto watchdog = devices.child("watchdog"); watchdog;) {
    const auto next = watchdog.next_sibling("watchdog");
    if (attribute(watchdog, "model") == "itco") devices.remove_child(watchdog);
    watchdog = next;
  }
  for (auto disk : file_disks(domain)) {
    auto file = disk.child("source").attribute("file");
    file.set_value(names.at(file.as_string()).c_str());
  }
  return text_of(document);
}

std::string domain_to_define(std::string_view xml, const std::string& name,
                             const std::map<std::string, DiskFile>& files) {
  xml_document document;
  parse(document, xml, "the domain");
  auto domain = document.document_element();
  remove_identity(domain);
  domain.child("os").remove_child("nvram");
  if (!domain.child("name")) domain.prepend_child("name");
  domain.child("name").text().set(name.c_str());
  for (auto disk : file_disks(domain)) {
    auto file = disk.child("source").attribute("file");
    const auto found = files.find(file.as_string());
    if (found == files.end()) {
      throw Error(Blame::job,
                  "the domain has a disk " + quote(file.as_string()) + ", which the image does not hold");
    }
    file.set_value(found->second.path.c_str());
    auto driver = disk.child("driver") ? disk.child("driver") : disk.prepend_child("driver");
    if (!driver.attribute("name")) driver.append_attribute("name").set_value("qemu");
    auto type = driver.attribute("type") ? driver.attribute("type") : driver.append_attribute("type");
    type.set_value(found->second.format.c_str());
  }
  return text_of(document);
}

std::vector<std::filesystem::path> files_of_domain(std::string_view xml) {
  xml_document document;
  parse(document, xml, "a VM's definition");
  const auto domain = document.document_element();
  std::vector<std::filesystem::path> files;
  for (const auto& disk : domain.child("devices").children("disk")) collect_files(disk, files);
  return files;
}

std::vector<std::filesystem::path> written_files_of_domain(std::string_view xml) {
  xml_document document;
  parse(document, xml, "a VM's definition");
  std::vector<std::filesystem::path> files;
  for (const auto& disk : file_disks(document.document_element())) {
    const auto one = disk_of(disk);
    if (!one.read_only && one.device != "cdrom") files.emplace_back(one.file);
  }
  return files;
}

std::vector<std::string> disks_not_in_files(std::string_view xml) {
  xml_document document;
  parse(document, xml, "a VM's definition");
  const auto domain = document.document_element();
  const auto in_files = file_disks(domain);
  std::vector<std::string> others;
  for (const auto& disk : domain.child("devices").children("disk")) {
    const bool is_empty = !disk.child("source");
    if (is_empty || std::ranges::find(in_files, disk) != in_files.end()) continue;
    others.push_back(attribute(disk.child("target"), "dev") + " (" + attribute(disk, "device", "disk") +
                     " of type " + attribute(disk, "type") + ")");
  }
  return others;
}

std::vector<VolumeName> volumes_of_domain(std::string_view xml) {
  xml_document document;
  parse(document, xml, "a VM's definition");
  std::vector<VolumeName> volumes;
  for (const auto& disk : document.document_element().child("devices").children("disk")) {
    const auto source = disk.child("source");
    if (source.attribute("volume"))
      volumes.push_back({attribute(source, "pool"), attribute(source, "volume")});
  }
  return volumes;
}

std::string backup_order(const std::vector<DiskCopy>& copies, const std::vector<std::string>& all_targets) {
  xml_document document;
  auto disks = add(add(document, "domainbackup"), "disks");
  for (const auto& target : all_targets) {
    const auto copy = std::ranges::find(copies, target, &DiskCopy::device);
    if (copy == copies.end()) {
      add(disks, "disk", {{"name", target}, {"backup", "no"}});
      continue;
    }
    auto disk = add(disks, "disk", {{"name", target}, {"backup", "yes"}, {"type", "file"}});
    add(disk, "target", {{"file", copy->file.string()}});
    add(disk, "driver", {{"type", copy->format}});
  }
  return text_of(document);
}

std::vector<std::string> disk_targets(std::string_view xml) {
  xml_document document;
  parse(document, xml, "a VM's definition");
  std::vector<std::string> targets;
  for (const auto& disk : document.document_element().child("devices").children("disk"))
    targets.push_back(attribute(disk.child("target"), "dev"));
  return targets;
}

std::optional<std::uint16_t> port_in_usernet(std::string_view answer, std::uint16_t guest_port) {
  // "  TCP[HOST_FORWARD]  17       127.0.0.1 46549       10.0.2.15    22     0     0"
  for (const auto& line : split(answer, '\n')) {
    std::istringstream words(line);
    std::string kind;
    std::string fd;
    std::string from;
    std::string from_port;
    std::string to;
    std::string to_port;
    words >> kind >> fd >> from >> from_port >> to >> to_port;
    if (kind != "TCP[HOST_FORWARD]" || to_port != std::to_string(guest_port)) continue;
    const auto port = parse_number(from_port);
    if (port && *port > 0 && *port <= 65535) return static_cast<std::uint16_t>(*port);
  }
  return std::nullopt;
}

std::optional<QemuAccount> account_in_capabilities(std::string_view xml) {
  xml_document document;
  if (!document.load_buffer(xml.data(), xml.size())) return std::nullopt;
  for (const auto& model : document.document_element().child("host").children("secmodel")) {
    if (model.child("model").text().as_string() != std::string_view("dac")) continue;
    // "+64055:+64055"
    const auto parts = split(model.child("baselabel").text().as_string(), ':');
    if (parts.size() != 2 || !parts[0].starts_with('+') || !parts[1].starts_with('+')) continue;
    const auto uid = parse_number(std::string_view(parts[0]).substr(1));
    const auto gid = parse_number(std::string_view(parts[1]).substr(1));
    if (uid && gid) return QemuAccount{.uid = static_cast<uid_t>(*uid), .gid = static_cast<gid_t>(*gid)};
  }
  return std::nullopt;
}

JobDomain job_in_metadata(std::string_view element) {
  xml_document document;
  if (!document.load_buffer(element.data(), element.size())) return {};
  const auto node = document.document_element();
  JobDomain job{.folder = attribute(node, "folder")};
  if (node.attribute("expires"))
    job.expires = Moment{.unix_seconds = node.attribute("expires").as_llong(),
                         .boot = attribute(node, "boot"),
                         .uptime = node.attribute("expires-uptime").as_llong()};
  return job;
}

VirtType usable_virt_type(bool kvm_offered, const std::string& architecture, std::string_view cpuinfo) {
  if (!kvm_offered) return VirtType::qemu;
  if (architecture != "x86_64" && architecture != "i686") return VirtType::kvm;
  for (const auto& line : split(cpuinfo, '\n')) {
    if (!line.starts_with("flags")) continue;
    const auto flags = split(line, ' ');
    const bool able =
        std::ranges::any_of(flags, [](const std::string& flag) { return flag == "vmx" || flag == "svm"; });
    return able ? VirtType::kvm : VirtType::qemu;
  }
  return VirtType::qemu;
}

}  // namespace sarde
