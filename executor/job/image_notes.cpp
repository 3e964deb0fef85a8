#include "executor/job/image_notes.hpp"

#include "core/foundation/text.hpp"

namespace sarde {

void note_skipped_layers(const StoredImage& image, Reporter& reporter) {
  for (const auto& layer : image.unknown_layers)
    reporter.detail("Skipped a layer of the unknown type " + quote(layer.media_type) +
                    "; a newer version of this program may know it");
}

}  // namespace sarde
