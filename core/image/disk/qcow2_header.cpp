#include "core/image/disk/qcow2_header.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <unistd.h>

#include "core/foundation/bytes.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

constexpr std::size_t largest_header = 64U << 10U;
constexpr std::size_t longest_name = 1023;
constexpr std::uint64_t incompatible_external_data = 4;
constexpr std::uint32_t extension_end = 0;
constexpr std::uint32_t extension_backing_format = 0xe2792aca;
constexpr std::uint32_t extension_encryption = 0x0537be77;
constexpr std::uint32_t extension_bitmaps = 0x23852875;

/// Big-endian fields at fixed places, checked against the end.
class Fields {
 public:
  Fields(std::span<const unsigned char> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  [[nodiscard]] std::uint64_t number(std::uint64_t at, std::size_t size) const {
    std::uint64_t value = 0;
    for (const auto byte : part(at, size)) value = value << 8U | byte;
    return value;
  }

  [[nodiscard]] std::string text(std::uint64_t at, std::size_t size) const {
    const auto bytes = part(at, size);
    return {bytes.begin(), bytes.end()};
  }

 private:
  [[nodiscard]] std::span<const unsigned char> part(std::uint64_t at, std::size_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at)
      throw Error(Blame::job, "read the qcow2 header of " + name_ + ": it is cut short");
    return bytes_.subspan(static_cast<std::size_t>(at), size);
  }

  std::span<const unsigned char> bytes_;
  const std::string& name_;
};

struct Extensions {
  std::optional<std::string> backing_format;
  std::uint64_t end = 0;  ///< where something else may begin
  bool is_odd = false;    ///< one is longer than there is room, or not what QEMU takes of its kind
};

/// What QEMU takes for the list of bitmaps (docs/interop/qcow2.txt, block/qcow2-bitmap.c).
bool are_bitmaps(const Fields& fields, std::uint64_t at, std::uint64_t length) {
  constexpr std::uint64_t whole = 24;
  constexpr std::uint64_t most = 65535;
  constexpr std::uint64_t longest_list = most * 1024;
  if (length != whole) return false;
  const auto count = fields.number(at, 4);
  const auto list_size = fields.number(at + 8, 8);
  const auto list_at = fields.number(at + 16, 8);
  const auto cluster_size = std::uint64_t{1} << fields.number(20, 4);
  return count >= 1 && count <= most && fields.number(at + 4, 4) == 0 && list_size != 0 &&
         list_size <= longest_list && list_at != 0 && list_at % cluster_size == 0;
}

/// From `at` up to `limit`, where the backing file's name begins, as QEMU reads them.
Extensions extensions_in(const Fields& fields, std::uint64_t at, std::uint64_t limit) {
  Extensions found;
  constexpr std::size_t longest_format = 15;
  while (at < limit) {
    const auto type = fields.number(at, 4);
    const auto length = static_cast<std::size_t>(fields.number(at + 4, 4));
    if (type == extension_end) break;
    const bool is_format = type == extension_backing_format;
    found.is_odd = length > limit - std::min(limit, at + 8) || (is_format && length > longest_format) ||
                   type == extension_encryption ||
                   (type == extension_bitmaps && !are_bitmaps(fields, at + 8, length));
    if (found.is_odd) break;
    if (is_format) found.backing_format = fields.text(at + 8, length);
    at += 8 + (length + 7) / 8 * 8;
  }
  found.end = at + 8;
  return found;
}

std::uint64_t header_length(const Fields& fields) {
  return fields.number(4, 4) == 2 ? 72 : fields.number(100, 4);
}

Bytes first_bytes(const std::filesystem::path& file) {
  const auto fd = open_to_read(file);
  Bytes bytes(largest_header);
  bytes.resize(read_full(fd.get(), bytes.data(), bytes.size(), file.string()));
  return bytes;
}

void put_number(Bytes& bytes, std::size_t at, std::size_t size, std::uint64_t value) {
  for (std::size_t i = 0; i < size; ++i)
    bytes.at(at + size - 1 - i) = static_cast<unsigned char>(value >> (8 * i));
}

/// What QEMU (block/qcow2.c, qcow2_do_open) would not open is refused before it is asked to: so it is known
/// whose fault it is.
class HeaderReader {
 public:
  HeaderReader(const Fields& fields, std::string name) : fields_(fields), name_(std::move(name)) {}

  Qcow2Header read() {
    check_version();
    check_sizes();
    check_features();
    check_tables();
    Qcow2Header header;
    header.virtual_size = fields_.number(24, 8);
    header.external_data = (incompatible_features() & incompatible_external_data) != 0;
    header.snapshots = fields_.number(60, 4);
    header.snapshots_at = fields_.number(64, 8);
    read_backing(header);
    return header;
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw Error(Blame::job, "read the qcow2 header of " + name_ + ": " + why);
  }

  [[nodiscard]] std::uint64_t version() const { return fields_.number(4, 4); }

  [[nodiscard]] std::uint64_t cluster_size() const { return std::uint64_t{1} << fields_.number(20, 4); }

  [[nodiscard]] std::uint64_t incompatible_features() const {
    return version() == 3 ? fields_.number(72, 8) : 0;
  }

  void check_version() const {
    if (version() < 2 || version() > 3) refuse("version " + std::to_string(version()) + " is not known");
  }

  void check_sizes() const {
    const auto cluster_bits = fields_.number(20, 4);
    if (cluster_bits < 9 || cluster_bits > 21)
      refuse("clusters of 2^" + std::to_string(cluster_bits) + " bytes are none that QEMU knows");
    constexpr std::uint64_t shortest_version_3 = 104;
    if (version() == 3 && header_length(fields_) < shortest_version_3) refuse("it is too short");
    if (header_length(fields_) > cluster_size()) refuse("it is longer than a cluster");
    if (fields_.number(32, 4) != 0) refuse("it is encrypted");
    constexpr std::uint64_t largest_refcount_order = 6;
    if (version() == 3 && fields_.number(96, 4) > largest_refcount_order)
      refuse("reference counts of 2^" + std::to_string(fields_.number(96, 4)) +
             " bits are none that QEMU knows");
  }

  void check_features() const {
    constexpr std::uint64_t corrupt = 2;
    constexpr std::uint64_t compression_type = 8;
    constexpr std::uint64_t known = 1 | corrupt | incompatible_external_data | compression_type | 16;
    const auto features = incompatible_features();
    if ((features & ~known) != 0)
      refuse("it has features that are not known here (" + hex(features & ~known) + ")");
    if ((features & corrupt) != 0) refuse("it is marked as corrupt (qemu-img check -r all may repair it)");
    // The byte behind the fixed fields: 0 deflate, 1 zstd; the bit says that it is not 0.
    const auto type = version() == 3 && header_length(fields_) > 104 ? fields_.number(104, 1) : 0;
    if (type > 1 || (type != 0) != ((features & compression_type) != 0))
      refuse("its compression type, " + std::to_string(type) + ", is not known");
  }

  void check_tables() const {
    constexpr std::uint64_t largest_l1 = 4U << 20U;  // entries: QEMU's own limit of 32 MiB
    const auto l1_entries = fields_.number(36, 4);
    if (l1_entries > largest_l1) refuse("its L1 table is too large");
    const bool has_extended_l2 = (incompatible_features() & 16) != 0;
    constexpr std::uint64_t smallest_with_subclusters = 16U << 10U;
    if (has_extended_l2 && cluster_size() < smallest_with_subclusters)
      refuse("its clusters are too small for subclusters");
    const auto l2_entries = cluster_size() / (has_extended_l2 ? 16 : 8);
    const auto behind_l1_entry = cluster_size() * l2_entries;
    const auto size = fields_.number(24, 8);
    if (size / behind_l1_entry + (size % behind_l1_entry != 0 ? 1 : 0) > l1_entries)
      refuse("its L1 table is too small for the disk");
    check_offset(fields_.number(40, 8), "the L1 table");
    constexpr std::uint64_t largest_refcount_table = 8U << 20U;  // bytes: QEMU's own limit
    const auto refcount_clusters = fields_.number(56, 4);
    if (refcount_clusters == 0) refuse("it has no reference counts");
    if (refcount_clusters > largest_refcount_table / cluster_size())
      refuse("its table of reference counts is too large");
    check_offset(fields_.number(48, 8), "the table of reference counts");
    constexpr std::uint64_t most_snapshots = 65536;
    const auto snapshots = fields_.number(60, 4);
    if (snapshots > most_snapshots) refuse("it has too many snapshots");
    check_offset(fields_.number(64, 8), "the list of snapshots");
  }

  /// Tables begin with a cluster, and end within what a file can have.
  void check_offset(std::uint64_t offset, const std::string& what) const {
    constexpr std::uint64_t farthest = std::uint64_t{1} << 62U;
    if (offset % cluster_size() != 0 || offset > farthest)
      refuse(what + " begins where none can, at " + hex(offset));
  }

  void read_backing(Qcow2Header& header) const {
    const auto name_at = fields_.number(8, 8);
    const auto name_size = static_cast<std::size_t>(fields_.number(16, 4));
    const auto end = name_at != 0 ? name_at : cluster_size();
    if (name_at > cluster_size()) refuse("the backing file's name lies behind the first cluster");
    const auto extensions = extensions_in(fields_, header_length(fields_), end);
    if (extensions.is_odd) refuse("it has an extension that QEMU would not take");
    if (name_at == 0) return;
    if (name_size > longest_name || name_size > cluster_size() - name_at)
      refuse("the backing file's name is too long");
    // QEMU would read the header's own fields as a name; an export that gives the file another would
    // overwrite them.
    if (name_at < header_length(fields_)) refuse("the backing file's name lies within it");
    header.backing_file = fields_.text(name_at, name_size);
    header.backing_format = extensions.backing_format;
  }

  static std::string hex(std::uint64_t number) {
    std::array<unsigned char, 8> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<unsigned char>(number >> (56 - 8 * i));
    return "0x" + to_hex(bytes.data(), bytes.size());
  }

  const Fields& fields_;
  std::string name_;
};

}  // namespace

std::optional<Qcow2Header> parse_qcow2_header(std::span<const unsigned char> bytes, const std::string& name) {
  bytes = bytes.first(std::min(bytes.size(), largest_header));
  const Fields fields(bytes, name);
  if (bytes.size() < 8 || fields.text(0, 4) != "QFI\xfb") return std::nullopt;
  return HeaderReader(fields, name).read();
}

namespace {

/// Walks the list of internal snapshots as QEMU does (block/qcow2-snapshot.c).
void check_snapshots(const std::filesystem::path& file, const Qcow2Header& header) {
  constexpr std::size_t fixed = 40;
  constexpr std::uint64_t most_extra = 1024;
  constexpr std::uint64_t longest_list = 64U << 20U;
  const auto fd = open_to_read(file);
  const auto name = file.string();
  auto at = header.snapshots_at;
  for (std::uint64_t i = 0; i < header.snapshots; ++i) {
    at = (at + 7) / 8 * 8;
    Bytes entry(fixed);  // what is behind the end of the file reads as zeros
    if (::pread(fd.get(), entry.data(), entry.size(), static_cast<off_t>(at)) < 0)
      throw Error("read " + name + ": " + errno_text(errno));
    const Fields fields(entry, name);
    const auto extra = fields.number(36, 4);
    at += fixed + extra + fields.number(12, 2) + fields.number(14, 2);
    if (extra > most_extra || at - header.snapshots_at > longest_list)
      throw Error(Blame::job, "read the qcow2 header of " + name + ": its list of snapshots is damaged");
  }
}

}  // namespace

std::optional<Qcow2Header> read_qcow2_header(const std::filesystem::path& file) {
  auto header = parse_qcow2_header(first_bytes(file), file.string());
  if (header && header->snapshots != 0) check_snapshots(file, *header);
  return header;
}

std::vector<unsigned char> qcow2_head_with_backing(const std::filesystem::path& file,
                                                   const std::string& backing) {
  auto bytes = first_bytes(file);
  const auto name = file.string();
  const Fields fields(bytes, name);
  const auto old_at = static_cast<std::size_t>(fields.number(8, 8));
  const auto old_size = static_cast<std::size_t>(fields.number(16, 4));
  static_cast<void>(fields.text(old_at, old_size));
  const auto cluster_bits = fields.number(20, 4);
  const std::size_t cluster = std::size_t{1} << std::clamp<std::uint64_t>(cluster_bits, 9, 16);
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(old_at), old_size, 0);
  // In its old place if it is no longer than before; else behind the extensions, where nothing else is.
  const auto at = backing.size() <= old_size
                      ? old_at
                      : static_cast<std::size_t>(extensions_in(fields, header_length(fields), old_at).end);
  const auto end = at + backing.size();
  const bool is_free =
      end <= std::min(cluster, bytes.size()) && std::all_of(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                                                            bytes.begin() + static_cast<std::ptrdiff_t>(end),
                                                            [](unsigned char byte) { return byte == 0; });
  if (!is_free)
    throw Error(Blame::job, "name the backing file of " + name + " " + quote(backing) +
                                ": its header has no room; shorten the backing file's name");
  std::ranges::copy(backing, bytes.begin() + static_cast<std::ptrdiff_t>(at));
  put_number(bytes, 8, 8, at);
  put_number(bytes, 16, 4, backing.size());
  return bytes;
}

}  // namespace sarde
