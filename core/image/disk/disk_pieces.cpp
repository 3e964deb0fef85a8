#include "core/image/disk/disk_pieces.hpp"

#include <algorithm>
#include <array>
#include <libdeflate.h>
#include <random>
#include <set>
#include <unistd.h>

#include "core/foundation/bytes.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

bool is_piece(std::span<const unsigned char> data, const DiskPieces& pieces, std::uint64_t at) {
  const auto number = at / DiskPieces::length;
  const bool is_whole = data.size() == DiskPieces::length || at + data.size() == pieces.size;
  return is_whole && number < pieces.checksums.size() &&
         libdeflate_crc32(0, data.data(), data.size()) == pieces.checksums[number];
}

namespace {

constexpr std::size_t digits = 8;  ///< of a checksum

std::set<std::size_t> sample_of(std::size_t count) {
  std::random_device random;
  std::uniform_int_distribution<std::size_t> any(0, count - 1);
  return {0, any(random), any(random)};
}

bool agree(const std::filesystem::path& file, const DiskPieces& pieces, const std::set<std::size_t>& numbers,
           Cancellation& cancellation) {
  const auto fd = open_to_read(file);
  Bytes buffer(DiskPieces::length);
  for (const auto number : numbers) {
    cancellation.check();
    const auto start = number * DiskPieces::length;
    const auto size = std::min<std::uint64_t>(DiskPieces::length, pieces.size - start);
    if (::lseek(fd.get(), static_cast<off_t>(start), SEEK_SET) < 0)
      throw Error("read " + file.string() + ": " + errno_text(errno));
    const auto got = read_full(fd.get(), buffer.data(), static_cast<std::size_t>(size), file.string());
    if (!is_piece(std::span(buffer).first(got), pieces, start)) return false;
  }
  return true;
}

}  // namespace

std::string DiskPieces::text() const {
  auto all = std::to_string(size) + " ";
  for (const auto checksum : checksums) {
    std::array<unsigned char, 4> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<unsigned char>(checksum >> (24 - 8 * i));
    all += to_hex(bytes.data(), bytes.size());
  }
  return all;
}

DiskPieces DiskPieces::parse(const std::string& text) {
  const auto words = split(text, ' ');
  if (words.size() != 2) return {};
  const auto size = parse_number(words[0]);
  if (!size || words[1].size() != digits * ((*size + length - 1) / length)) return {};
  DiskPieces pieces{.checksums = {}, .size = *size};
  for (std::size_t at = 0; at < words[1].size(); at += digits) {
    const auto checksum = parse_hex(std::string_view(words[1]).substr(at, digits));
    if (!checksum) return {};
    pieces.checksums.push_back(static_cast<std::uint32_t>(*checksum));
  }
  return pieces;
}

void PieceNotes::update(std::span<const unsigned char> data) {
  while (!data.empty()) {
    const auto to_end = DiskPieces::length - static_cast<std::size_t>(pieces_.size % DiskPieces::length);
    const auto now = std::min(data.size(), to_end);
    checksum_ = libdeflate_crc32(checksum_, data.data(), now);
    pieces_.size += now;
    data = data.subspan(now);
    if (pieces_.size % DiskPieces::length != 0) continue;
    pieces_.checksums.push_back(checksum_);
    checksum_ = 0;
  }
}

DiskPieces PieceNotes::finish() {
  if (pieces_.size % DiskPieces::length != 0) pieces_.checksums.push_back(checksum_);
  return std::move(pieces_);
}

DiskPieces pieces_of_file(const std::filesystem::path& file, Cancellation& cancellation) {
  const auto fd = open_to_read(file);
  Bytes buffer(DiskPieces::length);
  PieceNotes notes;
  for (;;) {
    cancellation.check();
    const auto got = read_full(fd.get(), buffer.data(), buffer.size(), file.string());
    notes.update(std::span(buffer).first(got));
    if (got < buffer.size()) return notes.finish();
  }
}

bool all_agree(const std::filesystem::path& file, const DiskPieces& pieces, Cancellation& cancellation) {
  if (pieces.size == 0) return false;
  std::set<std::size_t> all;
  for (std::size_t number = 0; number < pieces.checksums.size(); ++number) all.insert(number);
  return agree(file, pieces, all, cancellation);
}

bool sample_agrees(const std::filesystem::path& file, const DiskPieces& pieces, Cancellation& cancellation) {
  return pieces.size == 0 || agree(file, pieces, sample_of(pieces.checksums.size()), cancellation);
}

}  // namespace sarde
