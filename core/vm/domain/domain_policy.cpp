#include "core/vm/domain/domain_policy.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/image_domain.hpp"
#include "core/vm/domain/image_parts.hpp"
#include "core/vm/domain/refused_table.hpp"
#include "core/vm/domain/vocabulary.hpp"
#include "core/vm/domain/xml_text.hpp"

namespace sarde {

using pugi::xml_node;

namespace {

/// What `where` of a condition names; "" where it is not there.
std::string value_at(const xml_node& element, std::string_view where, bool& is_there) {
  auto at = element;
  for (const auto& step : split(where, '/')) {
    if (step.starts_with('@')) {
      const auto found = at.attribute(step.c_str() + 1);
      is_there = !found.empty();
      return found.value();
    }
    if (step == "text()") break;
    at = at.child(step.c_str());
  }
  is_there = !at.empty();
  return trimmed(at.text().as_string());
}

bool holds(const Condition& condition, const xml_node& element) {
  bool is_there = false;
  const auto value = value_at(element, condition.where, is_there);
  switch (condition.is) {
    case Is::present:
      return is_there;
    case Is::among:
      return passes(value, condition.words);
    case Is::not_among:
      return !passes(value, condition.words);
  }
  return true;
}

bool applies(const Refused& row, const xml_node& element) {
  return std::ranges::all_of(row.conditions,
                             [&](const Condition& condition) { return holds(condition, element); });
}

class Judge {
 public:
  explicit Judge(const std::vector<std::string>& allowed) : allowed_(allowed) {
    for (const auto& row : refused_table()) rows_[std::string(row.path)].push_back(&row);
  }

  std::vector<DomainElement> judge(const pugi::xml_document& document) {
    judge_children(document.document_element(), "");
    return std::move(refused_);
  }

 private:
  void refuse(const std::string& path, const std::string& why) {
    constexpr std::size_t enough = 20;  // for a message
    if (refused_.size() < enough && known_.insert(path).second) refused_.push_back({path, why});
  }

  /// The depth of the tree is bounded: parse_domain_text().
  void judge_children(const xml_node& parent, const std::string& path) {
    for (const auto& child : parent.children()) {
      const std::string name = child.name();
      if (child.type() != pugi::node_element || name == "metadata") continue;  // dropped whole
      const auto here = path.empty() ? name : path + "/" + name;
      if (name.find(':') != std::string::npos) {
        refuse(here, "would hand something to the hypervisor that libvirt does not check");
        continue;
      }
      judge_by(rows_.find("*/" + name), child, here);
      if (path != "devices" || std::ranges::find(allowed_, name) == allowed_.end()) {
        judge_by(rows_.find(here), child, here);
        if (here == "devices/disk") judge_disk(child, here);
      }
      judge_children(child, here);
    }
  }

  using Rows = std::map<std::string, std::vector<const Refused*>, std::less<>>;

  void judge_by(Rows::const_iterator rows, const xml_node& element, const std::string& path) {
    if (rows == rows_.end()) return;
    for (const auto* row : rows->second)
      if (applies(*row, element))
        refuse(row->child.empty() ? path : path + "/" + std::string(row->child), with_type(*row, element));
  }

  /// A refusal for its type says which.
  static std::string with_type(const Refused& row, const xml_node& element) {
    const bool is_about_type =
        std::ranges::any_of(row.conditions, [](const Condition& one) { return one.where == "@type"; });
    const auto type = attribute(element, "type");
    return is_about_type && !type.empty() ? "(type " + quote(type) + ") " + std::string(row.why)
                                          : std::string(row.why);
  }

  void judge_disk(const xml_node& disk, const std::string& path) {
    const auto source = disk.child("source");
    const auto type = attribute(disk, "type");
    const bool is_empty = source.attributes().empty() && !source.first_child();
    if (type != "file" && !(is_empty && type == "block"))
      refuse(path, "is of type " + quote(type) + ", which is no file of the image");
    if (attribute(source, "file").find('/') != std::string::npos)
      refuse(path + "/source", "is a path, not a file of the image");
  }

  const std::vector<std::string>& allowed_;
  Rows rows_;
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

void refuse_other_hypervisors(std::string_view xml) {
  pugi::xml_document document;
  parse_domain_text(document, xml, "the VM's definition", XmlOrigin::own);
  refuse_other_hypervisors(document.document_element());
}

void refuse_what_no_job_may_have(std::string_view image_xml, const std::vector<std::string>& allowed) {
  pugi::xml_document document;
  parse_domain_text(document, image_xml, "the image's domain");
  refuse_other_hypervisors(document.document_element());
  const auto refused = Judge(allowed).judge(document);
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
