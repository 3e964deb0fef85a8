#pragma once

#include "tests/fuzz/must.hpp"

namespace sarde::fuzz {

/// A disk's gzip stream, through the importer.
void gzip(Input bytes);

/// The same with a stream that the input describes: members of each kind, cut into layers, damaged or whole.
void disk(Input bytes);

void qcow2(Input bytes);
void settings(Input bytes);
void ini(Input bytes);

}  // namespace sarde::fuzz
