#include "core/image/disk/qcow2_fields.hpp"

#include "core/foundation/error.hpp"

namespace sarde::qcow2 {

std::uint64_t Fields::number(std::uint64_t at, std::size_t size) const {
  std::uint64_t value = 0;
  for (const auto byte : part(at, size)) value = value << 8U | byte;
  return value;
}

std::string Fields::text(std::uint64_t at, std::size_t size) const {
  const auto bytes = part(at, size);
  return {bytes.begin(), bytes.end()};
}

std::span<const unsigned char> Fields::part(std::uint64_t at, std::size_t size) const {
  if (at > bytes_.size() || size > bytes_.size() - at)
    throw Error(Blame::job, "read the qcow2 header of " + name_ + ": it is cut short");
  return bytes_.subspan(static_cast<std::size_t>(at), size);
}

std::uint64_t header_length(const Fields& fields) {
  return fields.number(field::version) == 2 ? header_length_of_version_2
                                            : fields.number(field::header_length);
}

std::uint64_t cluster_size(const Fields& fields) {
  return std::uint64_t{1} << fields.number(field::cluster_bits);
}

std::uint64_t incompatible_features(const Fields& fields) {
  return fields.number(field::version) == 3 ? fields.number(field::incompatible_features) : 0;
}

}  // namespace sarde::qcow2
