#pragma once

#include <filesystem>

#include "core/foundation/reporter.hpp"

namespace sarde {

/// Shows the last lines that a VM wrote to its serial console, each as a warning.
void show_console(const std::filesystem::path& log, Reporter& reporter);

}  // namespace sarde
