#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "core/vm/domain/vocabulary.hpp"

namespace sarde {

// What a VM gets of its image's domain (libvirt, formatdomain.html), as data: carried.cpp copies by this
// table, docs/guests.md is written from it. Adding "carry X" is a row.

/// Whose domain takes the element: a job's VM, one that `import`, `pull` or `clone` defines, or both.
enum class Takes { both, job, definition };

struct CarriedAttribute {
  std::string_view name;
  Check check;
};

/// An element below the domain by its path, its attributes, and what its text must be (empty: none is taken).
/// An element whose kind (its first attribute) is none of the words listed goes as a whole.
struct Carried {
  std::string_view path;
  std::vector<CarriedAttribute> attributes = {};
  Check text = {};
  Takes takes = Takes::both;
  unsigned most = 64;  ///< of a kind that a VM can have one of, the first is taken
};

std::span<const Carried> carried_table();

/// Where a device is in the guest. A job's VM takes the places of its network card and of the PCI bridges
/// that lead to it, for they make the card's name (ens5); all else is placed anew.
const Carried& carried_address();

}  // namespace sarde
