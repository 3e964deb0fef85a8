#pragma once

#include <string>

#include "core/image/disk_packing.hpp"
#include "core/system/clock.hpp"
#include "executor/stages/reporter.hpp"

namespace sarde {

/// A DiskProgress that says every few seconds how far `doing` is. Clock and reporter must outlive it.
DiskProgress progress_lines(std::string doing, Clock& clock, Reporter& reporter);

}  // namespace sarde
