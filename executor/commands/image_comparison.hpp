#pragma once

#include <string>

#include "core/image/store/stored_image.hpp"
#include "executor/commands/command_tools.hpp"

namespace sarde {

/// What a host that has `old` would still fetch of `image`: bytes of new and of shared layers, by disk, and a
/// drawing of each disk's layers in the order of its bytes.
std::string compare_images(const StoredImage& image, const StoredImage& old, AnswerForm form);

}  // namespace sarde
