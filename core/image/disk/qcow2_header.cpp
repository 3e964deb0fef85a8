#include "core/image/disk/qcow2_header.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <unistd.h>

#include "core/foundation/bytes.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/qcow2_extensions.hpp"
#include "core/image/disk/qcow2_fields.hpp"
#include "core/image/disk/qcow2_format.hpp"
#include "core/system/files.hpp"

namespace sarde {

using namespace qcow2;

namespace {

Bytes first_bytes(const std::filesystem::path& file) {
  const auto fd = open_to_read(file);
  Bytes bytes(largest_header);
  bytes.resize(read_full(fd.get(), bytes.data(), bytes.size(), file.string()));
  return bytes;
}

void put_number(Bytes& bytes, Field field, std::uint64_t value) {
  for (std::size_t i = 0; i < field.size; ++i)
    bytes.at(field.at + field.size - 1 - i) = static_cast<unsigned char>(value >> (8 * i));
}

std::string hex(std::uint64_t number) {
  std::array<unsigned char, 8> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<unsigned char>(number >> (56 - 8 * i));
  return "0x" + to_hex(bytes.data(), bytes.size());
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
    header.virtual_size = fields_.number(field::virtual_size);
    header.external_data = (incompatible_features(fields_) & incompatible::external_data) != 0;
    header.snapshots = fields_.number(field::snapshots);
    header.snapshots_at = fields_.number(field::snapshots_at);
    header.tables = {
        {.at = fields_.number(field::l1_at), .length = fields_.number(field::l1_entries) * table_entry_size},
        {.at = fields_.number(field::refcount_table_at),
         .length = fields_.number(field::refcount_table_clusters) * cluster_size(fields_)}};
    read_backing(header);
    return header;
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw Error(Blame::job, "read the qcow2 header of " + name_ + ": " + why);
  }

  void check_version() const {
    const auto version = fields_.number(field::version);
    if (version < 2 || version > 3) refuse("version " + std::to_string(version) + " is not known");
  }

  void check_sizes() const {
    const auto cluster_bits = fields_.number(field::cluster_bits);
    if (cluster_bits < 9 || cluster_bits > 21)
      refuse("clusters of 2^" + std::to_string(cluster_bits) + " bytes are none that QEMU knows");
    const bool is_version_3 = fields_.number(field::version) == 3;
    if (is_version_3 && header_length(fields_) < header_length_of_version_3) refuse("it is too short");
    if (header_length(fields_) > cluster_size(fields_)) refuse("it is longer than a cluster");
    if (fields_.number(field::encryption) != 0) refuse("it is encrypted");
    constexpr std::uint64_t largest_refcount_order = 6;
    if (is_version_3 && fields_.number(field::refcount_order) > largest_refcount_order)
      refuse("reference counts of 2^" + std::to_string(fields_.number(field::refcount_order)) +
             " bits are none that QEMU knows");
  }

  void check_features() const {
    using namespace incompatible;
    constexpr std::uint64_t known = dirty | corrupt | external_data | compression_type | extended_l2;
    const auto features = incompatible_features(fields_);
    if ((features & ~known) != 0)
      refuse("it has features that are not known here (" + hex(features & ~known) + ")");
    if ((features & corrupt) != 0) refuse("it is marked as corrupt (qemu-img check -r all may repair it)");
    // The byte behind the fixed fields: 0 deflate, 1 zstd; the bit says that it is not 0.
    const bool has_type =
        fields_.number(field::version) == 3 && header_length(fields_) > field::compression_type.at;
    const auto type = has_type ? fields_.number(field::compression_type) : 0;
    if (type > 1 || (type != 0) != ((features & compression_type) != 0))
      refuse("its compression type, " + std::to_string(type) + ", is not known");
  }

  void check_tables() const {
    constexpr std::uint64_t largest_l1 = 4U << 20U;  // entries: QEMU's own limit of 32 MiB
    const auto l1_entries = fields_.number(field::l1_entries);
    if (l1_entries > largest_l1) refuse("its L1 table is too large");
    const bool has_extended_l2 = (incompatible_features(fields_) & incompatible::extended_l2) != 0;
    constexpr std::uint64_t smallest_with_subclusters = 16U << 10U;
    if (has_extended_l2 && cluster_size(fields_) < smallest_with_subclusters)
      refuse("its clusters are too small for subclusters");
    const auto l2_entries =
        cluster_size(fields_) / (has_extended_l2 ? extended_l2_entry_size : table_entry_size);
    const auto behind_l1_entry = cluster_size(fields_) * l2_entries;
    const auto size = fields_.number(field::virtual_size);
    if (size / behind_l1_entry + (size % behind_l1_entry != 0 ? 1 : 0) > l1_entries)
      refuse("its L1 table is too small for the disk");
    check_offset(fields_.number(field::l1_at), "the L1 table");
    constexpr std::uint64_t largest_refcount_table = 8U << 20U;  // bytes: QEMU's own limit
    const auto refcount_clusters = fields_.number(field::refcount_table_clusters);
    if (refcount_clusters == 0) refuse("it has no reference counts");
    if (refcount_clusters > largest_refcount_table / cluster_size(fields_))
      refuse("its table of reference counts is too large");
    check_offset(fields_.number(field::refcount_table_at), "the table of reference counts");
    constexpr std::uint64_t most_snapshots = 65536;
    const auto snapshots = fields_.number(field::snapshots);
    if (snapshots > most_snapshots) refuse("it has too many snapshots");
    check_offset(fields_.number(field::snapshots_at), "the list of snapshots");
  }

  /// Tables begin with a cluster, and end within what a file can have.
  void check_offset(std::uint64_t offset, const std::string& what) const {
    constexpr std::uint64_t farthest = std::uint64_t{1} << 62U;
    if (offset % cluster_size(fields_) != 0 || offset > farthest)
      refuse(what + " begins where none can, at " + hex(offset));
  }

  void read_backing(Qcow2Header& header) const {
    const auto name_at = fields_.number(field::backing_name_at);
    const auto name_size = static_cast<std::size_t>(fields_.number(field::backing_name_size));
    const auto end = name_at != 0 ? name_at : cluster_size(fields_);
    if (name_at > cluster_size(fields_)) refuse("the backing file's name lies behind the first cluster");
    const auto extensions = extensions_before(end, fields_);
    if (extensions.is_odd) refuse("it has an extension that QEMU would not take");
    header.has_lists = header.snapshots > 0 || extensions.has_bitmaps;
    if (name_at == 0) return;
    if (name_size > longest_backing_name || name_size > cluster_size(fields_) - name_at)
      refuse("the backing file's name is too long");
    // QEMU would read the header's own fields as a name; an export that gives the file another would
    // overwrite them.
    if (name_at < header_length(fields_)) refuse("the backing file's name lies within it");
    header.backing_file = fields_.text(name_at, name_size);
    header.backing_format = extensions.backing_format;
  }

  const Fields& fields_;
  std::string name_;
};

}  // namespace

std::optional<Qcow2Header> parse_qcow2_header(std::span<const unsigned char> bytes, const std::string& name) {
  bytes = bytes.first(std::min(bytes.size(), largest_header));
  const Fields fields(bytes, name);
  if (bytes.size() < 8 || fields.text(0, magic.size()) != magic) return std::nullopt;
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
    at = padded(at);
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
  const auto old_at = static_cast<std::size_t>(fields.number(field::backing_name_at));
  const auto old_size = static_cast<std::size_t>(fields.number(field::backing_name_size));
  static_cast<void>(fields.text(old_at, old_size));
  const auto cluster_bits = fields.number(field::cluster_bits);
  const std::size_t cluster = std::size_t{1} << std::clamp<std::uint64_t>(cluster_bits, 9, 16);
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(old_at), old_size, 0);
  // In its old place if it is no longer than before; else behind the extensions, where nothing else is.
  const auto at =
      backing.size() <= old_size ? old_at : static_cast<std::size_t>(extensions_before(old_at, fields).end);
  const auto end = at + backing.size();
  const bool is_free =
      end <= std::min(cluster, bytes.size()) && std::all_of(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                                                            bytes.begin() + static_cast<std::ptrdiff_t>(end),
                                                            [](unsigned char byte) { return byte == 0; });
  if (!is_free)
    throw Error(Blame::job, "name the backing file of " + name + " " + quote(backing) +
                                ": its header has no room; shorten the backing file's name");
  std::ranges::copy(backing, bytes.begin() + static_cast<std::ptrdiff_t>(at));
  put_number(bytes, field::backing_name_at, at);
  put_number(bytes, field::backing_name_size, backing.size());
  return bytes;
}

}  // namespace sarde
