#include "core/image/qcow2_header.hpp"

#include <algorithm>
#include <span>
#include <unistd.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/gzip_stream.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

constexpr std::size_t largest_header = 64U << 10U;
constexpr std::size_t longest_name = 1023;
constexpr std::uint64_t incompatible_external_data = 4;
constexpr std::uint32_t extension_end = 0;
constexpr std::uint32_t extension_backing_format = 0xe2792aca;

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
};

/// From `at` up to `limit`, where the backing file's name begins, as QEMU reads them.
Extensions extensions_in(const Fields& fields, std::uint64_t at, std::uint64_t limit) {
  Extensions found;
  while (at < limit) {
    const auto type = fields.number(at, 4);
    const auto length = static_cast<std::size_t>(fields.number(at + 4, 4));
    if (type == extension_end) break;
    if (type == extension_backing_format) found.backing_format = fields.text(at + 8, length);
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

}  // namespace

std::optional<Qcow2Header> parse_qcow2_header(std::span<const unsigned char> bytes, const std::string& name) {
  bytes = bytes.first(std::min(bytes.size(), largest_header));
  const Fields fields(bytes, name);
  if (bytes.size() < 8 || fields.text(0, 4) != "QFI\xfb") return std::nullopt;
  const auto version = fields.number(4, 4);
  if (version < 2 || version > 3)
    throw Error(Blame::job, "read the qcow2 header of " + name + ": version " + std::to_string(version) +
                                " is not known");
  const auto absurd = [&](const std::string& what) {
    return Error(Blame::job, "read the qcow2 header of " + name + ": " + what);
  };
  Qcow2Header header;
  header.virtual_size = fields.number(24, 8);
  const auto cluster_bits = fields.number(20, 4);
  if (cluster_bits < 9 || cluster_bits > 21)
    throw absurd("clusters of 2^" + std::to_string(cluster_bits) + " bytes are none that QEMU knows");
  constexpr std::uint64_t largest_l1 = 4U << 20U;  // entries: QEMU's own limit of 32 MiB
  if (fields.number(36, 4) > largest_l1) throw absurd("its L1 table is too large");
  if (fields.number(32, 4) != 0) throw absurd("it is encrypted");
  constexpr std::uint64_t most_snapshots = 65536;
  if (fields.number(60, 4) > most_snapshots) throw absurd("it has too many snapshots");
  constexpr std::uint64_t shortest_version_3 = 104;
  if (version == 3 && header_length(fields) < shortest_version_3) throw absurd("it is too short");
  if (version == 3) header.external_data = (fields.number(72, 8) & incompatible_external_data) != 0;
  const auto name_size = static_cast<std::size_t>(fields.number(16, 4));
  if (fields.number(8, 8) != 0) {
    if (name_size > longest_name)
      throw Error(Blame::job, "read the qcow2 header of " + name + ": the backing file's name is too long");
    // QEMU would read the header's own fields as a name; an export that gives the file another would
    // overwrite them.
    if (fields.number(8, 8) < header_length(fields)) throw absurd("the backing file's name lies within it");
    header.backing_file = fields.text(fields.number(8, 8), name_size);
    header.backing_format = extensions_in(fields, header_length(fields), fields.number(8, 8)).backing_format;
  }
  return header;
}

std::optional<Qcow2Header> read_qcow2_header(const std::filesystem::path& file) {
  return parse_qcow2_header(first_bytes(file), file.string());
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
