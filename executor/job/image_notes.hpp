#pragma once

#include "core/foundation/reporter.hpp"
#include "core/image/store/stored_image.hpp"

namespace sarde {

/// Names, under -v, the layers that were skipped because their type is not known (vm_layers()).
void note_skipped_layers(const StoredImage& image, Reporter& reporter);

}  // namespace sarde
