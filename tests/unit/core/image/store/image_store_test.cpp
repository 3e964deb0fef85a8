#include "core/image/store/image_store.hpp"

#include <doctest/doctest.h>

#include "core/foundation/text.hpp"
#include "core/image/store/unpacked_marker.hpp"
#include "core/system/files.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using sarde::testing::check_error;
using sarde::testing::TestFolder;

namespace {

std::string big_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> (8 * i));
  return text;
}

/// The first bytes of a qcow2 file, version 3, with a backing file if one is named.
std::string qcow2(const std::string& backing = "", const std::string& format = "qcow2",
                  std::uint64_t incompatible = 0) {
  std::string extension;
  if (!backing.empty() && !format.empty())
    extension = big_endian(0xe2792aca, 4) + big_endian(format.size(), 4) + format +
                std::string((8 - format.size() % 8) % 8, '\0');
  extension += std::string(8, '\0');
  const auto at = backing.empty() ? 0 : 104 + extension.size();
  auto header = "QFI\xfb" + big_endian(3, 4) + big_endian(at, 8) + big_endian(backing.size(), 4) +
                big_endian(16, 4) + big_endian(1U << 30U, 8);
  header += big_endian(0, 4) + big_endian(2, 4) + big_endian(3U << 16U, 8) + big_endian(1U << 16U, 8) +
            big_endian(1, 4) + std::string(12, '\0') + big_endian(incompatible, 8) + std::string(16, '\0') +
            big_endian(4, 4) + big_endian(104, 4);
  return header + extension + backing + std::string(200, 'x');
}

struct Bench {
  TestFolder folder;
  sarde::testing::FakeClock clock;
  Cancellation cancellation;
  ImageStore store{{.ocidir = folder / "oci",
                    .vmdir = folder / "vms",
                    .threads = 2,
                    .lock_timeout = std::chrono::seconds(1)},
                   clock,
                   cancellation};
  ImageReference reference = ImageReference::parse("localhost:5000/vms/a:one");

  /// Puts an image of these disks into the cache.
  void add(const std::vector<std::pair<std::string, std::string>>& disks) {
    const auto layout = store.catalogue.layout_of(reference);
    layout.create();
    Manifest manifest{.config = layout.add_blob("", ""),
                      .layers = {layout.add_blob("<domain/>", media_type::domain)}};
    ImageConfig config{.architecture = "amd64",
                       .created = "2026-01-01T00:00:00Z",
                       .diff_ids = {manifest.layers[0].digest},
                       .history = {}};
    for (const auto& [name, content] : disks) {
      write_file(folder / name, content, 0644);
      const auto packed = pack_disk(folder / name, layout,
                                    {.name = name, .media_type = "application/x-qemu-disk"}, cancellation);
      manifest.layers.insert(manifest.layers.end(), packed.chunks.begin(), packed.chunks.end());
      config.diff_ids.push_back(packed.diff_id);
    }
    manifest.config = layout.add_blob(to_text(config), media_type::config);
    store.catalogue.tag(layout, layout.add_blob(to_text(manifest), media_type::manifest), "one");
  }

  UnpackedImage unpack() {
    const auto image = store.catalogue.load(reference);
    return store.unpacked.unpack(image, image.base_name(), {});
  }

  /// Nothing that a later import could take for an image.
  void check_nothing_unpacked() {
    for (const auto& entry : std::filesystem::directory_iterator(folder / "vms")) {
      CHECK(entry.path().filename().string().ends_with(".lock"));
    }
  }
};

}  // namespace

TEST_CASE("image store: an image is unpacked once, with its backing chain") {
  Bench bench;
  bench.add({{"base.qcow2", qcow2()}, {"top.qcow2", qcow2("base.qcow2")}});
  const auto first = bench.unpack();
  CHECK_FALSE(first.was_there);
  CHECK(first.disks == std::vector<std::string>{"base.qcow2", "top.qcow2"});
  CHECK(read_file(first.folder / "top.qcow2") == qcow2("base.qcow2"));
  CHECK(bench.unpack().was_there);
}

TEST_CASE("image store: disks that reach outside of the image are refused, and nothing stays") {
  const std::vector<std::tuple<std::string, std::string, std::string>> cases{
      {"absolute backing file", qcow2("/etc/passwd", "raw"), "not one of the image's own files"},
      {"backing file above", qcow2("../x.qcow2"), "not one of the image's own files"},
      {"missing backing file", qcow2("gone.qcow2"), "not one of the image's own files"},
      {"json: backing", qcow2("json:{\"driver\":\"nbd\"}"), "not one of the image's own files"},
      {"itself as backing", qcow2("d.qcow2"), "loops"},
      {"a format with references of its own", qcow2("d.qcow2", "vmdk"), "has the format 'vmdk'"},
      {"backing format unsaid", qcow2("d.qcow2", ""), "does not say the format"},
      {"external data", qcow2("", "", 4), "external file"},
      {"header cut short", qcow2().substr(0, 60), "cut short"},
      {"backing name behind the end", qcow2("base.qcow2").replace(8, 8, big_endian(40'000, 8)), "cut short"}};
  for (const auto& [name, content, message] : cases) {
    CAPTURE(name);
    Bench bench;
    bench.add({{"d.qcow2", content}});
    check_error(Blame::job, message, [&] { bench.unpack(); });
    bench.check_nothing_unpacked();
  }
}

TEST_CASE("image store: a disk whose name QEMU would take for a protocol is refused") {
  for (const std::string name : {"json:{\"driver\":\"raw\"}", "nbd:localhost:1", "fat:x", "a\xff"}) {
    CAPTURE(name);
    Bench bench;
    bench.add({{name, qcow2()}, {"top.qcow2", qcow2(name)}});
    check_error(Blame::job, "no plain file name", [&] { bench.unpack(); });
    bench.check_nothing_unpacked();
  }
}

TEST_CASE("oci layout: a tag that is there twice is set to what it is set to") {
  const TestFolder folder;
  const OciLayout layout(folder / "x");
  layout.create();
  SystemClock clock;
  Cancellation cancellation;
  const auto first = layout.add_blob("one", media_type::manifest);
  const auto second = layout.add_blob("two", media_type::manifest);
  write_file(layout.folder() / "index.json",
             to_text({{.manifest = first, .tag = "t"}, {.manifest = second, .tag = "t"}}), 0644);
  CHECK(layout.find("t")->manifest.digest == second.digest);
  layout.tag(first, "t", {.clock = clock, .cancellation = cancellation, .deadline = clock.now()});
  CHECK(layout.find("t")->manifest.digest == first.digest);
  CHECK(layout.index().size() == 1);
}

TEST_CASE("image store: a disk that is not what its diff_id says is no base VM's, and is found among jobs'") {
  Bench bench;
  bench.add({{"d.raw", "content"}});
  auto image = bench.store.catalogue.load(bench.reference);
  image.disk_diff_ids[0] = Digest::of("other content");
  check_error(Blame::job, "does not match its digest", [&] { bench.store.unpacked.unpack(image, "x", {}); });
  bench.check_nothing_unpacked();
  // What jobs share is bound by the manifest's digest, and read at leisure.
  const auto shared = bench.store.unpacked.unpack_shared(image, {}).folder;
  Cancellation never;
  const auto read = read_disks(shared, read_unpacked_marker(shared)->first, never);
  CHECK(read.misstated == std::vector<std::string>{"d.raw"});
  CHECK(read.changed.empty());
}

TEST_CASE("image store: a missing image is the job's fault, a damaged cache the host's") {
  Bench bench;
  check_error(Blame::job, "is not in",
              [&] { static_cast<void>(bench.store.catalogue.load(bench.reference)); });
  bench.add({{"d.raw", "content"}});
  const auto manifest = bench.store.catalogue.load(bench.reference).manifest;
  write_file(bench.store.catalogue.layout_of(bench.reference).blob(manifest.digest), "something else", 0644);
  check_error(Blame::host, "does not match its digest",
              [&] { static_cast<void>(bench.store.catalogue.load(bench.reference)); });
}

TEST_CASE("image store: a name without tag means latest, else the entry added last") {
  Bench bench;
  bench.add({{"d.raw", "content"}});
  CHECK(bench.store.catalogue.has(ImageReference::parse("localhost:5000/vms/a")));
  CHECK_FALSE(bench.store.catalogue.has(ImageReference::parse("localhost:5000/vms/a:two")));
}

TEST_CASE("image store: an image that sardinecake put under the host without its port is found") {
  Bench bench;
  bench.add({{"d.raw", "content"}});
  const auto image = bench.store.catalogue.load(bench.reference);
  const OciLayout misplaced(bench.folder / "oci2" / "localhost");
  make_folders(bench.folder / "oci2", 0755);
  std::filesystem::copy(image.layout.folder(), misplaced.folder(), std::filesystem::copy_options::recursive);
  bench.store.catalogue.tag(misplaced, image.manifest, "5000/vms/a:one");
  const ImageStore other({.ocidir = bench.folder / "oci2",
                          .vmdir = bench.folder / "vms",
                          .lock_timeout = std::chrono::seconds(1)},
                         bench.clock, bench.cancellation);
  CHECK(other.catalogue.load(bench.reference).config_digest == image.config_digest);
}

TEST_CASE("image store: what another program unpacked is checked before it is used") {
  Bench bench;
  bench.add({{"d.raw", "content"}});
  const auto image = bench.store.catalogue.load(bench.reference);
  make_folders(bench.folder / "vms" / image.base_name(), 0755);
  write_file(bench.folder / "vms" / image.base_name() / "d.raw", "half of the cont", 0644);
  check_error(Blame::host, "does not hold the image's disks", [&] { bench.unpack(); });
  write_file(bench.folder / "vms" / image.base_name() / "d.raw", "content", 0644);
  CHECK(bench.unpack().was_there);
}

TEST_CASE("image store: jobs do not start from disks that somebody has written to") {
  Bench bench;
  const std::string content(3U << 20U, 'c');
  bench.add({{"d.raw", content}});
  const auto image = bench.store.catalogue.load(bench.reference);
  const auto first = bench.store.unpacked.unpack_shared(image, {});
  CHECK(first.folder.filename() == image.manifest.digest.text());
  CHECK(std::filesystem::status(first.folder / "d.raw").permissions() == std::filesystem::perms::owner_read);
  CHECK(bench.store.unpacked.unpack_shared(image, {}).was_there);
  SUBCASE("and has changed its size and time") {
    write_file(first.folder / "d.raw", "changed by a VM", 0400);
  }
  SUBCASE("and has hidden it") {
    const auto time = std::filesystem::last_write_time(first.folder / "d.raw");
    auto changed = content;
    changed.front() = 'x';
    write_file(first.folder / "d.raw", changed, 0400);
    std::filesystem::last_write_time(first.folder / "d.raw", time);
  }
  SUBCASE("and has taken the marker away") {
    remove_if_there(first.folder / ".sarde-image.json");
  }
  const auto again = bench.store.unpacked.unpack_shared(image, {});
  CHECK_FALSE(again.was_there);
  CHECK(read_file(again.folder / "d.raw") == content);
}
