#include "core/image/store/partial_image.hpp"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/foundation/bytes.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/qcow2_format.hpp"
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

namespace {

/// Of what is there, and can be gone on with.
std::optional<PartialImage::Owner> usable_owner(const fs::path& vmdir, const Digest& manifest) {
  auto owner = PartialImage::owner_of(PartialImage::folder_of(vmdir, manifest));
  return owner && owner->manifest == manifest.text() && !owner->is_lost ? owner : std::nullopt;
}

}  // namespace

bool PartialImage::is_there(const fs::path& vmdir, const Digest& manifest) {
  return usable_owner(vmdir, manifest).has_value();
}

bool PartialImage::is_there_for(const std::string& repository, const fs::path& vmdir,
                                const Digest& manifest) {
  const auto owner = usable_owner(vmdir, manifest);
  return owner && (owner->private_to.empty() || owner->private_to == repository);
}

bool PartialImage::has_become_whole(const fs::path& folder) {
  const auto name = folder.filename().string();
  if (!name.starts_with(partial_prefix)) return false;
  const auto whole = "sha256:" + name.substr(std::string_view(partial_prefix).size());
  return std::ranges::any_of(folder_entries(folder.parent_path()), [&](const fs::path& entry) {
    return entry.filename().string().starts_with(whole);
  });
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
    write_file(folder / mark_name,
               join({owner.manifest, boot_id(), owner.config, owner.private_to, ""}, "\n"), 0600);
  }
  image.open_files();
  return image;
}

PartialImage PartialImage::existing(const fs::path& vmdir, const Digest& manifest,
                                    std::vector<LayerGrid> disks) {
  PartialImage image(folder_of(vmdir, manifest), std::move(disks));
  if (!is_there(vmdir, manifest)) throw Error(image.folder_.string() + " does not hold the image's disks");
  image.open_files();
  return image;
}

namespace {

std::set<LayerPlace> listed_in(const fs::path& folder, const std::vector<LayerGrid>& disks) {
  // A line that was cut off names no layer, or one that is not there: then it is brought again.
  std::set<LayerPlace> layers;
  for (const auto& line : split(read_file_if_there(folder / list_name).value_or(""), '\n')) {
    const auto words = split(line, ' ');
    if (words.size() != 3 || words[2] != ".") continue;
    const auto disk = parse_number(words[0]);
    const auto layer = parse_number(words[1]);
    if (disk && layer && *disk < disks.size() && *layer < disks[*disk].layers.size())
      layers.insert({.disk = *disk, .layer = *layer});
  }
  return layers;
}

}  // namespace

bool PartialImage::has_all_layers(const fs::path& folder, const std::vector<LayerGrid>& disks) {
  std::size_t all = 0;
  for (const auto& disk : disks) all += disk.layers.size();
  return listed_in(folder, disks).size() == all;
}

void PartialImage::open_files() {
  for (std::size_t i = 0; i < disks_.size(); ++i) {
    const auto path = file(i);
    const auto open = [&] { return ::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC); };
    fds_.emplace_back(open());
    // Somebody was killed who was about to give it to all VMs, for reading only.
    if (!fds_.back() && errno == EACCES && ::chmod(path.c_str(), 0600) == 0) fds_.back().reset(open());
    if (!fds_.back()) fail_by_errno("open", path);
    if (size_of(path) != disks_[i].size) throw Error("open " + path.string() + ": it has another size");
  }
  there_ = listed_in(folder_, disks_);
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
  append_line(folder_ / list_name, std::to_string(place.disk) + " " + std::to_string(place.layer) + " .");
  there_.insert(place);
}

void PartialImage::take(const KnownSpans& known, Cancellation& cancellation) {
  for (const auto place : missing()) {
    const auto& disk = disks_[place.disk];
    const auto found = known.find(disk.layers[place.layer].digest.text());
    const bool fits = found != known.end() && found->second.at == disk.start_of(place.layer) &&
                      found->second.length == disk.length_of(place.layer);
    if (fits &&
        copy_stretch(found->second, {.fd = fd(place.disk), .path = file(place.disk).string()}, cancellation))
      note(place);
  }
}

void PartialImage::bring_tables(std::size_t disk, BlobSource& blobs, unsigned threads,
                                Cancellation& cancellation) {
  const auto bring_all = [&](std::uint64_t at, std::uint64_t length) {
    for (const auto place : layers_with(disk, at, length)) bring(place, blobs, threads, cancellation);
  };
  bring_all(0, 1);
  const auto path = file(disk).string();
  Bytes first(std::min<std::uint64_t>(disks_[disk].size, qcow2::largest_header));
  if (::pread(fd(disk), first.data(), first.size(), 0) != static_cast<ssize_t>(first.size()))
    fail_by_errno("read", path);
  const auto header = parse_qcow2_header(first, path);
  if (!header) return;
  if (header->has_lists) return bring_all(0, UINT64_MAX);
  for (const auto& table : header->tables) bring_all(table.at, table.length);
}

}  // namespace sarde
