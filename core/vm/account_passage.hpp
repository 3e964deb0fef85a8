#pragma once

#include <filesystem>
#include <optional>

#include "core/vm/qemu_account.hpp"

namespace sarde {

/// The first folder on the way down to `folder` (not that folder itself) that this account cannot enter;
/// nothing if it can enter all. As root, a child process becomes the account and tries; otherwise the
/// folders' modes decide. Throws Error.
std::optional<std::filesystem::path> barring_folder(const std::filesystem::path& folder,
                                                    const QemuAccount& account);

/// Throws Error, with what to do, if QEMU's account cannot get to this folder. `setting`: the option that
/// names the folder.
void require_passage(const std::filesystem::path& folder, const char* setting, const QemuAccount& account);

}  // namespace sarde
