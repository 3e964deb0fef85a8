#include "core/vm/domain/carried.hpp"

#include <map>
#include <string_view>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

using pugi::xml_node;

namespace {

constexpr std::size_t longest_text = 1000;

/// Words that do not pass are left out; numbers that do not are an attack, or a fault to be told.
void copy_attributes(const xml_node& from, xml_node to, const Carried& row, std::string_view path) {
  for (const auto& [name, check] : row.attributes) {
    const auto value = from.attribute(std::string(name).c_str());
    if (!value) continue;
    std::string text = value.value();
    if (check == any_text) {
      text = printable_line(text, longest_text);
    } else if (!passes(text, check)) {
      if (!check.starts_with('#')) continue;
      throw Error(Blame::job, "the image's domain has " + quote(text) + " as the " + std::string(name) +
                                  " of <" + std::string(path) + ">");
    }
    to.append_attribute(std::string(name).c_str()).set_value(text.c_str());
  }
}

/// An element whose kind (its first attribute in the table) is none of those listed goes as a whole; so does
/// one whose text is.
bool is_wanted(const xml_node& node, const Carried& row) {
  if (!row.attributes.empty()) {
    const auto& kind = row.attributes.front();
    const auto value = node.attribute(std::string(kind.name).c_str());
    if (value && !kind.check.starts_with('#') && !passes(value.value(), kind.check)) return false;
  }
  const auto text = trimmed(node.text().as_string());
  return row.text.empty() || text.empty() || passes(text, row.text);
}

xml_node copy_one(const xml_node& node, xml_node to, const Carried& row, std::string_view path) {
  auto own = add(to, node.name());
  copy_attributes(node, own, row, path);
  const auto text = trimmed(node.text().as_string());
  if (!row.text.empty() && !text.empty())
    own.text().set((row.text == any_text ? printable_line(text, longest_text) : text).c_str());
  return own;
}

const Carried* row_of(std::string_view path) {
  for (const auto& row : carried_table())
    if (row.path == path) return &row;
  return nullptr;
}

class Copier {
 public:
  explicit Copier(const CarryRules& rules) : rules_(rules) {
    for (const auto& row : carried_table())
      if (row.takes == Takes::both || row.takes == rules.takes) rows_.emplace(row.path, &row);
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
      if (name == "address" && path.starts_with("devices/")) {
        if (keeps_place(from)) copy_carried_address(from, to);
        continue;
      }
      const auto row = rows_.find(here);
      if (row == rows_.end() || here == "devices/disk" || !is_wanted(child, *row->second) ||
          is_bridge_to_leave(child)) {
        if (name != "alias") left_out_.insert(here);
        continue;
      }
      if (row->second->most == 1 && numbers[name] == 1) {
        left_out_.insert(here);
        continue;
      }
      check_number(here, ++numbers[name], row->second->most);
      copy_children(child, copy_one(child, to, *row->second, here), here);
    }
  }

  std::set<std::string> take_left_out() { return std::move(left_out_); }

 private:
  static bool is_bridge(const xml_node& device) {
    return std::string_view(device.name()) == "controller" && attribute(device, "type") == "pci";
  }

  [[nodiscard]] bool is_bridge_to_leave(const xml_node& device) const {
    return !rules_.pci_bridges && is_bridge(device);
  }

  /// A job's devices are placed anew, except for the bridges on the way to its network card.
  [[nodiscard]] bool keeps_place(const xml_node& device) const {
    return rules_.takes == Takes::definition || is_bridge(device);
  }

  void check_number(const std::string& path, std::size_t of_this_kind, std::size_t most) {
    constexpr std::size_t most_in_all = 1000;
    if (++copied_ > most_in_all)
      throw Error(Blame::job, "the image's domain has more than " + std::to_string(most_in_all) +
                                  " elements that a VM could keep");
    if (of_this_kind > most)
      throw Error(Blame::job,
                  "the image's domain has more than " + std::to_string(most) + " elements <" + path + ">");
  }

  CarryRules rules_;
  std::map<std::string_view, const Carried*> rows_;
  std::set<std::string> left_out_;
  std::size_t copied_ = 0;
};

}  // namespace

std::set<std::string> copy_carried(const xml_node& from, xml_node to, const CarryRules& rules) {
  Copier copier(rules);
  copier.copy_children(from, to, "");
  return copier.take_left_out();
}

void copy_carried_attributes(const xml_node& from, xml_node to, std::string_view path) {
  if (const auto* row = row_of(path)) copy_attributes(from, to, *row, path);
}

void copy_carried_child(const xml_node& from, xml_node to, const std::string& path, const char* name) {
  const auto child = from.child(name);
  const auto here = path + "/" + name;
  const auto* row = row_of(here);
  if (child && row != nullptr && is_wanted(child, *row)) copy_one(child, to, *row, here);
}

void copy_carried_address(const xml_node& from, xml_node to) {
  const auto address = from.child("address");
  if (address && is_wanted(address, carried_address()))
    copy_one(address, to, carried_address(), path_of(address));
}

}  // namespace sarde
