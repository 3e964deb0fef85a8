#include "core/image/disk/disk_pieces.hpp"

#include <doctest/doctest.h>

#include "core/foundation/bytes.hpp"
#include "core/system/files.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using sarde::testing::TestFolder;

namespace {

DiskPieces notes_of(const std::string& content, std::size_t step) {
  PieceNotes notes;
  const std::span all(reinterpret_cast<const unsigned char*>(content.data()), content.size());
  for (std::size_t at = 0; at < content.size(); at += step)
    notes.update(all.subspan(at, std::min(step, content.size() - at)));
  return notes.finish();
}

bool agree(const std::filesystem::path& file, const DiskPieces& pieces) {
  Cancellation never;
  return sample_agrees(file, pieces, never);
}

}  // namespace

TEST_CASE("pieces: a change in the first is found by every sample, another by many a one") {
  const TestFolder folder;
  const auto file = folder / "disk";
  std::string content((3U << 20U) + 777, 'd');
  for (std::size_t i = 0; i < content.size(); i += 4093) content[i] = static_cast<char>(i);
  write_file(file, content, 0600);
  const auto pieces = DiskPieces::parse(notes_of(content, 70'001).text());
  CHECK(pieces.checksums == notes_of(content, content.size()).checksums);
  CHECK(pieces.checksums.size() == 4);
  CHECK(pieces.size == content.size());
  for (int i = 0; i < 20; ++i) CHECK(agree(file, pieces));
  for (const std::size_t at : {std::size_t{0}, (std::size_t{1} << 20U) - 1, std::size_t{1} << 20U,
                               (std::size_t{3} << 20U) + 5, content.size() - 1}) {
    CAPTURE(at);
    auto changed = content;
    changed[at] ^= 1;
    write_file(file, changed, 0600);
    int found = 0;
    constexpr int samples = 100;  // each of which misses a piece behind the first with a chance of 9/16
    for (int i = 0; i < samples; ++i) found += agree(file, pieces) ? 0 : 1;
    CHECK(found > 0);
    if (at < 1U << 20U) CHECK(found == samples);
  }
  write_file(file, content.substr(0, (3U << 20U) + 1), 0600);
  bool was_found = false;
  for (int i = 0; i < 100; ++i) was_found = was_found || !agree(file, pieces);
  CHECK(was_found);
}

TEST_CASE("pieces: whole MiBs, an empty file, and what was never noted") {
  const TestFolder folder;
  write_file(folder / "disk", std::string(2U << 20U, 'x'), 0600);
  const auto pieces = notes_of(std::string(2U << 20U, 'x'), 1U << 20U);
  CHECK(pieces.checksums.size() == 2);
  CHECK(agree(folder / "disk", pieces));
  CHECK(agree(folder / "disk", notes_of("", 1)));
  CHECK(agree(folder / "disk", DiskPieces{}));
  for (const auto* text :
       {"", "12", "12 ", "x 00000000", "12 0000000g", "12 0000000", "1048577 00000000", "12 00 00"})
    CHECK(DiskPieces::parse(text).size == 0);
}
