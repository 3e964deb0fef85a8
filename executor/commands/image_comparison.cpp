#include "executor/commands/image_comparison.hpp"

#include <set>

#include <nlohmann/json.hpp>

#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace {

using nlohmann::ordered_json;

struct DiskComparison {
  std::string name;
  std::vector<std::pair<std::uint64_t, bool>> layers;  ///< compressed bytes, and whether they are new
  std::uint64_t fresh = 0;                             ///< bytes
  std::uint64_t shared = 0;                            ///< bytes
};

std::set<std::string> layers_of(const StoredImage& image) {
  std::set<std::string> digests;
  for (const auto& disk : image.disks)
    for (const auto& chunk : disk.chunks) digests.insert(chunk.digest.text());
  return digests;
}

/// A layer that occurs again is fetched once: it is known from then on.
DiskComparison compare(const DiskLayers& disk, std::size_t number, std::set<std::string>& known) {
  DiskComparison result{.name = "disk " + std::to_string(number)};
  if (const auto name = annotated(disk.chunks.front(), annotation::disk_name)) result.name = *name;
  for (const auto& chunk : disk.chunks) {
    const bool is_new = known.insert(chunk.digest.text()).second;
    result.layers.emplace_back(chunk.size, is_new);
    (is_new ? result.fresh : result.shared) += chunk.size;
  }
  return result;
}

/// As many characters as a disk has layers, at most 64: # where something is new, . where all is shared.
std::string drawing(const DiskComparison& disk) {
  constexpr std::size_t longest = 64;
  const auto count = disk.layers.size();
  std::string drawn(std::min(count, longest), '.');
  for (std::size_t i = 0; i < count; ++i)
    if (disk.layers[i].second) drawn[i * drawn.size() / count] = '#';
  return "[" + drawn + "]";
}

std::size_t new_layers(const DiskComparison& disk) {
  return static_cast<std::size_t>(
      std::ranges::count_if(disk.layers, [](const auto& one) { return one.second; }));
}

std::string parts_text(std::uint64_t fresh, std::uint64_t shared) {
  return size_text(fresh) + " new, " + size_text(shared) + " shared";
}

struct Comparison {
  std::vector<DiskComparison> disks;
  std::uint64_t fresh = 0;   ///< bytes
  std::uint64_t shared = 0;  ///< bytes
};

Comparison compare(const StoredImage& image, const StoredImage& old) {
  Comparison result;
  auto known = layers_of(old);
  for (const auto& layers : image.disks) {
    const auto& disk = result.disks.emplace_back(compare(layers, result.disks.size() + 1, known));
    result.fresh += disk.fresh;
    result.shared += disk.shared;
  }
  return result;
}

std::string as_text(const StoredImage& image, const StoredImage& old, const Comparison& found) {
  std::string text = printable_line(image.reference.text() + ", for a host that has " + old.reference.text());
  for (const auto& disk : found.disks)
    text += "\n" + printable_line(disk.name) + ": " + parts_text(disk.fresh, disk.shared) + "; " +
            std::to_string(new_layers(disk)) + " of " + std::to_string(disk.layers.size()) +
            " layer(s) are new\n  " + drawing(disk);
  return text + "\nto fetch: " + parts_text(found.fresh, found.shared);
}

std::string as_json(const StoredImage& image, const StoredImage& old, const Comparison& found) {
  const auto naming = [](const StoredImage& one) {
    return ordered_json{{"name", one.reference.text()}, {"digest", one.manifest.digest.text()}};
  };
  auto answer = naming(image);
  answer["compared_with"] = naming(old);
  answer["disks"] = ordered_json::array();
  for (const auto& disk : found.disks)
    answer["disks"].push_back({{"name", disk.name},
                               {"new_size", disk.fresh},
                               {"shared_size", disk.shared},
                               {"layers", disk.layers.size()},
                               {"new_layers", new_layers(disk)}});
  answer["new_size"] = found.fresh;
  answer["shared_size"] = found.shared;
  return json_text(answer);
}

}  // namespace

std::string compare_images(const StoredImage& image, const StoredImage& old, AnswerForm form) {
  const auto found = compare(image, old);
  return form == AnswerForm::json ? as_json(image, old, found) : as_text(image, old, found);
}

}  // namespace sarde
