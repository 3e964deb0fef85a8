// A VM without a system, whose disk is a chain of three files.
#include <doctest/doctest.h>

#include "core/foundation/json_reading.hpp"
#include "core/system/files.hpp"
#include "core/vm/hypervisor_loader.hpp"
#include "tests/support/run_tool.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using nlohmann::json;
using sarde::testing::run_tool;
using sarde::testing::TestFolder;

namespace {

class Machine {
 public:
  Machine() {
    run_tool({"qemu-img", "create", "-q", "-f", "qcow2", bottom().string(), "1M"});
    run_tool({"qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", bottom().string(),
              middle().string()});
    run_tool(
        {"qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", middle().string(), top().string()});
    const auto xml = folder_ / "domain.xml";
    write_file(xml,
               "<domain type='qemu'><name>chain</name><memory unit='MiB'>64</memory><os><type>hvm</type></os>"
               "<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='unsafe' "
               "discard='unmap'/><source file='" +
                   top().string() + "'/><target dev='vda' bus='virtio'/></disk></devices></domain>",
               0600);
    run_tool({"virsh", "-q", "-c", "qemu:///session", "create", xml.string()});
  }

  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  ~Machine() { run_tool({"virsh", "-q", "-c", "qemu:///session", "destroy", "chain"}); }

  [[nodiscard]] std::filesystem::path top() const { return folder_ / "top.qcow2"; }

  [[nodiscard]] std::filesystem::path middle() const { return folder_ / "middle.qcow2"; }

  [[nodiscard]] std::filesystem::path bottom() const { return folder_ / "bottom.qcow2"; }

  static json tell(const std::string& order, const json& arguments) {
    const json words{{"execute", order}, {"arguments", arguments}};
    return json::parse(run_tool({"virsh", "-q", "-c", "qemu:///session", "qemu-monitor-command", "chain",
                                 words.dump()}))
        .at("return");
  }

  static json nodes() { return tell("query-named-block-nodes", json::object()); }

 private:
  TestFolder folder_;
};

}  // namespace

TEST_CASE("served disks: what a try to go over to the files has left half-way does not change the chain") {
  const Machine machine;
  std::string disk;
  for (const auto& node : Machine::nodes())
    if (node.value("drv", "") == "qcow2" && node.value("file", "") == machine.top().string())
      disk = node.at("node-name").get<std::string>();
  REQUIRE(disk.starts_with("libvirt-"));
  const auto number = disk.substr(8, disk.find('-', 8) - 8);
  // The upper layer has been put in its place and dropped, the lower one not.
  const auto left = "sarde-disk-" + number + "-1-1";
  Machine::tell("blockdev-add", {{"node-name", left},
                                 {"driver", "qcow2"},
                                 {"read-only", true},
                                 {"backing", json()},
                                 {"file", {{"driver", "file"}, {"filename", machine.bottom().string()}}}});
  const auto depth = [&] {
    for (const auto& node : Machine::nodes())
      if (node.at("node-name") == disk) return node.at("backing_file_depth").get<int>();
    return -1;
  };
  REQUIRE(depth() == 2);
  const auto libvirt = connect_hypervisor("qemu:///session", {SARDE_BUILD_DIR});
  libvirt->leave_disk_server("chain", {machine.middle(), machine.bottom()});
  CHECK(depth() == 2);
  for (const auto& node : Machine::nodes()) CHECK(node.at("node-name") != left);
}
