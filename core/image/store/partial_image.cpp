#include "core/image/store/partial_image.hpp"

#include <algorithm>
#include <fcntl.h>
#include <unistd.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/qcow2_header.hpp"
#include "core/system/files.hpp"
#include "core/system/process_identity.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

// Names that no disk can have.
constexpr auto list_name = ".layers";  ///< a line for each layer: its disk, and its place in that
/// The manifest's digest, the boot of the machine, the config's digest, and private_to, a line each.
constexpr auto mark_name = ".image";
constexpr auto taken_name = ".taken";  ///< is there if layers were taken from other files

}  // namespace

std::optional<std::vector<LayerGrid>> layer_grids(const std::vector<DiskLayers>& disks) {
  std::vector<LayerGrid> grids;
  for (const auto& disk : disks) {
    auto grid = layer_grid(disk);
    const bool is_usable = grid && std::ranges::find(grids, grid->name, &LayerGrid::name) == grids.end();
    if (!is_usable) return std::nullopt;
    grids.push_back(std::move(*grid));
  }
  return grids;
}

fs::path PartialImage::folder_of(const fs::path& vmdir, const Digest& manifest) {
  constexpr std::size_t enough = 16;
  return vmdir / (std::string(partial_prefix) + manifest.hex().substr(0, enough));
}

std::optional<PartialImage::Owner> PartialImage::owner_of(const fs::path& folder) {
  const auto lines = split(read_file_if_there(folder / mark_name).value_or(""), '\n');
  constexpr std::size_t all = 4;
  if (lines.size() < all || !Digest::parse(lines[0]) || !Digest::parse(lines[2])) return std::nullopt;
  return Owner{.manifest = lines[0],
               .config = lines[2],
               .private_to = lines[3],
               .is_lost = lines[1].empty() || lines[1] != boot_id()};
}

bool PartialImage::is_there(const fs::path& vmdir, const Digest& manifest) {
  const auto owner = owner_of(folder_of(vmdir, manifest));
  return owner && owner->manifest == manifest.text() && !owner->is_lost;
}

bool PartialImage::is_there_for(const std::string& repository, const fs::path& vmdir,
                                const Digest& manifest) {
  const auto owner = owner_of(folder_of(vmdir, manifest));
  return is_there(vmdir, manifest) && (owner->private_to.empty() || owner->private_to == repository);
}

void PartialImage::remove(const fs::path& vmdir, const Digest& manifest) {
  remove_if_there(folder_of(vmdir, manifest));
}

PartialImage PartialImage::open(const fs::path& vmdir, const Owner& owner, std::vector<LayerGrid> disks) {
  const auto manifest = Digest::parse(owner.manifest).value();
  PartialImage image(folder_of(vmdir, manifest), std::move(disks));
  const auto& folder = image.folder_;
  if (!is_there(vmdir, manifest)) {
    remove_if_there(folder);
    make_folders(folder, 0700);
    for (std::size_t i = 0; i < image.disks_.size(); ++i)
      make_sparse_file(image.file(i), image.disks_[i].size);
    write_file(folder / mark_name, join({owner.manifest, boot_id(), owner.config, owner.private_to, ""}, "\n"), 0600);
  }
  for (std::size_t i = 0; i < image.disks_.size(); ++i) {
    const auto path = image.file(i);
    image.fds_.emplace_back(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
    if (!image.fds_.back()) fail_by_errno("open", path);
    if (size_of(path) != image.disks_[i].size) throw Error("open " + path.string() + ": it has another size");
  }
  image.read_list();
  return image;
}

void PartialImage::read_list() {
  // A line that was cut off names no layer, or one that is not there: then it is brought again.
  for (const auto& line : split(read_file_if_there(folder_ / list_name).value_or(""), '\n')) {
    const auto words = split(line, ' ');
    if (words.size() != 3 || words[2] != ".") continue;
    const auto disk = parse_number(words[0]);
    const auto layer = parse_number(words[1]);
    if (disk && layer && *disk < disks_.size() && *layer < disks_[*disk].layers.size())
      there_.insert({.disk = *disk, .layer = *layer});
  }
}

std::vector<LayerPlace> PartialImage::missing() const {
  std::vector<LayerPlace> missing;
  for (std::size_t disk = 0; disk < disks_.size(); ++disk) {
    for (std::size_t layer = 0; layer < disks_[disk].layers.size(); ++layer) {
      const LayerPlace place{.disk = disk, .layer = layer};
      if (!has(place)) missing.push_back(place);
    }
  }
  return missing;
}

std::vector<LayerPlace> PartialImage::layers_with(std::size_t disk, std::uint64_t at,
                                                  std::uint64_t length) const {
  std::vector<LayerPlace> layers;
  const auto& grid = disks_[disk];
  const auto end = at + std::min(length, grid.size - std::min(at, grid.size));
  for (auto layer = static_cast<std::size_t>(at / grid.span); at < end; at = grid.start_of(++layer))
    layers.push_back({.disk = disk, .layer = layer});
  return layers;
}

void PartialImage::bring(LayerPlace place, BlobSource& blobs, unsigned threads, Cancellation& cancellation) {
  if (has(place)) return;
  unpack_layer(blobs, disks_[place.disk], place.layer,
               {.fd = fd(place.disk), .path = file(place.disk).string()}, threads, cancellation);
  note(place);
}

void PartialImage::note(LayerPlace place) {
  const auto list = folder_ / list_name;
  const UniqueFd fd(::open(list.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) fail_by_errno("write", list);
  const auto line = "\n" + std::to_string(place.disk) + " " + std::to_string(place.layer) + " .";
  write_full(fd.get(), line.data(), line.size(), list.string());
  there_.insert(place);
}

void PartialImage::take(const KnownSpans& known, Cancellation& cancellation) {
  for (const auto place : missing()) {
    const auto& disk = disks_[place.disk];
    const auto found = known.find(disk.layers[place.layer].digest.text());
    const bool fits = found != known.end() && found->second.at == disk.start_of(place.layer) &&
                      found->second.length == disk.length_of(place.layer);
    if (!fits) continue;
    write_file(folder_ / taken_name, "", 0600);
    if (copy_stretch(found->second, {.fd = fd(place.disk), .path = file(place.disk).string()}, cancellation))
      note(place);
  }
}

bool PartialImage::has_taken() const {
  std::error_code ignored;
  return fs::exists(folder_ / taken_name, ignored);
}

void PartialImage::bring_tables(std::size_t disk, BlobSource& blobs, unsigned threads,
                                Cancellation& cancellation) {
  const auto bring_all = [&](std::uint64_t at, std::uint64_t length) {
    for (const auto place : layers_with(disk, at, length)) bring(place, blobs, threads, cancellation);
  };
  bring_all(0, 1);
  const auto header = read_qcow2_header(file(disk));
  if (!header) return;
  for (const auto& table : header->tables) bring_all(table.at, table.length);
}

}  // namespace sarde
