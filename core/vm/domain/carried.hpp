#pragma once

#include <set>
#include <string>

#include "core/vm/domain/carried_table.hpp"
#include "core/vm/domain/xml_text.hpp"

namespace sarde {

/// Whose domain is written, and which of the image's devices keep their places in the guest.
struct CarryRules {
  Takes takes = Takes::definition;
  bool pci_bridges = true;  ///< does a job's VM take them, with their places?
};

/// Copies of a foreign domain what carried_table() has: elements, attributes and texts that it lists, each of
/// which passes its check. What is not in the table, or a word that is not in a list, is left out; a number
/// out of its range, or more elements of a kind than anybody needs, throws Error (the job's fault). Disks,
/// SCSI controllers and a job's network card are not copied here: they are written anew. Returns the paths of
/// the elements that were left out.
std::set<std::string> copy_carried(const pugi::xml_node& from, pugi::xml_node to, const CarryRules& rules);

/// Copies the attributes that the table lists for `path`.
void copy_carried_attributes(const pugi::xml_node& from, pugi::xml_node to, std::string_view path);

/// Copies the child `name` of the element `path`, without what is below it, if the table lists it and its
/// text passes.
void copy_carried_child(const pugi::xml_node& from, pugi::xml_node to, const std::string& path,
                        const char* name);

/// Copies where a device is in the guest, if it has such a place.
void copy_carried_address(const pugi::xml_node& from, pugi::xml_node to);

}  // namespace sarde
