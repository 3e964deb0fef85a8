#include "core/image/store/boot_order.hpp"

#include <algorithm>
#include <set>

#include "core/foundation/json_reading.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

using nlohmann::json;

namespace {

constexpr std::uint64_t stretch = 16U << 20U;
constexpr std::size_t most_stretches = 20'000;  ///< a third of a TB: who reads more does not boot

std::filesystem::path file_in(const OciLayout& layout) {
  return layout.folder() / ".boot-order.json";
}

}  // namespace

BootOrder boot_order_of(const std::vector<LayerGrid>& disks, const std::vector<LayerPlace>& touched) {
  BootOrder order;
  for (const auto& [disk, layer] : touched) {
    auto& numbers = order[disks[disk].name];
    const auto first = disks[disk].start_of(layer) / stretch;
    const auto count = (disks[disk].length_of(layer) + stretch - 1) / stretch;
    for (std::uint64_t i = 0; i < count && numbers.size() < most_stretches; ++i) numbers.push_back(first + i);
  }
  return order;
}

std::vector<LayerPlace> expected_layers(const std::vector<LayerGrid>& disks, const BootOrder& order) {
  std::vector<LayerPlace> expected;
  std::set<LayerPlace> known;
  for (std::size_t disk = 0; disk < disks.size(); ++disk) {
    const auto found = order.find(disks[disk].name);
    if (found == order.end()) continue;
    for (const auto number : found->second) {
      const LayerPlace place{.disk = disk,
                             .layer = static_cast<std::size_t>(number * stretch / disks[disk].span)};
      if (place.layer < disks[disk].layers.size() && known.insert(place).second) expected.push_back(place);
    }
  }
  return expected;
}

std::string stretches_text(const std::vector<std::uint64_t>& stretches) {
  std::vector<std::string> runs;
  for (std::size_t i = 0; i < stretches.size();) {
    auto end = i + 1;
    while (end < stretches.size() && stretches[end] == stretches[end - 1] + 1) ++end;
    const auto first = std::to_string(stretches[i]);
    runs.push_back(end == i + 1 ? first : first + "-" + std::to_string(stretches[end - 1]));
    i = end;
  }
  return join(runs, ",");
}

std::vector<std::uint64_t> parse_stretches(const std::string& text) {
  constexpr std::uint64_t largest = 1U << 26U;  // of a disk of a pebibyte
  std::vector<std::uint64_t> stretches;
  for (const auto& run : split(text, ',')) {
    const auto ends = split(run, '-');
    const auto first = parse_number(ends.front());
    const auto last = ends.size() == 2 ? parse_number(ends.back()) : first;
    if (ends.size() > 2 || !first || !last || *last < *first || *last > largest) break;
    for (auto number = *first; number <= *last; ++number) {
      if (stretches.size() == most_stretches) return stretches;
      stretches.push_back(number);
    }
  }
  return stretches;
}

BootOrder read_boot_order(const OciLayout& layout) {
  try {
    const auto text = read_file_if_there(file_in(layout));
    if (!text) return {};
    return read_json(*text, "the order of a boot", Blame::host, [](const json& value) {
      BootOrder order;
      for (const auto& [name, stretches] : value.items())
        order[name] = parse_stretches(stretches.get<std::string>());
      return order;
    });
  } catch (const Error&) {
    return {};  // it is advice
  }
}

void note_boot_order(const OciLayout& layout, const BootOrder& order) {
  json value = json::object();
  for (const auto& [name, stretches] : order) value[name] = stretches_text(stretches);
  write_file(file_in(layout), value.dump(), 0600);
}

BootOrder boot_order_in(const std::vector<DiskLayers>& disks) {
  BootOrder order;
  for (const auto& disk : disks) {
    const auto name = annotated(disk.chunks.front(), annotation::disk_name);
    const auto stretches = annotated(disk.chunks.front(), annotation::disk_boot_order);
    if (name && stretches) order[*name] = parse_stretches(*stretches);
  }
  return order;
}

}  // namespace sarde
