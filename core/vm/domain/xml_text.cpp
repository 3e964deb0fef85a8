#include "core/vm/domain/xml_text.hpp"

#include <algorithm>
#include <sstream>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

using pugi::xml_document;
using pugi::xml_node;

namespace {

constexpr std::size_t largest_domain = 1U << 20U;
constexpr std::size_t most_elements = 10'000;
constexpr int deepest = 64;
constexpr int deepest_own = 256;  // libxml2, and so libvirt, reads nothing that is deeper
constexpr std::size_t longest_name = 128;

/// Walks the tree once, without recursion.
std::string what_is_out_of_bounds(const xml_document& document, XmlOrigin origin) {
  const bool is_foreign = origin == XmlOrigin::foreign;
  int depth = 0;
  std::size_t elements = 0;
  for (auto node = document.first_child(); node;) {
    if (node.type() == pugi::node_doctype) return "it has a <!DOCTYPE>, which is not part of a domain";
    if (++elements > most_elements && is_foreign)
      return "it has more than " + std::to_string(most_elements) + " elements";
    if (std::string_view(node.name()).size() > longest_name) return "it has an element with an endless name";
    if (node.first_child()) {
      node = node.first_child();
      if (++depth > (is_foreign ? deepest : deepest_own)) return "it is nested too deeply";
      continue;
    }
    while (node && !node.next_sibling()) {
      node = node.parent();
      --depth;
    }
    node = node.next_sibling();
  }
  return "";
}

}  // namespace

void parse_domain_text(xml_document& document, std::string_view text, const std::string& what,
                       XmlOrigin origin) {
  const auto refuse = [&](const std::string& why) { throw Error(Blame::job, "read " + what + ": " + why); };
  const bool is_foreign = origin == XmlOrigin::foreign;
  if (is_foreign && text.size() > largest_domain)
    refuse("its " + size_text(text.size()) + " are too large for a domain's definition");
  const auto result = document.load_buffer(
      text.data(), text.size(), pugi::parse_default | pugi::parse_ws_pcdata_single | pugi::parse_doctype);
  if (!result) refuse(std::string("it is not valid XML: ") + result.description());
  if (const auto why = what_is_out_of_bounds(document, origin); !why.empty()) refuse(why);
  const auto domain = document.document_element();
  if (std::string_view(domain.name()) != "domain") refuse("it is not a libvirt domain");
  for (const auto* once : {"devices", "os", "features", "cpu", "clock", "metadata", "memory", "vcpu"})
    if (is_foreign && domain.child(once).next_sibling(once))
      refuse(std::string("it has two elements <") + once + ">");
}

std::string xml_text(const xml_document& document) {
  std::ostringstream text;
  document.save(text, "  ", pugi::format_default | pugi::format_no_declaration);
  return text.str();
}

std::string attribute(const xml_node& node, const char* name, const std::string& otherwise) {
  return node.attribute(name).as_string(otherwise.c_str());
}

std::string path_of(const xml_node& node) {
  std::vector<std::string> names;
  for (auto at = node; at.parent() && at.parent().type() == pugi::node_element; at = at.parent())
    names.emplace_back(at.name());
  std::ranges::reverse(names);
  return join(names, "/");
}

xml_node add(xml_node parent, const char* name,
             const std::vector<std::pair<const char*, std::string>>& attributes, const std::string& text) {
  auto node = parent.append_child(name);
  for (const auto& [key, value] : attributes) node.append_attribute(key).set_value(value.c_str());
  if (!text.empty()) node.text().set(text.c_str());
  return node;
}

}  // namespace sarde
