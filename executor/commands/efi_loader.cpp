#include "executor/commands/efi_loader.hpp"

#include <cstdint>
#include <optional>

#include "core/foundation/error.hpp"
#include "core/system/files.hpp"
#include "core/system/subprocess.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t sector = 512;
constexpr std::size_t first_sectors = 34;  ///< MBR, GPT's header and its 128 entries

/// In bytes.
struct Stretch {
  std::uint64_t start = 0;
  std::uint64_t length = 0;
};

std::uint64_t number_at(const std::string& bytes, std::size_t offset, std::size_t length) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < length; ++i)
    number |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes.at(offset + i))) << (8 * i);
  return number;
}

/// The EFI system partition in a GUID partition table (UEFI specification, "GPT Partition Entry Array").
std::optional<Stretch> in_gpt(const std::string& head) {
  const std::string system_partition("\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b", 16);
  constexpr std::size_t entry = 128;
  for (auto at = 2 * sector; at + entry <= head.size(); at += entry) {
    if (head.compare(at, system_partition.size(), system_partition) != 0) continue;
    const auto first = number_at(head, at + 32, 8);
    const auto last = number_at(head, at + 40, 8);
    if (last >= first) return Stretch{.start = first * sector, .length = (last - first + 1) * sector};
  }
  return std::nullopt;
}

std::optional<Stretch> in_mbr(const std::string& head) {
  constexpr std::size_t table = 446;
  constexpr std::size_t entry = 16;
  constexpr char system_partition = '\xef';
  for (auto at = table; at < table + 4 * entry; at += entry)
    if (head.at(at + 4) == system_partition)
      return Stretch{.start = number_at(head, at + 8, 4) * sector,
                     .length = number_at(head, at + 12, 4) * sector};
  return std::nullopt;
}

class DiskReader {
 public:
  DiskReader(const CommandTools& tools, fs::path disk, std::string format)
      : tools_(tools), disk_(std::move(disk)), format_(std::move(format)) {}

  /// A part of the disk, as the guest sees it, in a file. (QEMU up to 7 counts `count` from the disk's start;
  /// where it counts from `skip`, the file has more than was wanted behind it.)
  bool copy(const Stretch& part, const fs::path& into) const {
    constexpr std::uint64_t large = 1U << 20U;
    const bool is_aligned = part.start % large == 0 && part.length % large == 0;
    const auto block = is_aligned ? large : sector;
    return run({"qemu-img", "dd", "-f", format_, "-O", "raw", "bs=" + std::to_string(block),
                "skip=" + std::to_string(part.start / block),
                "count=" + std::to_string((part.start + part.length) / block),
                "if=" + fs::absolute(disk_).string(), "of=" + fs::absolute(into).string()});
  }

  [[nodiscard]] bool run(const std::vector<std::string>& argv) const {
    constexpr std::chrono::minutes long_enough(5);
    return run_program({.argv = argv, .environment = tools_.helpers},
                       {.clock = tools_.clock,
                        .cancellation = tools_.cancellation,
                        .deadline = tools_.clock.now() + long_enough})
        .succeeded();
  }

 private:
  const CommandTools& tools_;
  fs::path disk_;
  std::string format_;
};

}  // namespace

RemovableLoader look_for_removable_loader(const CommandTools& tools, const fs::path& disk,
                                          const std::string& format) {
  const DiskReader reader(tools, disk, format);
  make_folders(tools.images.unpacked.folder(), 0700);
  const auto folder = TempFolder::in(tools.images.unpacked.folder(), ".incoming-esp-", 0700);
  try {
    const auto head_file = folder.path() / "head";
    if (!reader.copy({.start = 0, .length = first_sectors * sector}, head_file))
      return RemovableLoader::unknown;
    const auto head = read_file(head_file);
    if (head.size() < first_sectors * sector || head.compare(510, 2, "\x55\xaa") != 0)
      return RemovableLoader::unknown;
    const auto found = head.compare(sector, 8, "EFI PART") == 0 ? in_gpt(head) : in_mbr(head);
    if (!found) return RemovableLoader::absent;
    constexpr std::uint64_t largest = 4ULL << 30U;
    if (found->length == 0 || found->length > largest) return RemovableLoader::unknown;
    const auto partition = folder.path() / "esp";
    if (!reader.copy(*found, partition)) return RemovableLoader::unknown;
    if (!reader.run({"mdir", "-b", "-i", partition.string(), "::/"})) return RemovableLoader::unknown;
    return reader.run({"mdir", "-b", "-i", partition.string(), "::/EFI/BOOT"}) ? RemovableLoader::present
                                                                               : RemovableLoader::absent;
  } catch (const Error&) {
    return RemovableLoader::unknown;  // qemu-img or mtools is not there
  }
}

}  // namespace sarde
