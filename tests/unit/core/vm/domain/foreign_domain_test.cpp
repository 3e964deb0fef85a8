// What a foreign domain may decide: words of lists, numbers in ranges, what is counted here.
#include <algorithm>

#include <doctest/doctest.h>

#include "core/foundation/text.hpp"
#include "core/vm/domain/definition.hpp"
#include "core/vm/domain/domain_policy.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "core/vm/domain/image_domain.hpp"
#include "core/vm/domain/job_domain.hpp"
#include "core/vm/domain/libvirt_answers.hpp"
#include "core/vm/domain/vocabulary.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/spent.hpp"

using namespace sarde;
using sarde::testing::check_error;
using sarde::testing::spent_in;

namespace {

std::string disk(const std::string& file, const std::string& target, const std::string& bus = "virtio",
                 const std::string& more = "") {
  return "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='" + file +
         "'/><target dev='" + target + "'" + (bus.empty() ? "" : " bus='" + bus + "'") + "/>" + more +
         "</disk>";
}

std::string domain(const std::string& devices, const std::string& rest = "") {
  return "<domain type='kvm'><name>x</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>"
         "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>" +
         rest + "<devices>" + devices + "</devices></domain>";
}

JobVm plan_for(const std::string& xml) {
  JobVm plan{.name = VmName::of_job("7", "x"), .image_xml = xml};
  for (const auto& one : parse_domain(xml, "it").disks)
    plan.disk_files[one.file] = {
        .path = "/jobs/" + one.file,
        .format = "qcow2",
        .backing = {{.path = "/vms/" + one.file, .format = "qcow2"}, {.path = "/vms/base", .format = "raw"}}};
  return plan;
}

std::string job(const std::string& xml) {
  return build_job_domain(plan_for(xml)).xml;
}

BuiltDomain defined(const std::string& xml) {
  const auto files = plan_for(xml).disk_files;
  return domain_to_define(xml, {.name = "vm", .files = files});
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string repeated(const std::string& text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += text;
  return all;
}

}  // namespace

TEST_CASE("foreign domain: targets, boot order and controllers are counted anew, for jobs and for import") {
  const auto xml = domain(disk("a", "sdzzzz", "scsi", "<boot order='700'/>") +
                          disk("b", "vdq", "virtio", "<boot order='9'/>") + disk("c", "sda", "sata") +
                          disk("d", "hdx", "") +
                          "<controller type='scsi' index='2147483647' model='lsilogic'/><controller "
                          "type='scsi' index='-5' model='evil'/>");
  for (const auto& built : {job(xml), defined(xml).xml}) {
    INFO(built);
    CHECK(disk_targets(built) == std::vector<std::string>{"sda", "vda", "sdb", "sdc"});
    CHECK(has(built, "<boot order=\"2\""));
    CHECK(has(built, "<boot order=\"1\""));
    CHECK_FALSE(has(built, "700"));
    CHECK(has(built, "<controller type=\"scsi\" index=\"0\" model=\"lsilogic\""));
    CHECK(has(built, "<controller type=\"scsi\" index=\"1\" model=\"virtio-scsi\""));
    CHECK_FALSE(has(built, "2147483647"));
    CHECK_FALSE(has(built, "zzzz"));
  }
}

TEST_CASE(
    "foreign domain: what several VMs share is said not to be relabelled, down to the end of the chain") {
  const auto xml = domain(disk("a", "vda"));
  const auto files = plan_for(xml).disk_files;
  for (const auto& built :
       {job(xml), defined(xml).xml, domain_of_copy(xml, {.name = "vm", .files = files})}) {
    INFO(built);
    const auto own = built.find("<source file=\"/jobs/a\"");
    const auto base = built.find("<source file=\"/vms/a\">");
    const auto end = built.find("<source file=\"/vms/base\">");
    REQUIRE(own != std::string::npos);
    REQUIRE(base != std::string::npos);
    REQUIRE(end != std::string::npos);
    CHECK(built.find("<seclabel model=\"dac\" relabel=\"no\"", own) > base);
    CHECK(built.find("<seclabel model=\"dac\" relabel=\"no\"", end) != std::string::npos);
    CHECK(has(built, "<backingStore />"));
  }
}

TEST_CASE("foreign domain: an imported VM keeps what is in the table, and nothing else") {
  const auto xml = domain(
      disk("a", "vda") +
          "<emulator>/tmp/evil</emulator><sound model='ich9'/><watchdog model='i6300esb' action='dump'/>"
          "<graphics type='vnc' listen='0.0.0.0' port='5900' passwd='x'/><input type='tablet' bus='usb'/>"
          "<interface type='network'><mac address='52:54:00:11:22:33'/><source network='default' "
          "portid='x'/><model type='virtio'/>"
          "<address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></interface>"
          "<hostdev mode='subsystem' type='pci'/><filesystem/><tpm model='tpm-crb'><backend type='emulator' "
          "version='2.0'/></tpm>"
          "<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>"
          "<disk type='block' device='disk'><source dev='/dev/sda'/><target dev='vdb'/></disk><disk "
          "type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>",
      "<uuid>11111111-2222-3333-4444-555555555555</uuid><title>A &#27;[31mtitle</title>"
      "<metadata><libosinfo:libosinfo "
      "xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'><libosinfo:os "
      "id='http://debian.org/debian/12'/></libosinfo:libosinfo>"
      "<sarde:job xmlns:sarde='urn:sarde-executor:job:1' id='1' expires='1' folder='/jobs/x'/></metadata>"
      "<features><acpi/><hyperv mode='custom'><relaxed state='on'/><spinlocks state='on' "
      "retries='8191'/></hyperv></features>"
      "<cpu mode='custom'><model>EPYC</model><topology sockets='1' cores='1' threads='1'/></cpu><clock "
      "offset='utc'><timer name='hpet' present='no'/></clock>"
      "<qemu:commandline xmlns:qemu='x'><qemu:arg value='-evil'/></qemu:commandline>");
  const auto [text, left_out] = defined(xml);
  INFO(text);
  for (const auto* kept : {"<sound model=\"ich9\"", "<graphics type=\"vnc\"", "<input type=\"tablet\"",
                           "network=\"default\"", "bus=\"0x01\"", "version=\"2.0\"", "debian.org/debian/12",
                           "retries=\"8191\"", ">EPYC<", "name=\"hpet\"", "<name>vm</name>",
                           "machine=\"q35\"", "<target dev=\"sda\" bus=\"sata\"", "i6300esb"})
    CHECK_MESSAGE(has(text, kept), kept);
  for (const auto* gone : {"evil", "0.0.0.0", "passwd", "5900", "portid", "52:54:00", "hostdev", "filesystem",
                           "/dev/", "sarde", "uuid", "\x1b", "qemu:", "dump"})
    CHECK_MESSAGE(!has(text, gone), gone);
  for (const auto* said : {"devices/hostdev", "devices/filesystem", "devices/disk", "qemu:commandline"})
    CHECK_MESSAGE(std::ranges::find(left_out, said) != left_out.end(), said);
  CHECK(std::ranges::find(left_out, "uuid") == left_out.end());
}

TEST_CASE("foreign domain: a number out of its range is refused, not passed on") {
  const std::vector<std::string> devices{
      "<controller type='usb' index='2147483647' model='qemu-xhci'/>",
      "<controller type='pci' index='99' model='pcie-root-port'/>",
      "<controller type='usb' index='0' model='qemu-xhci' ports='4294967295'/>",
      "<interface type='user'><mtu size='2147483647'/></interface>",
      "<interface type='user'><address type='pci' domain='0x0000' bus='0xff' slot='0x00' "
      "function='0x0'/></interface>",
      "<interface type='user'><address type='pci' domain='0xffff' bus='0x01' slot='0x00' "
      "function='0x0'/></interface>",
      "<video><model type='qxl' ram='4294967295'/></video>",
      "<video><model type='vga' heads='0'/></video>",
      "<serial type='pty'><target port='2147483647'/></serial>",
      "<rng model='virtio'><rate bytes='18446744073709551615' period='1'/></rng>",
      "<audio id='2147483647' type='none'/>"};
  for (const auto& device : devices) {
    CAPTURE(device);
    check_error(Blame::job, "the image's domain has '", [&] { defined(domain(disk("a", "vda") + device)); });
  }
  check_error(Blame::job, "sockets", [&] {
    defined(domain(disk("a", "vda"), "<cpu><topology sockets='4294967295' cores='1' threads='1'/></cpu>"));
  });
  check_error(Blame::job, "more than 64 elements <devices/video>",
              [&] { defined(domain(disk("a", "vda") + repeated("<video/>", 65))); });
  check_error(Blame::job, "for the hypervisor 'xen'", [&] {
    auto xml = domain(disk("a", "vda"));
    defined(xml.replace(xml.find("'kvm'"), 5, "'xen'"));
  });
}

TEST_CASE(
    "foreign domain: a copy of a VM of this host carries no metadata of ours, however they are written") {
  for (const auto* metadata : {"<sarde:job xmlns:sarde='urn:sarde-executor:job:1' id='1' expires='1'/>",
                               "<job xmlns='urn:sarde-executor:job:1' expires='1'/>",
                               "<y:z xmlns:y='urn:sarde-executor:job:1'/><keep xmlns='urn:other'/>"}) {
    const auto xml = domain(disk("a", "vda"), std::string("<metadata>") + metadata + "</metadata>");
    const auto files = plan_for(xml).disk_files;
    const auto copy = domain_of_copy(xml, {.name = "vm", .files = files});
    CAPTURE(copy);
    CHECK_FALSE(has(copy, "sarde-executor"));
    CHECK(has(copy, "urn:other") == has(metadata, "urn:other"));
    CHECK_FALSE(has(domain_for_export(xml, {}), "sarde-executor"));
    CHECK_FALSE(has(defined(xml).xml, "sarde-executor"));
  }
}

TEST_CASE("foreign domain: a network card keeps its place only among bridges that make sense") {
  const auto bridge = [](const std::string& index, const std::string& model, const std::string& bus,
                         const std::string& slot, const std::string& chassis = "") {
    return "<controller type='pci' index='" + index + "' model='" + model + "'>" +
           (chassis.empty() ? "" : "<target chassis='" + chassis + "'/>") +
           (bus.empty() ? "" : "<address type='pci' bus='" + bus + "' slot='" + slot + "' function='0x0'/>") +
           "</controller>";
  };
  const auto card = [](const std::string& bus, const std::string& slot) {
    return "<interface type='user'><address type='pci' domain='0x0000' bus='" + bus + "' slot='" + slot +
           "' function='0x0'/></interface>";
  };
  const auto root = bridge("0", "pcie-root", "", "");
  const auto port = bridge("1", "pcie-root-port", "0x00", "0x02", "1");
  const auto keeps = [](const std::string& devices) {
    return has(job(domain(disk("a", "vda") + devices)), "<address type=\"pci\"");
  };
  CHECK(keeps(root + port + card("0x01", "0x00")));
  CHECK(keeps(card("0x00", "0x05")));
  CHECK_FALSE(keeps(card("0x00", "0x00")));
  CHECK_FALSE(keeps(card("0x01", "0x00")));
  CHECK_FALSE(keeps(root + bridge("1", "evil", "0x00", "0x02") + card("0x01", "0x00")));
  CHECK_FALSE(keeps(root + port + port + card("0x01", "0x00")));
  CHECK_FALSE(keeps(root + port + bridge("2", "pcie-root-port", "0x00", "0x02", "2") + card("0x01", "0x00")));
  CHECK_FALSE(keeps(root + port + bridge("2", "pcie-root-port", "0x00", "0x03", "1") + card("0x01", "0x00")));
  CHECK_FALSE(keeps(root + port + bridge("2", "pcie-root-port", "0x09", "0x03", "2") + card("0x01", "0x00")));
  CHECK_FALSE(keeps(root + port + bridge("7", "pcie-root-port", "0x00", "0x03", "2") + card("0x01", "0x00")));
  CHECK_FALSE(keeps(root + bridge("1", "pcie-root-port", "", "") + card("0x01", "0x00")));
}

TEST_CASE("foreign domain: words") {
  CHECK(passes("utc", "utc|localtime"));
  CHECK_FALSE(passes("ut", "utc|localtime"));
  CHECK_FALSE(passes("utc|localtime", "utc|localtime"));
  CHECK_FALSE(passes("", "utc|localtime"));
  CHECK(passes("0x1f", "#0-31"));
  CHECK_FALSE(passes("0x20", "#0-31"));
  CHECK_FALSE(passes("-0", "#0-31"));
  CHECK_FALSE(passes("1 ", "#0-31"));
  CHECK_FALSE(passes("a/b", "@"));
  CHECK_FALSE(passes(std::string(65, 'a'), "@"));
  const auto family = [](const std::string& text) {
    return machine_family(text, *find_architecture("x86_64"));
  };
  CHECK(family("pc-i440fx-2.1") == "pc");
  CHECK(family("pc-1.0") == "pc");
  CHECK(family("rhel6.6.0") == "pc");
  CHECK(family("pc-q35-rhel9.2.0") == "q35");
  CHECK(machine_family("virt-7.2", *find_architecture("aarch64")) == "virt");
  CHECK(machine_family("SS-5", *find_architecture("sparc")) == "SS-5");
  CHECK_FALSE(machine_family("a,b=c", *find_architecture("sparc")));
  CHECK_FALSE(family("virt"));
  CHECK(passes("-3600", "#-86400-86400"));
  CHECK_FALSE(passes("-86401", "#-86400-86400"));
  CHECK(passes("Europe/Berlin", time_zone));
  for (const auto* zone : {"", "/etc/passwd", "Europe/../x", "a//b", ":x", "a b"})
    CHECK_FALSE(passes(zone, time_zone));
  CHECK(passes("5000c50015ea71ad", hex16));
  CHECK_FALSE(passes("5000c50015ea71a", hex16));
  for (const auto* odd : {"", "pcx", "q35,x", "xq35", "none", "microvm"}) CHECK_FALSE(family(odd));
  const MachineKind pc{.architecture = find_architecture("x86_64"), .family = "pc"};
  const MachineKind q35{.architecture = find_architecture("x86_64"), .family = "q35"};
  const MachineKind arm{.architecture = find_architecture("aarch64"), .family = "virt"};
  CHECK(disk_bus({.bus = "", .target = "hda"}, pc) == "ide");
  CHECK(disk_bus({.bus = "ide", .target = "hda"}, q35) == "sata");
  CHECK(disk_bus({.bus = "evil", .target = "hda"}, pc) == "sata");
  CHECK(disk_bus({.bus = "nvme", .target = "nvme0n1"}, q35) == "sata");
  CHECK(disk_bus({.bus = "nvme", .target = "nvme0n1"}, arm) == "virtio");
  CHECK(disk_bus({.bus = "usb", .target = "sda", .is_cdrom = true}, q35) == "usb");
  CHECK(disk_bus({.bus = "nvme", .target = "x", .is_cdrom = true}, arm) == "scsi");
  CHECK(memory_in_kib("1", "GiB") == 1048576);
  for (const auto* amount : {"", "-1", "0", "1e9", "99999999999999999999", "0x10"})
    CHECK_FALSE(memory_in_kib(amount, "MiB"));
}

TEST_CASE("foreign domain: time and memory grow no faster than the text") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"elements in one another",
       "<domain>" + repeated("<a>", 60'000) + repeated("</a>", 60'000) + "</domain>"},
      {"long names in one another", "<domain>" + repeated("<" + std::string(8000, 'n') + ">", 60) +
                                        repeated("</" + std::string(8000, 'n') + ">", 60) + "</domain>"},
      {"names as long as they may be, as deep as they may be",
       "<domain><devices>" +
           repeated(repeated("<" + std::string(120, 'n') + ">", 60) +
                        repeated("</" + std::string(120, 'n') + ">", 60),
                    60) +
           "</devices></domain>"},
      {"kinds of devices",
       [] {
         std::string all = "<domain><devices>";
         for (int i = 0; i < 9'900; ++i) all += "<d" + std::to_string(i) + "/>";
         return all + "</devices></domain>";
       }()},
      {"refusals", domain(repeated("<hostdev/>", 9'000))},
      {"namespaces", domain("",
                            [] {
                              std::string all;
                              for (int i = 0; i < 9'000; ++i) all += "<x:n" + std::to_string(i) + "/>";
                              return all;
                            }())},
      {"disks", domain([] {
         std::string all;
         for (int i = 0; i < 2'000; ++i) all += disk("f" + std::to_string(i), "vd" + std::to_string(i));
         return all;
       }())},
      {"attributes", "<domain " +
                         [] {
                           std::string all;
                           for (int i = 0; i < 60'000; ++i) all += " a" + std::to_string(i) + "=''";
                           return all;
                         }() +
                         "/>"},
      {"text", domain("", "<title>" + std::string(1'000'000, 't') + "</title>")}};
  const DiskFiles no_files;
  for (const auto& [name, xml] : cases) {
    CAPTURE(name);
    const auto tolerate = [](const std::function<void()>& work) {
      try {
        work();
      } catch (const Error& error) {
        CHECK(error.blame() == Blame::job);
        CHECK(std::string(error.what()).size() < 20'000);
      }
    };
    const auto spent = spent_in([&, &xml = xml] {
      tolerate([&] { static_cast<void>(elements_to_refuse(xml, {})); });
      tolerate([&] { static_cast<void>(parse_domain(xml, "it")); });
      tolerate([&] { static_cast<void>(job(xml)); });
      tolerate([&] { static_cast<void>(defined(xml)); });
      tolerate([&] { static_cast<void>(domain_of_copy(xml, {.name = "x", .files = no_files})); });
      tolerate([&] { static_cast<void>(files_of_domain(xml)); });
    });
    CHECK(spent.seconds < 1);
    CHECK(spent.peak < 64U << 20U);
  }
}

TEST_CASE("libvirt's answers: what this host lacks is told from what is wrong with a VM") {
  CHECK(has(missing_on_host("operation failed: Unable to find any firmware to satisfy 'efi'"), "ovmf"));
  CHECK(
      has(missing_on_host("Unable to find 'efi' firmware that is compatible with the current configuration"),
          "ovmf"));
  CHECK(has(missing_on_host("unsupported configuration: TPM version '2.0' is not supported"), "swtpm"));
  CHECK(missing_on_host("unsupported configuration: IDE controllers are unsupported").empty());
  CHECK(missing_on_host("internal error: process exited while connecting to monitor").empty());
}

TEST_CASE("libvirt's answers: what QEMU's disks take on the host") {
  CHECK(written_in_block_nodes(
            R"({"return":[{"file":"/a","drv":"file","ro":false,"image":{"actual-size":100}},
    {"file":"/a","drv":"qcow2","ro":false,"image":{"actual-size":100}},
    {"file":"/b","drv":"file","ro":true,"image":{"actual-size":7000}},
    {"file":"/b","drv":"qcow2","ro":true,"image":{"actual-size":7000}},
    {"file":"/d","drv":"file","ro":false,"image":{"actual-size":11}}]})") == 111);
  // A backing file that root's QEMU could open for writing, whichever of its nodes is named first.
  CHECK(written_in_block_nodes(
            R"({"return":[{"file":"/base","drv":"file","ro":false,"image":{"actual-size":7000}},
    {"file":"/base","drv":"qcow2","ro":true,"image":{"actual-size":7000}},
    {"file":"/raw","drv":"raw","ro":true,"image":{"actual-size":500}},
    {"file":"/raw","drv":"file","ro":false,"image":{"actual-size":500}},
    {"file":"/copy","drv":"file","ro":false,"image":{"actual-size":3}}]})") == 3);
  for (const auto* odd : {"", "[]", "{}", R"({"return":[{"drv":"file","ro":false}]})", R"({"return":7})"})
    CHECK_FALSE(written_in_block_nodes(odd));
  CHECK(has_ipv4_dhcp("<network><ip address='1.2.3.4'><dhcp/></ip></network>"));
  CHECK_FALSE(has_ipv4_dhcp(
      "<network><ip address='1.2.3.4'/><ip family='ipv6' address='::1'><dhcp/></ip></network>"));
}
