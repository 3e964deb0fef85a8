#include "core/image/qcow2_header.hpp"

#include <span>
#include <unistd.h>

#include "core/foundation/error.hpp"
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

std::optional<std::string> backing_format(const Fields& fields, std::uint64_t at) {
  for (;;) {
    const auto type = fields.number(at, 4);
    const auto length = static_cast<std::size_t>(fields.number(at + 4, 4));
    if (type == extension_end) return std::nullopt;
    if (type == extension_backing_format) return fields.text(at + 8, length);
    at += 8 + (length + 7) / 8 * 8;
  }
}

}  // namespace

std::optional<Qcow2Header> read_qcow2_header(const std::filesystem::path& file) {
  const auto fd = open_to_read(file);
  Bytes bytes(largest_header);
  bytes.resize(read_full(fd.get(), bytes.data(), bytes.size(), file.string()));
  const auto name = file.string();
  const Fields fields(bytes, name);
  if (bytes.size() < 8 || fields.text(0, 4) != "QFI\xfb") return std::nullopt;
  const auto version = fields.number(4, 4);
  if (version < 2 || version > 3)
    throw Error(Blame::job, "read the qcow2 header of " + name + ": version " + std::to_string(version) +
                                " is not known");
  Qcow2Header header;
  header.virtual_size = fields.number(24, 8);
  const auto header_length = version == 2 ? 72 : fields.number(100, 4);
  if (version == 3) header.external_data = (fields.number(72, 8) & incompatible_external_data) != 0;
  const auto name_size = static_cast<std::size_t>(fields.number(16, 4));
  if (fields.number(8, 8) != 0) {
    if (name_size > longest_name)
      throw Error(Blame::job, "read the qcow2 header of " + name + ": the backing file's name is too long");
    header.backing_file = fields.text(fields.number(8, 8), name_size);
    header.backing_format = backing_format(fields, header_length);
  }
  return header;
}

}  // namespace sarde
