#include "core/image/disk/disk_stretches.hpp"

#include <fcntl.h>

#include <doctest/doctest.h>

#include "core/system/files.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using sarde::testing::TestFolder;

namespace {

DiskStretches notes_of(const std::string& content, std::size_t step) {
  Sha256 hash;
  StretchNotes notes;
  const auto* data = reinterpret_cast<const unsigned char*>(content.data());
  for (std::size_t at = 0; at < content.size(); at += step)
    notes.update(hash, data + at, std::min(step, content.size() - at));
  const auto digest = hash.finish();
  CHECK(digest == Digest::of(content));
  return notes.finish(digest);
}

bool agree(const std::filesystem::path& file, const DiskStretches& stretches, StretchCheck check) {
  Cancellation never;
  return stretches_agree(file, stretches, check, never);
}

}  // namespace

TEST_CASE("stretches: any byte that changed is found by a whole check, the first stretch's by every sample") {
  const TestFolder folder;
  const auto file = folder / "disk";
  std::string content((3U << 20U) + 777, 'd');
  for (std::size_t i = 0; i < content.size(); i += 4093) content[i] = static_cast<char>(i);
  write_file(file, content, 0600);
  const auto stretches = notes_of(content, 70'001);
  CHECK(stretches.after.size() == 3);
  const auto read_back = DiskStretches::parse(stretches.text());
  CHECK(read_back.after == stretches.after);
  CHECK(agree(file, read_back, StretchCheck::all));
  CHECK(agree(file, read_back, StretchCheck::sample));
  for (const std::size_t at : {std::size_t{0}, std::size_t{1} << 20U, (std::size_t{2} << 20U) - 1,
                               (std::size_t{3} << 20U) + 5, content.size() - 1}) {
    CAPTURE(at);
    auto changed = content;
    changed[at] ^= 1;
    write_file(file, changed, 0600);
    CHECK_FALSE(agree(file, read_back, StretchCheck::all));
    if (at < 1U << 20U) CHECK_FALSE(agree(file, read_back, StretchCheck::sample));
  }
  write_file(file, content.substr(0, content.size() - 1), 0600);
  CHECK_FALSE(agree(file, read_back, StretchCheck::all));
}

TEST_CASE("stretches: a large disk has longer ones, not more") {
  const std::string zeros(8U << 20U, '\0');
  Sha256 hash;
  StretchNotes notes;
  for (int i = 0; i < 300; ++i)
    notes.update(hash, reinterpret_cast<const unsigned char*>(zeros.data()), zeros.size());
  const auto stretches = notes.finish(hash.finish());
  CHECK(stretches.size == 300 * zeros.size());
  CHECK(stretches.length == 2U << 20U);
  CHECK(stretches.after.size() == stretches.size / stretches.length);
  const TestFolder folder;
  make_sparse_file(folder / "disk", stretches.size);
  CHECK(agree(folder / "disk", stretches, StretchCheck::sample));
  CHECK(DiskStretches::parse(stretches.text()).after == stretches.after);
}

TEST_CASE("stretches: what was never noted is not held against a file") {
  for (const auto* odd : {"", "x", "sha256:00 1 2", "d 10 0 ", "d 128 64 00", "d 64 64 zz"}) {
    CHECK(DiskStretches::parse(odd).length == 0);
    CHECK(agree("/nonexistent", DiskStretches::parse(odd), StretchCheck::all));
  }
}
