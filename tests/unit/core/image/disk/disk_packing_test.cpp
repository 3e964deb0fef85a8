#include "core/image/disk/disk_packing.hpp"

#include <random>
#include <sys/stat.h>
#include <zlib.h>

#include <doctest/doctest.h>

#include "core/system/files.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using sarde::testing::check_error;
using sarde::testing::TestFolder;

namespace {

std::string noise(std::size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (auto& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

/// A disk of `mib` MiB: noise, zeros and text by turns.
std::string disk_content(std::size_t mib) {
  std::string content;
  for (std::size_t i = 0; i < mib; ++i) {
    if (i % 3 == 0) content += noise(member_size, static_cast<unsigned>(i));
    if (i % 3 == 1) content += std::string(member_size, '\0');
    if (i % 3 == 2) content += std::string(member_size, 't');
  }
  return content + "end";
}

struct Bench {
  TestFolder folder;
  OciLayout layout{folder / "layout"};
  Cancellation cancellation;

  Bench() {
    layout.create();
    make_folders(folder / "out", 0755);
  }

  PackedDisk pack(const std::string& content, std::uint64_t limit = 0,
                  const std::string& name = "disk.qcow2") {
    write_file(folder / name, content, 0644);
    return pack_disk(
        folder / name, layout,
        {.name = name, .media_type = "application/x-qemu-disk", .chunk_limit = limit, .threads = 2},
        cancellation);
  }

  UnpackedDisk unpack(const std::vector<Descriptor>& chunks) {
    LayoutBlobs blobs(layout);
    return unpack_disk(blobs, {.chunks = chunks}, folder / "out", {.threads = 2, .with_diff_id = true},
                       cancellation);
  }

  Descriptor add(const std::string& bytes) { return layout.add_blob(bytes, "application/x-qemu-disk+gzip"); }
};

/// One gzip stream as zlib writes it, with a file's name in its header: what sardinecake exports.
std::string zlib_stream(const std::string& content, std::string name) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  gz_header header{};
  header.name = reinterpret_cast<Bytef*>(name.data());
  deflateSetHeader(&stream, &header);
  std::string out(deflateBound(&stream, content.size()) + 200, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace

TEST_CASE("disk packing: what is packed comes out again, byte for byte, holes as holes") {
  Bench bench;
  const auto content = disk_content(7);
  const auto packed = bench.pack(content);
  CHECK(packed.chunks.size() == 1);
  CHECK(packed.diff_id == Digest::of(content));
  const auto out = bench.unpack(packed.chunks);
  CHECK(out.name == "disk.qcow2");
  CHECK(out.diff_id == packed.diff_id);
  CHECK(out.size == content.size());
  CHECK(read_file(bench.folder / "out/disk.qcow2", UINT64_MAX) == content);

  struct stat status {};

  REQUIRE(::stat((bench.folder / "out/disk.qcow2").c_str(), &status) == 0);
  CHECK(static_cast<std::uint64_t>(status.st_blocks) * 512 < content.size() - member_size);
}

TEST_CASE(
    "disk packing: no chunk is above its limit, none but the first begins like a gzip file, and all is "
    "there") {
  const auto content = disk_content(4);
  for (const std::uint64_t limit : {4096U, 65536U, 1000001U}) {
    CAPTURE(limit);
    Bench bench;
    const auto packed = bench.pack(content, limit);
    CHECK(packed.chunks.size() > 1);
    for (std::size_t i = 0; i < packed.chunks.size(); ++i) {
      const auto& chunk = packed.chunks[i];
      CHECK(chunk.size <= limit);
      const auto start = read_file(bench.layout.blob(chunk.digest)).substr(0, 2);
      CHECK((start == "\x1f\x8b") == (i == 0));
      CHECK(chunk.media_type == (i == 0 ? "application/x-qemu-disk+gzip"
                                        : "application/x-qemu-disk+gzip;chunk=" + std::to_string(i)));
    }
    CHECK(bench.unpack(packed.chunks).diff_id == Digest::of(content));
  }
}

TEST_CASE("disk packing: a change touches only the layers where it is") {
  Bench bench;
  auto content = std::string(3 * 16 * member_size, '\0');
  for (std::size_t at = 0; at < content.size(); at += 4096) content[at] = static_cast<char>(at >> 12U);
  const auto before = bench.pack(content).chunks;
  content[20 * member_size + 17] ^= 1;
  const auto after = bench.pack(content).chunks;
  REQUIRE(before.size() == 3);
  REQUIRE(after.size() == 3);
  CHECK(before[0].digest == after[0].digest);
  CHECK(before[1].digest != after[1].digest);
  CHECK(before[2].digest == after[2].digest);
}

TEST_CASE("disk packing: an empty file, and one that ends with a member, come back") {
  for (const std::string& content :
       {std::string(), std::string(member_size, 'x'), std::string(2 * member_size, '\0')}) {
    Bench bench;
    const auto packed = bench.pack(content);
    CHECK(bench.unpack(packed.chunks).size == content.size());
    CHECK(packed.diff_id == Digest::of(content));
  }
}

TEST_CASE("disk packing: a single long stream of another program, cut anywhere, is read") {
  Bench bench;
  const auto content = disk_content(3);
  const auto stream = zlib_stream(content, "other.raw");
  const auto third = stream.size() / 3;
  const auto out = bench.unpack({bench.add(stream.substr(0, third)), bench.add(stream.substr(third, 1)),
                                 bench.add(stream.substr(third + 1))});
  CHECK(out.name == "other.raw");
  CHECK(out.diff_id == Digest::of(content));
}

TEST_CASE("disk packing: damage is found, and whose it is") {
  Bench bench;
  const auto stream = zlib_stream(disk_content(2), "d");
  check_error(Blame::job, "ends too early",
              [&] { bench.unpack({bench.add(stream.substr(0, stream.size() - 4))}); });
  remove_if_there(bench.folder / "out/d");
  auto flipped = stream;
  flipped[flipped.size() - 6] = static_cast<char>(flipped[flipped.size() - 6] ^ 1);
  check_error(Blame::job, "damaged", [&] { bench.unpack({bench.add(flipped)}); });
  remove_if_there(bench.folder / "out/d");
  check_error(Blame::job, "not gzip", [&] { bench.unpack({bench.add(stream + "trailing rubbish")}); });
  check_error(Blame::job, "not gzip", [&] { bench.unpack({bench.add("this is no gzip data")}); });
  check_error(Blame::job, "two disks of this name", [&] { bench.unpack({bench.add(stream)}); });
}

TEST_CASE("disk packing: a blob that is not what its digest says is the cache's damage") {
  Bench bench;
  const auto packed = bench.pack(disk_content(2), 65536);
  const auto victim = bench.layout.blob(packed.chunks[3].digest);
  auto bytes = read_file(victim);
  bytes[20] = static_cast<char>(bytes[20] ^ 1);
  write_file(victim, bytes, 0644);
  // The member that it damages may be met before the blob's end.
  const auto error = sarde::testing::error_of([&] { bench.unpack(packed.chunks); });
  INFO(error.what());
  CHECK((std::string(error.what()).find("digest") != std::string::npos ||
         std::string(error.what()).find("damaged") != std::string::npos));
}

TEST_CASE("disk packing: a name that is none of a plain file is refused") {
  for (const auto* name : {"../evil", "/etc/passwd", "a/b", "..", ".", ".hidden", "a\nb", ""}) {
    CAPTURE(name);
    Bench bench;
    check_error(Blame::job, "no plain file name", [&] { bench.unpack({bench.add(zlib_stream("x", name))}); });
  }
}
