#include "core/image/disk/disk_overlay.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <string_view>
#include <unistd.h>

#include "core/foundation/bytes.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/qcow2_format.hpp"
#include "core/image/disk/qcow2_header.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

constexpr unsigned cluster_bits = 16;
constexpr std::uint64_t cluster = 1U << cluster_bits;
/// Of the disk, behind one L1 entry.
constexpr std::uint64_t bytes_of_l2_table = cluster * (cluster / qcow2::table_entry_size);
constexpr std::uint64_t largest_disk = std::uint64_t{1} << 50U;

/// Big-endian numbers and text, one behind the other.
class Writer {
 public:
  void number(std::uint64_t value, unsigned size) {
    for (unsigned i = size; i-- > 0;) bytes_.push_back(static_cast<unsigned char>(value >> (8 * i)));
  }

  void text(std::string_view value) { bytes_.insert(bytes_.end(), value.begin(), value.end()); }

  void zeros(std::size_t count) { bytes_.resize(bytes_.size() + count); }

  void pad_to(std::size_t multiple) { bytes_.resize((bytes_.size() + multiple - 1) / multiple * multiple); }

  [[nodiscard]] std::size_t size() const { return bytes_.size(); }

  [[nodiscard]] const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

constexpr std::uint64_t sector = 512;

std::uint64_t whole_sectors(std::uint64_t bytes) {
  return (bytes + sector - 1) / sector * sector;
}

// Cluster 0 holds the header, 1 the refcount table, 2 the only refcount block, those from 3 on the L1 table,
// in which nothing is allocated yet.
constexpr std::uint64_t l1_cluster = 3;

Bytes header_of(const DiskOverlay& overlay, std::uint64_t disk_size, std::uint64_t l1_entries) {
  constexpr unsigned refcount_order = 4;  // 16 bits
  const auto name = overlay.base.string();
  const auto& format = overlay.base_format;
  const bool has_base = !name.empty();
  const auto name_at = has_base ? qcow2::header_length_of_version_3 + qcow2::extension::head_size +
                                      qcow2::padded(format.size()) + qcow2::extension::head_size
                                : 0;
  Writer out;
  out.text(qcow2::magic);
  out.number(3, 4);
  out.number(name_at, 8);
  out.number(name.size(), 4);
  out.number(cluster_bits, 4);
  out.number(disk_size, 8);
  out.number(0, 4);  // not encrypted
  out.number(l1_entries, 4);
  out.number(l1_cluster * cluster, 8);
  out.number(1 * cluster, 8);
  out.number(1, 4);  // clusters of the refcount table
  out.zeros(4 + 8);  // no snapshots
  out.zeros(3 * 8);  // no incompatible, compatible or autoclear features
  out.number(refcount_order, 4);
  out.number(qcow2::header_length_of_version_3, 4);
  if (has_base) {
    out.number(qcow2::extension::backing_format, 4);
    out.number(format.size(), 4);
    out.text(format);
    out.pad_to(8);
  }
  out.zeros(qcow2::extension::head_size);  // no more extensions
  out.text(name);
  return out.bytes();
}

void write_at(int fd, const Bytes& bytes, std::uint64_t offset, const std::string& name) {
  if (::lseek(fd, static_cast<off_t>(offset), SEEK_SET) < 0)
    throw Error("write " + name + ": " + errno_text(errno));
  write_full(fd, bytes.data(), bytes.size(), name);
}

/// `disk_size`: what the guest sees.
void write_empty(const DiskOverlay& overlay, std::uint64_t disk_size) {
  if (disk_size > largest_disk) throw Error(Blame::job, "it is larger than a pebibyte");
  if (overlay.base.string().size() > qcow2::longest_backing_name)
    throw Error("its path is longer than qcow2 files can hold; choose another vmdir");
  const auto l1_entries = std::max<std::uint64_t>(1, (disk_size + bytes_of_l2_table - 1) / bytes_of_l2_table);
  const auto clusters = l1_cluster + (l1_entries * qcow2::table_entry_size + cluster - 1) / cluster;
  const auto name = overlay.overlay.string();
  const UniqueFd fd(::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) throw Error("make " + name + ": " + errno_text(errno));
  Writer refcount_table;
  refcount_table.number(2 * cluster, 8);
  Writer refcounts;
  for (std::uint64_t i = 0; i < clusters; ++i) refcounts.number(1, 2);
  write_at(fd.get(), header_of(overlay, disk_size, l1_entries), 0, name);
  write_at(fd.get(), refcount_table.bytes(), 1 * cluster, name);
  write_at(fd.get(), refcounts.bytes(), 2 * cluster, name);
  if (::ftruncate(fd.get(), static_cast<off_t>(clusters * cluster)) != 0)
    throw Error("write " + name + ": " + errno_text(errno));
}

std::uint64_t virtual_size(const std::filesystem::path& file, const std::string& format) {
  if (format != "qcow2") return whole_sectors(std::filesystem::file_size(file));
  const auto header = read_qcow2_header(file);
  if (!header) throw Error(Blame::job, file.string() + " is said to be qcow2, but is not");
  return header->virtual_size;
}

}  // namespace

void create_overlay(const DiskOverlay& overlay) {
  within("make a thin copy of " + overlay.base.string(), [&] {
    write_empty(overlay,
                std::max(virtual_size(overlay.base, overlay.base_format), whole_sectors(overlay.least_size)));
  });
}

void create_empty_disk(const std::filesystem::path& file, std::uint64_t size) {
  within("make a disk of " + size_text(size),
         [&] { write_empty({.base = {}, .overlay = file}, whole_sectors(size)); });
}

}  // namespace sarde
