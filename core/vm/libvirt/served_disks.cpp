#include "core/vm/libvirt/served_disks.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>

#include <libvirt/libvirt.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/libvirt/libvirt_errors.hpp"
#include "core/vm/libvirt/qemu_monitor.hpp"
#include "core/vm/machines.hpp"

namespace sarde {

using nlohmann::json;

namespace {

// libvirt calls the nodes of the disk number N libvirt-N-format and libvirt-N-storage. Ours are called
// sarde-WHAT-N-I-D: below that disk, the layer I of its chain, which is the image's disk D.
constexpr std::string_view libvirt_prefix = "libvirt-";
constexpr std::string_view storage_suffix = "-storage";

struct Node {
  std::string disk;   ///< libvirt's number
  std::size_t layer;  ///< of the chain; 0: the topmost
  std::size_t of_image;

  [[nodiscard]] std::string called(const std::string& what) const {
    return "sarde-" + what + "-" + disk + "-" + std::to_string(layer) + "-" + std::to_string(of_image);
  }
};

std::optional<Node> node_called(const std::string& name, const std::string& what) {
  const auto parts = split(name, '-');
  constexpr std::size_t all = 5;
  if (parts.size() != all || parts[0] != "sarde" || parts[1] != what) return std::nullopt;
  const auto layer = parse_number(parts[3]);
  const auto of_image = parse_number(parts[4]);
  if (!layer || !of_image) return std::nullopt;
  return Node{.disk = parts[2], .layer = *layer, .of_image = *of_image};
}

json nodes_of(const Domain& domain, const std::string& doing) {
  return tell_qemu(domain, {{"execute", "query-named-block-nodes"}, {"arguments", {{"flat", true}}}}, doing);
}

void add_node(const Domain& domain, const json& node, const std::string& doing) {
  tell_qemu(domain, {{"execute", "blockdev-add"}, {"arguments", node}}, doing);
}

void drop_node(const Domain& domain, const std::string& name, const std::string& doing) {
  tell_qemu(domain, {{"execute", "blockdev-del"}, {"arguments", {{"node-name", name}}}}, doing);
}

json format_node(const std::string& name, const std::string& format, const std::string& file,
                 const std::string& below) {
  json node{{"node-name", name}, {"driver", format}, {"read-only", true}, {"file", file}};
  if (format == "qcow2") node["backing"] = below.empty() ? json() : json(below);
  return node;
}

/// All options have to be given again: job_domain and libvirt give the VM's own disks these.
void put_below(const Domain& domain, const std::string& disk, const std::string& below,
               const std::string& doing) {
  const auto name = std::string(libvirt_prefix) + disk;
  const json options{{"node-name", name + "-format"},
                     {"driver", "qcow2"},
                     {"read-only", false},
                     {"discard", "unmap"},
                     {"cache", {{"direct", false}, {"no-flush", true}}},
                     {"file", name + std::string(storage_suffix)},
                     {"backing", below}};
  tell_qemu(domain, {{"execute", "blockdev-reopen"}, {"arguments", {{"options", json::array({options})}}}},
            doing);
}

/// libvirt's number of the disk whose file this is. (The file's own node tells; that of its format may have
/// the whole chain for its name.)
std::string number_of_disk(const json& nodes, const std::filesystem::path& file, const std::string& doing) {
  for (const auto& node : nodes) {
    const auto name = node.value("node-name", "");
    const bool is_it = node.value("file", "") == file.string() && node.value("drv", "") == "file";
    if (!is_it || !name.starts_with(libvirt_prefix) || !name.ends_with(storage_suffix)) continue;
    return name.substr(libvirt_prefix.size(), name.size() - libvirt_prefix.size() - storage_suffix.size());
  }
  throw Error(doing + ": QEMU does not list the disk " + file.string());
}

void put_server_below(const Domain& domain, const JobVm& vm, const std::string& doing) {
  constexpr int patience = 120;  // seconds; as JobVm::disk_server says
  const auto& served = vm.disk_server->files;
  const auto nodes = nodes_of(domain, doing);
  for (const auto& [name, file] : vm.disk_files) {
    if (file.path.parent_path() != vm.folder) continue;
    const auto disk = number_of_disk(nodes, file.path, doing);
    std::string below;
    for (auto layer = file.backing.size(); layer-- > 0;) {
      const auto& backing = file.backing[layer];
      const auto found = std::ranges::find(served, backing.path);
      if (found == served.end()) throw Error(doing + ": it does not serve " + backing.path.string());
      const Node node{
          .disk = disk, .layer = layer, .of_image = static_cast<std::size_t>(found - served.begin())};
      add_node(domain,
               {{"node-name", node.called("nbd")},
                {"driver", "nbd"},
                {"read-only", true},
                {"server", {{"type", "unix"}, {"path", vm.disk_server->socket.string()}}},
                {"export", vm.name.text() + "/" + backing.path.filename().string()},
                {"reconnect-delay", patience}},
               doing);
      add_node(domain, format_node(node.called("disk"), backing.format, node.called("nbd"), below), doing);
      below = node.called("disk");
    }
    put_below(domain, disk, below, doing);
  }
}

}  // namespace

void read_from_server(const Domain& domain, const JobVm& vm) {
  const auto doing = "connect QEMU to " + vm.disk_server->socket.string();
  try {
    put_server_below(domain, vm, doing);
  } catch (const Error& error) {
    throw NotServed(std::string(error.what()) + "; do AppArmor, SELinux or a folder's rights forbid it?");
  }
}

void read_from_files(const Domain& domain, const std::vector<std::filesystem::path>& files) {
  const std::string doing = "let QEMU read the image's files";
  int state = 0;
  if (virDomainGetState(domain.get(), &state, nullptr, 0) != 0) fail_libvirt(doing);
  if (state != VIR_DOMAIN_RUNNING) throw Error(doing + ": the VM does not run (yet)");
  // By libvirt's number of the disk, its chain from the bottom up.
  std::map<std::string, std::map<std::size_t, std::pair<Node, std::string>, std::greater<>>> disks;
  std::set<std::string> known;
  std::vector<std::string> served;  // the upper ones come first
  for (const auto& listed : nodes_of(domain, doing)) {
    const auto name = listed.value("node-name", "");
    known.insert(name);
    if (node_called(name, "nbd")) served.push_back(name);
    const auto node = node_called(name, "disk");
    if (!node) continue;
    if (node->of_image >= files.size()) throw Error(doing + ": the image has no file for " + name);
    disks[node->disk].insert({node->layer, {*node, listed.value("drv", "")}});
  }
  // An earlier try may have come half-way.
  const auto add_if_new = [&](const json& node) {
    if (!known.contains(node.at("node-name"))) add_node(domain, node, doing);
  };
  const auto put_files_below = [&](const std::string& disk, const auto& chain) {
    std::string below;
    for (const auto& [layer, found] : chain) {
      const auto& [node, format] = found;
      add_if_new({{"node-name", node.called("file")},
                  {"driver", "file"},
                  {"read-only", true},
                  {"filename", files[node.of_image].string()}});
      add_if_new(format_node(node.called("local"), format, node.called("file"), below));
      below = node.called("local");
    }
    put_below(domain, disk, below, doing);
  };
  for (const auto& [disk, chain] : disks) {
    // The topmost layer goes first: if it is gone, the disk has its files, and only the rest has to go.
    if (chain.contains(0)) put_files_below(disk, chain);
    for (auto top = chain.rbegin(); top != chain.rend(); ++top)
      drop_node(domain, top->second.first.called("disk"), doing);
  }
  for (const auto& name : served) drop_node(domain, name, doing);
}

}  // namespace sarde
