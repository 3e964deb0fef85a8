#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/system/process_identity.hpp"

namespace sarde {

// A companion is a helper process that outlives the stage which started it (it has its own session and none
// of our descriptors but those that it is given) and belongs to one job, or to one image. Who it is stands in
// a file of ours, in a folder to which it cannot write: its number alone would later name another process,
// and what the helper itself writes down proves nothing.

/// Starts this same program under the name and with the argument given, as a companion whose descriptors from
/// 3 on are `files`, and which has this environment and nothing else of ours. It is noted in `record` before
/// it does anything; if this process is killed first, it ends. Throws Error.
void start_self(const std::string& name, const std::string& argument, const std::vector<int>& files,
                const std::vector<std::pair<std::string, std::string>>& environment,
                const std::filesystem::path& record);

/// Notes the process in `record`. Throws Error.
void note_companion(const std::filesystem::path& record, const ProcessIdentity& process);

/// Ends the process that `record` notes: SIGTERM, then SIGKILL. Blocks until it is gone, for three seconds at
/// most. Does nothing if there is no record, or if the process has ended and its number is another's. Throws
/// Error if it does not end.
void end_companion(const std::filesystem::path& record);

}  // namespace sarde
