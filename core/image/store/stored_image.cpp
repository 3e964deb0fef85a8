#include "core/image/store/stored_image.hpp"

#include <algorithm>

#include "core/foundation/error.hpp"

namespace sarde {

bool StoredImage::has_packed_disks() const {
  return std::ranges::all_of(disks, [&](const DiskLayers& disk) { return layout.names_all(disk.chunks); });
}

ImageReference StoredImage::cached_name() const {
  const bool has_tag = !tag.empty() && !Digest::parse(tag);
  return has_tag ? ImageReference::parse(reference.repository() + ":" + tag)
                 : reference.with_digest(manifest.digest);
}

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
  StoredImage image{.reference = reference,
                    .layout = layout,
                    .manifest = entry.manifest,
                    .tag = entry.tag,
                    .config_digest = manifest.config.digest,
                    .created = config.created,
                    .domain_xml = layout.read_blob(layers.domain),
                    .vm_config = {},
                    .vm_config_text = {},
                    .uefi_variables = layers.uefi_variables,
                    .unknown_layers = layers.unknown,
                    .disks = layers.disks,
                    .disk_diff_ids = disk_diff_ids(layers, config)};
  if (const auto found = layers.domain.annotations.find(annotation::guest_setup);
      found != layers.domain.annotations.end())
    image.guest_setup = found->second;
  for (const auto& blob : layers.vm_config) {
    image.vm_config_text = layout.read_blob(blob);
    image.vm_config = parse_vm_config(image.vm_config_text, "the vm config");
  }
  return image;
}

}  // namespace sarde
