#include "core/image/store/unpacked_image.hpp"

#include "core/foundation/text.hpp"

namespace sarde {

std::string reuse_note(const UnpackedImage& image) {
  return image.reused == 0 ? "" : ", " + size_text(image.reused) + " of it taken from images that were there";
}

std::vector<std::string> usual_folders(const Digest& config, const Digest& manifest) {
  return {config.text(), config.text() + "-for-clones", manifest.text()};
}

}  // namespace sarde
