#include <algorithm>

#include <doctest/doctest.h>

#include "core/vm/domain/definition.hpp"
#include "core/vm/domain/domain_policy.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "core/vm/domain/image_domain.hpp"
#include "core/vm/domain/job_domain.hpp"
#include "core/vm/domain/libvirt_answers.hpp"
#include "tests/support/check_error.hpp"

using namespace sarde;
using sarde::testing::check_error;

namespace {

const std::string image_xml = R"(<domain type='kvm' id='3'>
  <name>img</name><uuid>11111111-2222-3333-4444-555555555555</uuid>
  <memory unit='GiB'>1</memory><vcpu>2</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><kernel>/etc/shadow</kernel><boot dev='network'/></os>
  <features><acpi/><apic/></features>
  <cpu mode='host-model'/><clock offset='localtime'/>
  <devices>
    <emulator>/usr/bin/evil</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/x/disk.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <disk type='block' device='disk'><source dev='/dev/sda'/><target dev='vdb' bus='virtio'/></disk>
    <interface type='bridge'><mac address='52:54:00:11:22:33'/><source bridge='br0'/><model type='e1000'/></interface>
    <hostdev mode='subsystem' type='pci'/>
    <filesystem type='mount'><source dir='/'/><target dir='x'/></filesystem>
    <watchdog model='itco'/><watchdog model='i6300esb'/>
    <serial type='file'><source path='/etc/cron.d/x'/></serial>
  </devices>
  <qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg value='-evil'/></qemu:commandline>
</domain>)";

const std::string disk_of_image = "/var/x/disk.qcow2";

const std::string bare_xml = [] {
  auto text = image_xml;
  text.replace(text.find("/var/x/disk.qcow2"), 17, "disk.qcow2");
  return text;
}();

JobVm plan_with(NetworkMode network) {
  return {.name = VmName::of_job("7", "x"),
          .job_id = "7",
          .title = "job <7> & \"co\"\nsecond line",
          .folder = "/jobs/sarde-7",
          .expires = {.unix_seconds = 99, .boot = "b", .uptime = 9},
          .virt_type = VirtType::qemu,
          .network = network,
          .network_name = "default",
          .disk_files = {{"disk.qcow2", {.path = "/jobs/overlay", .format = "qcow2"}}},
          .console_log = "/jobs/console.log",
          .nvram = "/jobs/nvram.fd"};
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

BuiltDomain built_from(const std::string& image, JobVm vm) {
  vm.image_xml = image;
  return build_job_domain(vm);
}

}  // namespace

TEST_CASE("domain xml: a job's VM is built anew, and nothing of the host gets in") {
  const auto built = built_from(bare_xml, plan_with(NetworkMode::user));
  INFO(built.xml);
  for (const auto* evil : {"evil", "shadow", "hostdev", "filesystem", "cron", "sda", "br0", "network'",
                           "<uuid", "commandline"}) {
    CAPTURE(evil);
    CHECK_FALSE(has(built.xml, evil));
  }
  CHECK(has(built.xml, "<domain type=\"qemu\">"));
  CHECK(has(built.xml, "<name>" + VmName::of_job("7", "x").text() + "</name>"));
  CHECK(has(built.xml, "<memory unit=\"KiB\">1048576</memory>"));
  CHECK(has(built.xml, "<vcpu>2</vcpu>"));
  CHECK(has(built.xml, "machine=\"q35\""));
  CHECK(has(built.xml, "<source file=\"/jobs/overlay\""));
  CHECK(has(built.xml, "<interface type=\"user\">"));
  CHECK(has(built.xml, "<model type=\"e1000\""));
  CHECK(has(built.xml, "id=\"7\" expires=\"99\" boot=\"b\" expires-uptime=\"9\" folder=\"/jobs/sarde-7\""));
  CHECK(has(built.xml, "<boot dev=\"hd\""));
  CHECK(built.left_out == std::vector<std::string>{"devices/filesystem", "devices/hostdev",
                                                   "devices/watchdog", "qemu:commandline"});
}

TEST_CASE("domain xml: processors are in one socket, unless the image has them otherwise") {
  auto plan = plan_with(NetworkMode::user);
  const auto with = [](const std::string& cpu) {
    auto xml = bare_xml;
    xml.replace(xml.find("<cpu mode='host-model'/>"), 24, cpu);
    return xml;
  };
  CHECK(has(built_from(bare_xml, plan).xml, "<topology sockets=\"1\" cores=\"2\" threads=\"1\""));
  const auto two = with("<cpu><topology sockets='2' cores='1' threads='1'/></cpu>");
  CHECK(has(built_from(two, plan).xml, "<topology sockets=\"2\" cores=\"1\" threads=\"1\""));
  const auto wrong = with("<cpu><topology sockets='2' cores='4000000000' threads='9'/></cpu>");
  CHECK(has(built_from(wrong, plan).xml, "<topology sockets=\"1\" cores=\"2\" threads=\"1\""));
  plan.vcpus = 6;
  CHECK(has(built_from(two, plan).xml, "<topology sockets=\"1\" cores=\"6\" threads=\"1\""));
  plan.vcpus = 1;
  CHECK_FALSE(has(built_from(bare_xml, plan).xml, "<topology"));
}

TEST_CASE("domain xml: UEFI is recognised however it is said, and gets the ACPI that it needs") {
  const auto with = [](const std::string& os) {
    return "<domain type='kvm'><name>x</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os " + os +
           "</os><devices/></domain>";
  };
  const std::string type = "><type arch='x86_64' machine='q35'>hvm</type>";
  for (const auto& os :
       {"firmware='efi'" + type, type + "<loader type='rom'>/usr/share/ovmf/OVMF.fd</loader>",
        type + "<loader readonly='yes' type='pflash'>/nix/store/x/FW.fd</loader>"}) {
    CAPTURE(os);
    const auto values = read_image_domain(with(os));
    CHECK(values.firmware.is_uefi);
    CHECK_FALSE(values.firmware.secure_boot);
    CHECK(has(built_from(with(os), plan_with(NetworkMode::user)).xml, "<acpi />"));
  }
  CHECK_FALSE(read_image_domain(with(type)).firmware.is_uefi);
}

TEST_CASE("domain xml: another hypervisor's guests are refused in words") {
  const auto refused = [](const std::string& type, const std::string& kind, const std::string& sentence) {
    check_error(Blame::job, sentence, [&] {
      static_cast<void>(read_image_domain("<domain type='" + type + "'><memory>65536</memory><os><type>" +
                                          kind + "</type></os><devices/></domain>"));
    });
  };
  for (const auto* type : {"xen", "lxc", "vmware", "bhyve", "parallels"})
    refused(type, "hvm", "not for QEMU");
  refused("kvm", "exe", "only whole machines");
}

TEST_CASE("domain xml: nothing is left of what is accepted although a job does not get it") {
  const std::string from = R"(<domain type='kvm'><name>x</name><memory unit='gib'>1</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='q35'>hvm</type><kernel></kernel>
      <loader readonly='yes' type='pflash'>/etc/shadow</loader><nvram template='/etc/shadow'>/etc/passwd</nvram></os>
    <devices><emulator>/tmp/evil</emulator>
      <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='disk.qcow2'/><target dev='vda' bus='virtio'/></disk>
      <interface type='direct'><source dev='eth7' mode='bridge'/></interface>
      <redirdev bus='usb' type='spicevmc'/><smartcard mode='passthrough' type='spicevmc'/>
      <vsock model='virtio'><cid auto='yes' address='9'/></vsock>
      <graphics type='spice' autoport='yes'><gl enable='no'/></graphics>
      <channel type='unix'><source mode='bind' path='/run/user/7/agent'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    </devices></domain>)";
  CHECK(elements_to_refuse(from, {}).empty());
  for (const auto network : {NetworkMode::user, NetworkMode::named}) {
    const auto built = built_from(from, plan_with(network)).xml;
    for (const auto* trace : {"/etc/", "/tmp/evil", "eth7", "redirdev", "smartcard", "vsock", "/run/user",
                              "spice", "kernel", "emulator"}) {
      CAPTURE(trace);
      CHECK_FALSE(has(built, trace));
    }
    CHECK(has(built, "firmware=\"efi\""));
  }
  check_error(Blame::job, "'direct'", [&] { built_from(from, plan_with(NetworkMode::image)); });
}

TEST_CASE("domain xml: foreign text in the title is escaped, and one line") {
  const auto built = built_from(bare_xml, plan_with(NetworkMode::user));
  CHECK(has(built.xml, "<title>second line</title>"));
}

TEST_CASE("domain xml: the network is as configured") {
  CHECK(has(built_from(bare_xml, plan_with(NetworkMode::named)).xml, "<source network=\"default\""));
  const auto image = built_from(bare_xml, plan_with(NetworkMode::image)).xml;
  CHECK(has(image, "<source bridge=\"br0\""));
  CHECK(has(image, "<port isolated=\"yes\""));
  CHECK(has(image, "guest_agent"));
  CHECK_FALSE(has(built_from(bare_xml, plan_with(NetworkMode::user)).xml, "guest_agent"));
  auto direct = bare_xml;
  direct.replace(direct.find("type='bridge'"), 13, "type='vhostuser'");
  check_error(Blame::job, "'vhostuser'", [&] { built_from(direct, plan_with(NetworkMode::image)); });
}

TEST_CASE("domain xml: sizes of the administrator beat the image's") {
  auto plan = plan_with(NetworkMode::user);
  plan.memory_mib = 512;
  plan.vcpus = 1;
  const auto xml = built_from(bare_xml, plan).xml;
  CHECK(has(xml, "<memory unit=\"KiB\">524288</memory>"));
  CHECK(has(xml, "<vcpu>1</vcpu>"));
}

TEST_CASE("domain xml: UEFI keeps its variables in the job's folder") {
  auto text = bare_xml;
  text.replace(text.find("<os>"), 4, "<os firmware='efi'>");
  const auto xml = built_from(text, plan_with(NetworkMode::user)).xml;
  CHECK(has(xml, "<os firmware=\"efi\">"));
  CHECK(has(xml, "<nvram>/jobs/nvram.fd</nvram>"));
}

TEST_CASE("domain xml: nonsense is the job's fault") {
  const auto with = [](const std::string& from, const std::string& to) {
    auto text = bare_xml;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  check_error(Blame::job, "of memory",
              [&] { built_from(with(">1</memory>", ">-1</memory>"), plan_with(NetworkMode::user)); });
  check_error(Blame::job, "of memory",
              [&] { built_from(with("'GiB'", "'PiB'"), plan_with(NetworkMode::user)); });
  check_error(Blame::job, "processors",
              [&] { built_from(with("<vcpu>2", "<vcpu>9999"), plan_with(NetworkMode::user)); });
  check_error(Blame::job, "architecture",
              [&] { built_from(with("arch='x86_64'", "arch='x/../y'"), plan_with(NetworkMode::user)); });
  check_error(Blame::job, "does not hold",
              [&] { built_from(with("disk.qcow2", "other"), plan_with(NetworkMode::user)); });
  check_error(Blame::job, "not valid XML", [&] { parse_domain("<domain>", "it"); });
  check_error(Blame::job, "not a libvirt domain", [&] { parse_domain("<network/>", "it"); });
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "<domain>";
  for (int i = 0; i < 100; ++i) deep += "</domain>";
  check_error(Blame::job, "too deeply", [&] { parse_domain(deep, "it"); });
}

TEST_CASE("domain xml: an exported definition names nothing of its host") {
  const auto xml = domain_for_export(
      image_xml, {.kept = {{0, {.file = "renamed.qcow2", .format = "qcow2"}}}, .dropped = {1}});
  CHECK_FALSE(has(xml, "uuid"));
  CHECK_FALSE(has(xml, "52:54:00"));
  CHECK_FALSE(has(xml, "itco"));
  CHECK(has(xml, "i6300esb"));
  CHECK(has(xml, "<source file=\"renamed.qcow2\""));
}

TEST_CASE("domain xml: one to be defined has its name and its files, and nobody's identity") {
  const DiskFiles files{{disk_of_image, {.path = "/vms/vm1/d", .format = "raw"}}};
  const auto xml = domain_to_define(image_xml, {.name = "vm1", .files = files}).xml;
  CHECK(has(xml, "<name>vm1</name>"));
  CHECK(has(xml, "<source file=\"/vms/vm1/d\""));
  CHECK(has(xml, "type=\"raw\""));
  CHECK_FALSE(has(xml, "uuid"));
  CHECK_FALSE(has(xml, "52:54:00"));
  check_error(Blame::job, "does not hold",
              [&] { domain_to_define(image_xml, {.name = "vm1", .files = {}}); });
}

TEST_CASE("domain xml: what the administrator allows is taken as it is, but placed anew") {
  auto plan = plan_with(NetworkMode::user);
  plan.allowed_devices = {"hostdev", "serial"};
  const auto built = built_from(bare_xml, plan);
  INFO(built.xml);
  CHECK(has(built.xml, "<hostdev"));
  CHECK(std::ranges::find(built.left_out, "devices/hostdev") == built.left_out.end());
  CHECK_FALSE(has(built.xml, "filesystem"));
  CHECK_FALSE(has(built.xml, "evil"));  // its serial port is ours
}

TEST_CASE("domain xml: limits count for what the image and what the settings ask for") {
  auto plan = plan_with(NetworkMode::user);
  plan.max_memory_mib = 512;
  check_error(Blame::job, "1.1 GB of memory, more than max-memory, 536.9 MB",
              [&] { built_from(bare_xml, plan); });
  plan.memory_mib = 512;
  plan.max_vcpus = 1;
  check_error(Blame::job, "2 processors, more than max-vcpus, 1", [&] { built_from(bare_xml, plan); });
  plan.vcpus = 1;
  CHECK_NOTHROW(built_from(bare_xml, plan));
}

TEST_CASE("domain xml: a processor model that an image was made for, where there is one") {
  auto xml = bare_xml;
  const std::string generic = "<cpu mode='host-model'/>";
  xml.replace(xml.find(generic), generic.size(), "<cpu mode='custom'><model>Haswell-noTSX</model></cpu>");
  auto plan = plan_with(NetworkMode::user);
  CHECK(has(built_from(xml, plan).xml, "<cpu mode=\"maximum\""));
  plan.virt_type = VirtType::kvm;
  CHECK(has(built_from(xml, plan).xml, "<model fallback=\"allow\">Haswell-noTSX</model>"));
  CHECK(has(built_from(bare_xml, plan).xml, "<cpu mode=\"host-passthrough\""));
}

TEST_CASE("domain xml: passt's socket takes the place of QEMU's own network") {
  auto plan = plan_with(NetworkMode::user);
  plan.user_network_socket = "/jobs/a,b/qemu.sock";
  const auto xml = built_from(bare_xml, plan).xml;
  CHECK(has(xml, "addr.path=/jobs/a,,b/qemu.sock"));
  CHECK(has(xml, "<qemu:property name=\"netdev\" type=\"string\" value=\"passt0\""));
  plan.network = NetworkMode::named;
  CHECK_FALSE(has(built_from(bare_xml, plan).xml, "passt0"));
}

TEST_CASE("domain xml: a job's metadata are read back; who QEMU runs as is in the capabilities") {
  const auto job = job_in_metadata("<job expires='99' boot='b' expires-uptime='9' folder='/jobs/x'/>");
  CHECK(job.expires->unix_seconds == 99);
  CHECK(job.expires->boot == "b");
  CHECK(job.expires->uptime == 9);
  CHECK(job.folder == "/jobs/x");
  CHECK_FALSE(job_in_metadata("<job/>").expires);
  const auto account = account_in_capabilities(
      "<capabilities><host><secmodel><model>none</model></secmodel><secmodel><model>dac</model>"
      "<baselabel type='kvm'>+64055:+64056</baselabel></secmodel></host></capabilities>");
  REQUIRE(account);
  CHECK(account->uid == 64055);
  CHECK(account->gid == 64056);
  CHECK_FALSE(account_in_capabilities("<capabilities/>"));
}

TEST_CASE("domain xml: the files that a domain uses, and those it writes to") {
  const std::string xml =
      "<domain><devices><disk type='file'><source file='/top'/><target dev='vda'/>"
      "<backingStore type='file'><source file='/base'/></backingStore></disk>"
      "<disk type='file' device='cdrom'><source file='/iso'/></disk><disk type='file' device='cdrom'/>"
      "<disk type='file'><source file='/ro'/><readonly/></disk>"
      "<disk type='block'><source dev='/dev/sdx'/><target dev='vdb'/></disk></devices></domain>";
  CHECK(files_of_domain(xml) ==
        std::vector<std::filesystem::path>{"/top", "/base", "/iso", "/ro", "/dev/sdx"});
  CHECK(written_files_of_domain(xml) == std::vector<std::filesystem::path>{"/top", "/dev/sdx"});
}

TEST_CASE("domain xml: a backup names the disks to copy, and those not to") {
  const auto xml = backup_order({{.device = "vda", .format = "qcow2", .file = "/c/d"}}, {"vda", "sda"});
  CHECK(has(xml, "<disk name=\"vda\" backup=\"yes\" type=\"file\">"));
  CHECK(has(xml, "<target file=\"/c/d\""));
  CHECK(has(xml, "<disk name=\"sda\" backup=\"no\""));
}

TEST_CASE("domain xml: the forwarded port is found in QEMU's answer") {
  const std::string answer =
      "Hub -1 (hostnet0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ "
      "SendQ\r\n"
      "  TCP[ESTABLISHED]  18       127.0.0.1 40000       10.0.2.15    22     0     0\r\n"
      "  TCP[HOST_FORWARD]  17       127.0.0.1 46549       10.0.2.15    22     0     0\r\n";
  CHECK(port_in_usernet(answer, 22) == 46549);
  CHECK_FALSE(port_in_usernet(answer, 2222));
  CHECK_FALSE(port_in_usernet("", 22));
}

TEST_CASE("domain xml: QEMU's answer shows whether it is connected to passt") {
  const std::string card =
      "virtio-net-pci.0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:56\r\n";
  const auto shown = [&](const std::string& line) {
    return stream_in_network(card + line + "\r\n", "passt0");
  };
  CHECK(shown(R"( \ passt0: index=0,type=stream,)").empty());
  CHECK(shown(R"( \ passt0: index=0,type=stream,connection error)") == "connection error");
  CHECK(shown(R"( \ passt0: index=0,type=stream,unix:/j,obs/7/passt/qemu.sock)") ==
        "unix:/j,obs/7/passt/qemu.sock");
  CHECK(shown(R"( \ other: index=0,type=stream,unix:/passt0: )").empty());
  CHECK(stream_in_network("", "passt0").empty());
}

TEST_CASE("virt type: KVM only where libvirt offers it and an x86 processor can") {
  CHECK(usable_virt_type(true, "x86_64", "flags\t\t: fpu vme vmx sse") == VirtType::kvm);
  CHECK(usable_virt_type(true, "x86_64", "flags\t\t: fpu svm sse") == VirtType::kvm);
  CHECK(usable_virt_type(true, "x86_64", "flags\t\t: fpu svm_lock xvmx") == VirtType::qemu);
  CHECK(usable_virt_type(false, "x86_64", "flags : vmx") == VirtType::qemu);
  CHECK(usable_virt_type(true, "aarch64", "Features : fp asimd") == VirtType::kvm);
}

TEST_CASE("vm name: shows the job's id, and tells apart jobs of one id") {
  const auto name = VmName::of_job("123", "project a");
  CHECK(name.text().starts_with("sarde-123-"));
  CHECK(name == VmName::of_job("123", "project a"));
  CHECK(name != VmName::of_job("123", "project b"));
  CHECK(VmName::parse(name.text()) == name);
  CHECK_FALSE(VmName::parse("sarde-123"));
  CHECK_FALSE(VmName::parse("sarde-123-xyz/../.."));
  CHECK_FALSE(VmName::parse("other-123-00000000"));
  CHECK(name.mac_address().starts_with("52:54:00:"));
  CHECK(name.mac_address() != VmName::of_job("124", "project a").mac_address());
}

TEST_CASE("domain: a VM that continues from a saved state waits for it, and may know that it is a copy") {
  auto vm = plan_with(NetworkMode::user);
  vm.user_network_socket = "/jobs/sarde-7/network/qemu.sock";
  CHECK_FALSE(has(built_from(bare_xml, vm).xml, "genid"));
  vm.may_be_cloned = true;
  const auto saved = built_from(bare_xml, vm).xml;
  CHECK(has(saved, "<genid"));
  CHECK_FALSE(has(saved, "-incoming"));
  vm.awaits_state = true;
  const auto waits = built_from(bare_xml, vm).xml;
  CHECK(has(waits, "<qemu:arg value=\"-incoming\""));
  CHECK(has(waits, "<qemu:arg value=\"defer\""));
  CHECK(has(waits, "-netdev"));
  vm.image_xml = bare_xml;
  auto other = vm;
  other.name = VmName::of_job("8", "y");
  CHECK(job_interface(vm) == job_interface(other));  // a saved state brings the card's address with it
}

TEST_CASE("guest shape: what a guest sees, and nothing of the host's") {
  const std::string one = R"(<domain type='qemu' id='3'><name>a</name><uuid>u1</uuid><genid>g1</genid>
    <metadata><x/></metadata><memory unit='KiB'>262144</memory>
    <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><nvram>/a/nvram</nvram></os>
    <devices><disk type='file' device='disk'><source file='/a/d' index='1'/><backingStore/><target dev='vda' bus='virtio'/>
    <alias name='virtio-disk0'/><address type='pci' bus='0x03'/></disk>
    <controller type='pci' index='0' model='pcie-root'/>
    <interface type='user'><mac address='52:54:00:12:34:56'/><model type='virtio'/></interface>
    <console type='pty' tty='/dev/pts/1'><source path='/dev/pts/1'/></console></devices>
    <seclabel type='dynamic'/></domain>)";
  const auto changed = [&](std::string_view from, std::string_view to) {
    auto text = one;
    REQUIRE(text.find(from) != std::string::npos);
    return guest_shape(text.replace(text.find(from), from.size(), to));
  };
  const auto shape = guest_shape(one);
  for (const auto& [from, to] : {std::pair("id='3'", "id='9'"),
                                 {"<name>a", "<name>b"},
                                 {"u1", "u2"},
                                 {"g1", "g2"},
                                 {"/a/nvram", "/b/nvram"},
                                 {"/a/d", "/b/e"},
                                 {"index='1'", "index='2'"},
                                 {"/dev/pts/1'>", "/dev/pts/2'>"},
                                 {"'dynamic'", "'none'"}})
    CHECK_MESSAGE(changed(from, to) == shape, from);
  for (const auto& [from, to] : {std::pair("pc-q35-7.2", "pc-q35-8.0"),
                                 {"262144", "262145"},
                                 {"bus='0x03'", "bus='0x04'"},
                                 {"index='0'", "index='1'"},
                                 {"<genid>g1</genid>", ""},
                                 {"model type='virtio'", "model type='e1000'"}})
    CHECK_MESSAGE(changed(from, to) != shape, from);
}

TEST_CASE("snapshot order: each disk that is written to goes on in its new file, the others as they are") {
  const std::string xml = R"(<domain><name>a</name><devices>
    <disk type='file'><source file='/j/one'/><target dev='vda'/></disk>
    <disk type='file'><source file='/v/seed'/><target dev='vdb'/><readonly/></disk></devices></domain>)";
  const auto order = snapshot_order({{"/j/one", "/j/next"}}, xml);
  CHECK(has(order, R"(<disk name="vda" snapshot="external" type="file">)"));
  CHECK(has(order, R"(<source file="/j/next")"));
  CHECK(has(order, R"(<disk name="vdb" snapshot="no")"));
  check_error(Blame::host, "does not write to the files", [&] {
    snapshot_order({{"/j/two", "/j/next"}}, xml);
  });
}
