#include "core/image/store/stored_image.hpp"

#include "core/foundation/error.hpp"

namespace sarde {

std::uint64_t StoredImage::compressed_size() const {
  std::uint64_t size = 0;
  for (const auto& disk : disks) {
    for (const auto& chunk : disk.chunks) size += chunk.size;
  }
  return size;
}

StoredImage read_stored_image(const ImageReference& reference, const OciLayout& layout,
                              const IndexEntry& entry) {
  const auto manifest = parse_manifest(layout.read_blob(entry.manifest), "the manifest");
  const auto layers = vm_layers(manifest, "the manifest");
  const auto config = parse_image_config(layout.read_blob(manifest.config), "the image config");
  const auto before_disks = 1 + layers.vm_config.size();
  if (config.diff_ids.size() != before_disks + layers.disks.size()) {
    throw Error(Blame::job, "the image config lists " + std::to_string(config.diff_ids.size()) +
                                " diff_ids for " + std::to_string(before_disks + layers.disks.size()) +
                                " files");
  }
  StoredImage image{.reference = reference,
                    .layout = layout,
                    .manifest = entry.manifest,
                    .tag = entry.tag,
                    .config_digest = manifest.config.digest,
                    .created = config.created,
                    .domain_xml = layout.read_blob(layers.domain),
                    .vm_config = {},
                    .vm_config_text = {},
                    .disks = layers.disks,
                    .disk_diff_ids = {}};
  for (const auto& blob : layers.vm_config) {
    image.vm_config_text = layout.read_blob(blob);
    image.vm_config = parse_vm_config(image.vm_config_text, "the vm config");
  }
  image.disk_diff_ids.assign(config.diff_ids.begin() + static_cast<std::ptrdiff_t>(before_disks),
                             config.diff_ids.end());
  return image;
}

}  // namespace sarde
