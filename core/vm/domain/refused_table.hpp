#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "core/vm/domain/vocabulary.hpp"

namespace sarde {

// What of an image's domain is refused, as data (libvirt, formatdomain.html): domain_policy.cpp judges by
// this table, docs/guests.md is written from it. Refusing something more is a row.

enum class Is { among, not_among, present };

/// What must hold of the element. `where` is a path below it that ends in `@attribute`, in `text()`, or in an
/// element: "backend/@type", "text()", "source/slices". What is not there counts as an empty word.
struct Condition {
  std::string_view where;
  Is is = Is::present;
  Check words = {};
};

/// An element that is refused if all conditions hold (none: always).
struct Refused {
  std::string_view path;  ///< below the domain; "*/name": wherever it stands
  std::vector<Condition> conditions = {};
  std::string_view why;         ///< ends the sentence "<path> …"
  std::string_view child = {};  ///< of the element: what the message names
};

std::span<const Refused> refused_table();

}  // namespace sarde
