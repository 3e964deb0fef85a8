#pragma once

#include <pugixml.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sarde {

// What the files of this folder share in reading and writing XML; nobody else sees pugixml.

/// Who wrote a domain's XML: somebody whose image it is, or this host's libvirt or administrator.
enum class XmlOrigin { foreign, own };

/// Parses a domain. Its depth and the length of its elements' names (128 bytes) are bounded before anything
/// else reads it, without recursion, so what reads it afterwards takes time and memory in proportion to the
/// text. A foreign one may have 1 MiB, 10,000 elements and a depth of 64, and nothing twice that can be there
/// once. Throws Error (the job's fault) naming `what`.
void parse_domain_text(pugi::xml_document& document, std::string_view text, const std::string& what,
                       XmlOrigin origin = XmlOrigin::foreign);

std::string xml_text(const pugi::xml_document& document);

/// Empty where there is none.
std::string attribute(const pugi::xml_node& node, const char* name, const std::string& otherwise = "");

/// The path of an element below the domain, as messages name it: devices/hostdev.
std::string path_of(const pugi::xml_node& node);

/// Appends an element.
pugi::xml_node add(pugi::xml_node parent, const char* name,
                   const std::vector<std::pair<const char*, std::string>>& attributes = {},
                   const std::string& text = "");

}  // namespace sarde
