#pragma once

#include <set>
#include <string>

#include "core/vm/domain/xml_text.hpp"

namespace sarde {

/// Copies of a foreign domain what the table in carried.cpp has: elements, attributes and texts that it
/// lists, each of which passes its check. What is not in the table, or a word that is not in a list, is left
/// out; a number out of its range, or more elements of a kind than anybody needs, throws Error (the job's
/// fault). Disks and SCSI controllers are not copied here: they are numbered anew (disk_reading.hpp). Returns
/// the paths of the elements that were left out.
std::set<std::string> copy_carried(const pugi::xml_node& from, pugi::xml_node to);

}  // namespace sarde
