#pragma once

#include <filesystem>

#include "core/vm/qemu_account.hpp"

namespace sarde {

/// Throws Error, with what to do, if a folder on the way down to `folder` (not that folder itself) is one
/// that QEMU's account cannot enter. As root, a child process becomes the account and tries; otherwise the
/// folders' modes decide. `setting`: the option that names the folder.
void require_passage(const std::filesystem::path& folder, const char* setting, const QemuAccount& account);

}  // namespace sarde
