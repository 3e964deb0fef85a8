#pragma once

#include <filesystem>

#include "core/system/process_identity.hpp"

namespace sarde {

// A companion is a helper process that outlives the stage which started it (it has its own session and none
// of our descriptors) and belongs to one job. Who it is stands in a file of ours, in a folder to which it
// cannot write: its number alone would later name another process, and what the helper itself writes down
// proves nothing.

/// Notes the process in `record`. Throws Error.
void note_companion(const std::filesystem::path& record, const ProcessIdentity& process);

/// Ends the process that `record` notes: SIGTERM, then SIGKILL. Blocks until it is gone, for three seconds at
/// most. Does nothing if there is no record, or if the process has ended and its number is another's. Throws
/// Error if it does not end.
void end_companion(const std::filesystem::path& record);

}  // namespace sarde
