#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/image/disk/qcow2_format.hpp"

namespace sarde::qcow2 {

/// Big-endian fields of a file's first bytes. The bytes and the name must outlive it. Its functions throw
/// Error (the job's fault), naming the file, for what lies behind the end of the bytes.
class Fields {
 public:
  Fields(std::span<const unsigned char> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  [[nodiscard]] std::uint64_t number(std::uint64_t at, std::size_t size) const;

  [[nodiscard]] std::uint64_t number(Field field) const { return number(field.at, field.size); }

  [[nodiscard]] std::string text(std::uint64_t at, std::size_t size) const;

 private:
  [[nodiscard]] std::span<const unsigned char> part(std::uint64_t at, std::size_t size) const;

  std::span<const unsigned char> bytes_;
  const std::string& name_;
};

/// Of a header, in bytes.
std::uint64_t header_length(const Fields& fields);

/// Of a header whose cluster_bits are below 64.
std::uint64_t cluster_size(const Fields& fields);

/// None in version 2.
std::uint64_t incompatible_features(const Fields& fields);

}  // namespace sarde::qcow2
