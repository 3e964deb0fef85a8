#include "core/vm/domain/disk_files.hpp"

namespace sarde {

using pugi::xml_node;

namespace {

xml_node add_source(xml_node parent, const std::filesystem::path& path, DiskOwnership ownership) {
  auto source = add(parent, "source", {{"file", path.string()}});
  if (ownership == DiskOwnership::shared) add(source, "seclabel", {{"model", "dac"}, {"relabel", "no"}});
  return source;
}

}  // namespace

void write_disk_source(xml_node disk, const DiskFile& file) {
  add_source(disk, file.path, file.ownership);
  auto parent = disk;
  for (const auto& below : file.backing) {
    parent = add(parent, "backingStore", {{"type", "file"}});
    add(parent, "format", {{"type", below.format}});
    add_source(parent, below.path, DiskOwnership::shared);
  }
  add(parent, "backingStore");  // an empty one ends the chain: libvirt looks no further
}

}  // namespace sarde
