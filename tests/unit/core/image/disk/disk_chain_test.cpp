#include "core/image/disk/disk_chain.hpp"

#include <doctest/doctest.h>

#include "core/image/disk/disk_overlay.hpp"
#include "core/image/disk/qcow2_header.hpp"
#include "core/system/files.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using sarde::testing::check_error;
using sarde::testing::TestFolder;
namespace fs = std::filesystem;

namespace {

struct Bench {
  TestFolder folder;

  fs::path raw(const std::string& name) {
    make_folders((folder / name).parent_path(), 0755);
    write_file(folder / name, std::string(4096, 'r'), 0644);
    return folder / name;
  }

  fs::path overlay(const std::string& name, const fs::path& base, const std::string& format) {
    make_folders((folder / name).parent_path(), 0755);
    create_overlay({.base = base, .base_format = format, .overlay = folder / name});
    return folder / name;
  }

  /// Changes the header's bytes.
  static void patch(const fs::path& file, const std::string& from, const std::string& to) {
    auto content = read_file(file);
    content.replace(content.find(from), from.size(), to);
    write_file(file, content, 0644);
  }
};

}  // namespace

TEST_CASE("overlay: its header says size, backing file and format") {
  Bench bench;
  const auto top = bench.overlay("top", bench.raw("base.raw"), "raw");
  const auto header = read_qcow2_header(top);
  REQUIRE(header);
  CHECK(header->virtual_size == 4096);
  CHECK(*header->backing_file == (bench.folder / "base.raw").string());
  CHECK(*header->backing_format == "raw");
  CHECK(fs::file_size(top) == 4 * 65536);
  check_error(Blame::host, "File exists", [&] { bench.overlay("top", bench.folder / "base.raw", "raw"); });
}

TEST_CASE("disk chain: files from anywhere get bare names of their own, bases first") {
  Bench bench;
  const auto base = bench.raw("a/disk.img");
  const auto middle = bench.overlay("b/disk.img", base, "raw");
  const auto top = bench.overlay("c/disk.img", middle, "qcow2");
  const auto files =
      image_files({{.path = top, .format = "qcow2"}, {.path = bench.raw("d/disk.img"), .format = "raw"}});
  REQUIRE(files.size() == 4);
  CHECK(files[0].path == fs::canonical(base));
  CHECK(files[0].name == "disk.img");
  CHECK(files[1].name == "disk-2.img");
  CHECK(files[1].backing_name == "disk.img");
  CHECK(files[2].name == "disk-3.img");
  CHECK(files[2].backing_name == "disk-2.img");
  CHECK(files[3].name == "disk-4.img");
  CHECK(files[3].backing_name.empty());
}

TEST_CASE("disk chain: a base of two disks is there once") {
  Bench bench;
  const auto base = bench.raw("base.raw");
  const auto one = bench.overlay("one", base, "raw");
  const auto two = bench.overlay("two", base, "raw");
  CHECK(image_files({{.path = one, .format = "qcow2"}, {.path = two, .format = "qcow2"}}).size() == 3);
}

TEST_CASE("disk chain: what no image can hold is refused, naming the file") {
  Bench bench;
  const auto refused = [&](const std::string& fragment, const fs::path& top,
                           const std::string& format = "qcow2") {
    check_error(Blame::job, fragment, [&] { image_files({{.path = top, .format = format}}); });
  };
  const auto base = bench.raw("base.raw");
  refused("base.raw is said to be qcow2, but is not", base);
  refused("base.raw is a disk whose format", base, "");
  refused("has the format 'vmdk'", base, "vmdk");
  const auto loop = bench.overlay("loop", base, "raw");
  fs::remove(base);
  refused("base.raw (the backing file of " + fs::canonical(loop).string() + ") cannot be found", loop);
  // The names have one length, so that they can be exchanged in place.
  const auto one = bench.overlay("one", bench.overlay("two", bench.raw("raw"), "raw"), "qcow2");
  fs::remove(bench.folder / "two");
  bench.overlay("two", one, "qcow2");
  refused("has a backing chain that loops", one);
  const auto remote = bench.overlay("remote", bench.raw("r.r"), "raw");
  const auto text = (bench.folder / "r.r").string();
  Bench::patch(remote, text, "nbd:" + std::string(text.size() - 4, 'x'));
  refused("which is no file", remote);
  const auto unsaid = bench.overlay("unsaid", bench.raw("u.r"), "raw");
  Bench::patch(unsaid, "\xe2\x79\x2a\xca", "\x01\x79\x2a\xca");
  refused("unsaid does not say the format of its backing file", unsaid);
}

TEST_CASE("qcow2 header: the backing file gets another name, shorter or longer, and the file stays") {
  Bench bench;
  const auto base = bench.raw("base.raw");
  const auto top = bench.overlay("top", base, "raw");
  const auto before = read_file(top);
  for (const std::string name : {"b",
                                 "a-name-that-is-much-longer-than-the-path-of-any-temporary-folder-should-"
                                 "ever-be-on-any-machine-that-one-likes"}) {
    const auto head = qcow2_head_with_backing(top, name);
    const auto header = parse_qcow2_header(head, "it");
    REQUIRE(header);
    CHECK(*header->backing_file == name);
    CHECK(*header->backing_format == "raw");
    CHECK(header->virtual_size == 4096);
  }
  CHECK(read_file(top) == before);
}
