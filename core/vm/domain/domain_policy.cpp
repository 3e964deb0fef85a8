#include "core/vm/domain/domain_policy.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/image_domain.hpp"
#include "core/vm/domain/vocabulary.hpp"
#include "core/vm/domain/xml_text.hpp"

namespace sarde {

using pugi::xml_node;

namespace {

class Judge {
 public:
  explicit Judge(const std::vector<std::string>& allowed) : allowed_(allowed) {}

  std::vector<DomainElement> judge(const pugi::xml_document& document) {
    const auto domain = document.document_element();
    everywhere(domain);
    boot(domain);
    for (const auto& device : domain.child("devices").children()) {
      if (device.type() != pugi::node_element) continue;
      const std::string name = device.name();
      if (std::ranges::find(allowed_, name) == allowed_.end()) judge_device(device, name);
    }
    memory(domain);
    return std::move(refused_);
  }

 private:
  void refuse(const std::string& path, const std::string& why) {
    constexpr std::size_t enough = 20;  // for a message
    if (refused_.size() < enough && known_.insert(path).second) refused_.push_back({path, why});
  }

  /// What may stand anywhere. The depth of the tree is bounded: parse_domain_text().
  void everywhere(const xml_node& node) {
    for (const auto& child : node.children()) {
      if (child.type() != pugi::node_element) continue;
      const std::string_view name = child.name();
      if (name == "metadata") continue;  // dropped whole
      if (name.find(':') != std::string_view::npos)
        refuse(path_of(child), "would hand something to the hypervisor that libvirt does not check");
      if (name == "seclabel" && attribute(child, "type") == "static")
        refuse(path_of(child), "would choose the VM's security label");
      if (name == "dataStore") refuse(path_of(child), "would keep the disk's data elsewhere");
      everywhere(child);
    }
  }

  void boot(const xml_node& domain) {
    for (const auto* name : {"bootloader", "bootloader_args"})
      if (domain.child(name)) refuse(name, "would run a program of this host");
    const auto os = domain.child("os");
    for (const auto* name : {"kernel", "initrd", "dtb", "init", "initdir", "shim"})
      if (!trimmed(os.child(name).text().as_string()).empty())
        refuse(std::string("os/") + name, "names a file of this host");
    if (os.child("acpi")) refuse("os/acpi", "names a file of this host");
    // What firmware it is counts, not which file: the host's own is used (image_domain.cpp, read_machine).
    if (os.child("nvram").child("source")) refuse("os/nvram/source", "names a file or a server");
    for (const auto& info : domain.children("sysinfo")) {
      for (const auto& entry : info.children("entry"))
        if (entry.attribute("file")) refuse("sysinfo/entry", "names a file of this host");
    }
    const auto idmap = domain.child("idmap");
    if (idmap) refuse("idmap", "is for containers");
  }

  void memory(const xml_node& domain) {
    if (attribute(domain.child("memoryBacking").child("source"), "type") == "file")
      refuse("memoryBacking/source", "would put the VM's memory into files of this host");
    if (domain.child("launchSecurity"))
      refuse("launchSecurity", "is not supported in a job's VM, which is built anew");
  }

  void judge_device(const xml_node& device, const std::string& name) {
    constexpr std::array<std::string_view, 5> hosts{"hostdev", "filesystem", "shmem", "lease", "pstore"};
    const auto path = "devices/" + name;
    if (is_one_of(name, hosts)) refuse(path, "would give the VM something of this host");
    // What SPICE's viewer would lend the VM is nobody's here, and an address on vsock that libvirt chooses is
    // a VM's own: both are left out, like the emulator's path, in place of which the host's own QEMU is used.
    const bool is_lent = is_one_of<2>(name, {"redirdev", "smartcard"});
    if (is_lent && attribute(device, "type") != "spicevmc")
      refuse(path, "would give the VM something of this host");
    if (name == "vsock" && attribute(device.child("cid"), "auto") != "yes")
      refuse(path, "would take an address that another VM may have");
    if (name == "disk") judge_disk(device, path);
    if (name == "interface") judge_interface(device, path);
    if (is_one_of<5>(name, {"serial", "parallel", "console", "channel", "rng"}))
      judge_character(device, path);
    if (name == "tpm" && attribute(device.child("backend"), "type") != "emulator")
      refuse(path, "would give the VM this host's TPM");
    if (name == "memory" && device.child("source").child("path")) refuse(path, "names a file of this host");
    if (name == "audio" && (device.attribute("path") || attribute(device, "type") == "file"))
      refuse(path, "names a file of this host");
    if (name == "video" && device.child("driver").attribute("vgaconf")) return;
    if (name == "graphics" &&
        (attribute(device, "socket") != "" || attribute(device.child("listen"), "socket") != "" ||
         device.child("gl").attribute("rendernode")))
      refuse(path, "names a socket or a device of this host");
  }

  void judge_disk(const xml_node& disk, const std::string& path) {
    const auto source = disk.child("source");
    const auto type = attribute(disk, "type");
    const bool is_empty = !source.attribute("file") && !source.attribute("dev") &&
                          source.attributes().empty() && !source.first_child();
    if (type != "file" && !(is_empty && type == "block"))
      refuse(path, "is of type " + quote(type) + ", which is no file of the image");
    if (source.child("reservations") || source.child("slices") || source.child("cookies"))
      refuse(path + "/source", "has more in it than a file's name");
    if (attribute(source, "file").find('/') != std::string::npos)
      refuse(path + "/source", "is a path, not a file of the image");
    if (disk.child("mirror")) refuse(path + "/mirror", "would copy the disk elsewhere");
  }

  void judge_interface(const xml_node& interface, const std::string& path) {
    const auto type = attribute(interface, "type");
    // What the setting 'network' replaces anyway.
    if (!is_one_of<6>(type, {"user", "network", "bridge", "direct", "internal", ""}))
      refuse(path, "is of type " + quote(type) + ", which a job's VM may not have");
    for (const auto* name : {"script", "downscript"})
      if (interface.child(name)) refuse(path + "/" + name, "would run a program of this host");
    const auto backend = interface.child("backend");
    if (backend.attribute("tap") || backend.attribute("vhost") || backend.attribute("logFile"))
      refuse(path + "/backend", "names files of this host");
  }

  void judge_character(const xml_node& device, const std::string& path) {
    if (std::string_view(device.name()) == "rng") {
      const auto backend = device.child("backend");
      const auto source = trimmed(backend.text().as_string());
      const bool is_usual =
          attribute(backend, "model") != "egd" &&
          is_one_of<5>(source, {"", "/dev/urandom", "/dev/random", "/dev/hwrng", "/dev/hw_random"});
      if (!is_usual) refuse(path + "/backend", "reads from something of this host");
      return;
    }
    if (device.child("log")) refuse(path + "/log", "would write to a file of this host");
    const auto type = attribute(device, "type");
    if (is_one_of<8>(type, {"", "pty", "null", "vc", "spicevmc", "spiceport", "qemu-vdagent", "stdio"}))
      return;
    // Channels of agents, which libvirt serves at a socket of its own; they are made anew.
    const auto target = attribute(device.child("target"), "name");
    const bool is_agent = type == "unix" && target.starts_with("org.qemu.guest_agent.") &&
                          attribute(device.child("source"), "mode", "bind") == "bind";
    if (!is_agent)
      refuse(path,
             "is of type " + quote(type) + ", which reaches for files, sockets or devices of this host");
  }

  const std::vector<std::string>& allowed_;
  std::vector<DomainElement> refused_;
  std::set<std::string> known_;  ///< their paths
};

}  // namespace

std::vector<DomainElement> elements_to_refuse(std::string_view image_xml,
                                              const std::vector<std::string>& allowed) {
  pugi::xml_document document;
  parse_domain_text(document, image_xml, "the image's domain");
  return Judge(allowed).judge(document);
}

void refuse_what_no_job_may_have(std::string_view image_xml, const std::vector<std::string>& allowed) {
  const auto refused = elements_to_refuse(image_xml, allowed);
  if (refused.empty()) {
    static_cast<void>(read_image_domain(image_xml));
    return;
  }
  std::vector<std::string> reasons;
  for (const auto& element : refused) reasons.push_back("<" + element.path + "> " + element.why);
  // allow-devices is about elements of <devices> only.
  const bool are_devices = std::ranges::all_of(
      refused, [](const DomainElement& element) { return element.path.starts_with("devices/"); });
  throw Error(Blame::job, "the image's domain requests host resources that job VMs may not use: " +
                              join(reasons, "; ") + ". Export the VM without them" +
                              (are_devices ? "; an administrator can allow them with allow-devices" : ""));
}

}  // namespace sarde
