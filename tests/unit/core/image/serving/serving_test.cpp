// Disks that are given to VMs while their layers come: which layers are there, what is brought first, and
// what a reader gets.
#include <cstring>
#include <random>
#include <set>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>

#include <doctest/doctest.h>

#include "core/image/serving/nbd_server.hpp"
#include "core/image/store/boot_order.hpp"
#include "core/image/store/image_store.hpp"
#include "core/image/store/unpacked_marker.hpp"
#include "core/system/process_identity.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/fake_registry.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using sarde::testing::check_error;
using sarde::testing::FakeRegistry;
using sarde::testing::TestFolder;

namespace {

constexpr std::size_t mebi = 1U << 20U;
constexpr std::size_t span_of_layer = 16 * mebi;

/// Stretches of zeros, of noise, and of what can be compressed.
std::string content_of(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string content(size, '\0');
  for (std::size_t at = 0; at < size; at += mebi) {
    const auto kind = random() % 3;
    for (std::size_t i = at; kind != 0 && i < std::min(size, at + mebi); i += 1 + random() % 64)
      content[i] = static_cast<char>(kind == 1 ? 'a' : random());
  }
  content[0] = 'x';
  return content;
}

/// An image of one disk with three layers and a bit, at a registry.
struct Bench {
  TestFolder folder;
  FakeRegistry registry;
  FakeRegistry::FakeBlobs blobs{registry};
  Cancellation never;
  std::string content = content_of(3 * span_of_layer + 12345, 7);
  DiskLayers layers = disk("d.raw", content);
  PartialImage::Owner owner{.manifest = Digest::of("manifest").text(), .config = Digest::of("config").text()};

  DiskLayers disk(const std::string& name, const std::string& text) {
    auto packed = registry.add_disk(folder.path(), name, text);
    packed.chunks.front().annotations = {{annotation::disk_name, name},
                                         {annotation::disk_size, std::to_string(text.size())}};
    return {.chunks = packed.chunks};
  }

  PartialImage open() { return PartialImage::open(folder.path(), owner, layer_grids({layers}).value()); }

  void bring(PartialImage& image, std::size_t layer) {
    image.bring({.disk = 0, .layer = layer}, blobs, 2, never);
  }

  std::string bytes(const PartialImage& image, std::size_t layer) {
    const auto& grid = image.disks()[0];
    std::string data(grid.length_of(layer), '\0');
    REQUIRE(::pread(image.fd(0), data.data(), data.size(), static_cast<off_t>(grid.start_of(layer))) ==
            static_cast<ssize_t>(data.size()));
    return data;
  }

  std::string wanted(std::size_t layer) { return content.substr(layer * span_of_layer, span_of_layer); }
};

}  // namespace

TEST_CASE("serving: each layer is unpacked by itself, in any order") {
  Bench bench;
  REQUIRE(bench.layers.chunks.size() == 4);
  auto image = bench.open();
  for (const auto layer : {3U, 0U, 2U, 1U}) {
    CHECK_FALSE(image.has({.disk = 0, .layer = layer}));
    bench.bring(image, layer);
    CHECK(bench.bytes(image, layer) == bench.wanted(layer));
  }
  CHECK(image.missing().empty());
  // What is there is not asked for again, and another process finds it.
  bench.registry.read.clear();
  auto again = bench.open();
  CHECK(again.missing().empty());
  bench.bring(again, 2);
  CHECK(bench.registry.read.empty());
}

TEST_CASE("serving: a layer that is not what the manifest says is not there, and leaves nothing") {
  Bench bench;
  auto image = bench.open();
  auto& stored = bench.registry.blobs.at(bench.layers.chunks[1].digest.text());
  const auto right = stored;
  SUBCASE("another digest") {
    stored[stored.size() / 2] ^= 1;
    check_error(Blame::job, "other content than the manifest says", [&] { bench.bring(image, 1); });
  }
  SUBCASE("nothing at all") {
    stored.clear();
    check_error(Blame::job, "layer " + bench.layers.chunks[1].digest.text(), [&] { bench.bring(image, 1); });
  }
  CHECK_FALSE(image.has({.disk = 0, .layer = 1}));
  CHECK_FALSE(bench.open().has({.disk = 0, .layer = 1}));
  stored = right;
  bench.bring(image, 1);
  CHECK(bench.bytes(image, 1) == bench.wanted(1));
}

TEST_CASE("serving: layers with the right digest that are not a stretch of the disk are refused") {
  Bench bench;
  const auto replaced = [&](std::size_t layer, const std::string& name, const std::string& content) {
    const auto other = bench.disk(name, content);
    bench.layers.chunks[layer].digest = other.chunks[0].digest;
    bench.layers.chunks[layer].size = other.chunks[0].size;
    return bench.open();
  };
  SUBCASE("too short") {
    auto image = replaced(0, "d.raw", content_of(5 * mebi, 1));
    CHECK_THROWS_AS(bench.bring(image, 0), Error);
    bench.layers = bench.disk("d.raw", content_of(5 * mebi, 1));
    bench.layers.chunks.front().annotations[annotation::disk_size] = "6291456";
    bench.owner.manifest = Digest::of("another manifest").text();
    auto other = bench.open();
    check_error(Blame::job, "bytes of the disk, and not 6291456", [&] { bench.bring(other, 0); });
  }
  SUBCASE("too long") {
    auto image = replaced(3, "d.raw", content_of(2 * mebi, 1));
    CHECK_THROWS_AS(bench.bring(image, 3), Error);
  }
  SUBCASE("of another disk") {
    auto image = replaced(0, "e.raw", content_of(span_of_layer, 1));
    check_error(Blame::job, "names another file", [&] { bench.bring(image, 0); });
  }
}

TEST_CASE("serving: only what this program has packed, with whole layers, has a grid") {
  Bench bench;
  CHECK(layer_grid(bench.layers));
  const auto without = [&](const auto& change) {
    auto layers = bench.layers;
    change(layers);
    return layer_grid(layers);
  };
  CHECK_FALSE(without([](DiskLayers& disk) { disk.chunks.front().annotations.clear(); }));
  CHECK_FALSE(without([](DiskLayers& disk) { disk.chunks.pop_back(); }));
  CHECK_FALSE(without([](DiskLayers& disk) {
    disk.chunks.front().annotations[annotation::disk_size] = "18446744073709551615";
  }));
  CHECK_FALSE(
      without([](DiskLayers& disk) { disk.chunks.front().annotations[annotation::disk_size] = "0"; }));
  CHECK_FALSE(
      without([](DiskLayers& disk) { disk.chunks.front().annotations[annotation::disk_name] = "../x"; }));
  CHECK_FALSE(without([](DiskLayers& disk) { disk.chunks[1].size = 0; }));
  CHECK_FALSE(layer_grids({bench.layers, bench.layers}));  // two files of one name
}

TEST_CASE("serving: after the machine was down, nothing of a partial image is believed") {
  Bench bench;
  {
    auto image = bench.open();
    bench.bring(image, 0);
  }
  const auto folder = PartialImage::folder_of(bench.folder.path(), Digest::of("manifest"));
  const auto mark = folder / ".image";
  CHECK(PartialImage::is_there(bench.folder.path(), Digest::of("manifest")));
  SUBCASE("another boot") {
    write_file(mark, bench.owner.manifest + "\nanother\n" + bench.owner.config + "\n\n", 0600);
    CHECK(PartialImage::owner_of(folder)->is_lost);
  }
  SUBCASE("another image") {
    write_file(mark, Digest::of("other").text() + "\n" + boot_id() + "\n" + bench.owner.config + "\n\n",
               0600);
  }
  SUBCASE("no image") {
    write_file(mark, "", 0600);
  }
  CHECK_FALSE(PartialImage::is_there(bench.folder.path(), Digest::of("manifest")));
  CHECK(bench.open().missing().size() == 4);
}

TEST_CASE("serving: a list that was cut off names only what is there") {
  Bench bench;
  {
    auto image = bench.open();
    bench.bring(image, 1);
  }
  const auto list = PartialImage::folder_of(bench.folder.path(), Digest::of("manifest")) / ".layers";
  const auto text = read_file(list);
  for (const auto* tail : {"\n0", "\n0 2", "\n0 2 ", "\n0 99 .", "\n7 0 .", "\nx y ."}) {
    write_file(list, text + tail, 0600);
    CHECK(bench.open().missing().size() == 3);
  }
}

TEST_CASE("serving: layers are taken from an older version, unless it has changed since") {
  Bench bench;
  sarde::testing::FakeClock clock;
  ImageStore store({.ocidir = bench.folder / "oci", .vmdir = bench.folder.path(), .threads = 2}, clock,
                   bench.never);
  const auto older = bench.folder / "older.raw";
  write_file(older, bench.content, 0600);
  const auto pieces = pieces_of_file(older, bench.never);
  auto text = bench.content;
  text[2 * span_of_layer + 5 * mebi] ^= 1;
  write_file(older, text, 0600);
  const auto known = [&](std::uint64_t at) {
    return KnownSpan{.file = older, .at = at, .length = span_of_layer, .pieces = pieces};
  };
  auto of_unknown_pieces = known(0);
  of_unknown_pieces.pieces = {};
  auto image = bench.open();
  image.take({{bench.layers.chunks[0].digest.text(), of_unknown_pieces},
              {bench.layers.chunks[1].digest.text(), known(span_of_layer)},
              {bench.layers.chunks[2].digest.text(), known(2 * span_of_layer)},
              {bench.layers.chunks[3].digest.text(), known(0)}},
             bench.never);
  CHECK(image.missing() ==
        std::vector<LayerPlace>{{.disk = 0, .layer = 0}, {.disk = 0, .layer = 2}, {.disk = 0, .layer = 3}});
  for (const auto place : image.missing()) bench.bring(image, place.layer);
  const OciLayout layout(bench.folder / "layout");
  const StoredImage stored{.reference = ImageReference::parse("h.example/a:1"),
                           .layout = layout,
                           .manifest = {.digest = Digest::of("manifest")},
                           .config_digest = Digest::of("config"),
                           .disks = {bench.layers},
                           .disk_diff_ids = {Digest::of(bench.content)}};
  // Where that cannot be, or is cut off, all stays as it was.
  const ImageStore strict({.ocidir = bench.folder / "oci", .vmdir = bench.folder.path(), .max_disk = 1},
                          clock, bench.never);
  check_error(Blame::job, "max-disk", [&] { strict.unpacked.finish(stored, image); });
  CHECK(read_file(image.file(0), UINT64_MAX) == bench.content);
  const auto finished = store.unpacked.finish(stored, image);
  CHECK(read_file(finished.folder / "d.raw", UINT64_MAX) == bench.content);
  const auto marker = read_unpacked_marker(finished.folder);
  REQUIRE(marker);
  CHECK(marker->first.disks[0].spans.size() == 4);
  CHECK(disks_changed_by_sample(finished.folder, marker->first, bench.never).empty());
  CHECK_FALSE(std::filesystem::exists(image.folder()));
  // Somebody else was quicker: then nothing stays either.
  auto late = bench.open();
  CHECK(store.unpacked.finish(stored, late).was_there);
  CHECK_FALSE(std::filesystem::exists(late.folder()));
}

TEST_CASE("serving: what is private to a repository is not there for another") {
  Bench bench;
  const auto manifest = Digest::of("manifest");
  bench.owner.private_to = "h.example/vms/a";
  auto image = bench.open();
  CHECK(PartialImage::is_there_for("h.example/vms/a", bench.folder.path(), manifest));
  CHECK_FALSE(PartialImage::is_there_for("h.example/vms/b", bench.folder.path(), manifest));
  CHECK_FALSE(PartialImage::has_all_layers(image.folder(), image.disks()));
  for (const auto place : image.missing()) bench.bring(image, place.layer);
  CHECK(PartialImage::has_all_layers(image.folder(), image.disks()));
  PartialImage::remove(bench.folder.path(), manifest);
  CHECK_FALSE(PartialImage::has_all_layers(image.folder(), image.disks()));
  check_error(Blame::host, "does not hold the image's disks",
              [&] { PartialImage::existing(bench.folder.path(), manifest, image.disks()); });
}

TEST_CASE(
    "serving: what somebody waits for comes first, then what is expected, then the rest after a moment") {
  Bench bench;
  auto image = bench.open();
  const auto place = [](std::size_t layer) { return LayerPlace{.disk = 0, .layer = layer}; };
  const std::chrono::milliseconds at_once(0);
  LayerQueue queue(image, {place(2)});
  int changes = 0;
  queue.changed = [&] { ++changes; };
  CHECK(queue.ask_for({place(3), place(1)}) == LayerQueue::Presence::missing);
  for (const auto layer : {3U, 1U, 2U}) {
    CHECK(queue.next(at_once) == place(layer));
    queue.arrived(place(layer));
  }
  CHECK(changes == 3);
  CHECK(queue.ask_for({place(3)}) == LayerQueue::Presence::there);
  CHECK(queue.next(at_once) == std::nullopt);  // the link is left alone for a moment
  CHECK(queue.next(std::chrono::seconds(5)) == place(0));
  CHECK(queue.ask_for({place(0)}) == LayerQueue::Presence::missing);
  queue.give_up();
  CHECK(queue.ask_for({place(3), place(0)}) == LayerQueue::Presence::lost);
  CHECK(queue.ask_for({place(3)}) == LayerQueue::Presence::there);
  CHECK_FALSE(queue.is_complete());
  queue.arrived(place(0));
  CHECK(queue.is_complete());
  CHECK(queue.touched() == std::vector<LayerPlace>{place(3), place(1), place(0)});
}

TEST_CASE("serving: the order of a boot as text, and what it expects") {
  CHECK(stretches_text({0, 1, 2, 70, 9, 10}) == "0-2,70,9-10");
  CHECK(parse_stretches("0-2,70,9-10") == std::vector<std::uint64_t>{0, 1, 2, 70, 9, 10});
  CHECK(stretches_text({}).empty());
  CHECK(parse_stretches("3,x,4") == std::vector<std::uint64_t>{3});
  CHECK(parse_stretches("5-4,1").empty());
  CHECK(parse_stretches("0-18446744073709551615").empty());
  CHECK(parse_stretches("0-99999999").empty());
  CHECK(parse_stretches("0-60000000").size() == 20'000);
  CHECK(parse_stretches("").empty());
  const LayerGrid grid{.name = "d",
                       .size = 100ULL << 20U,
                       .span = 32U << 20U,
                       .layers = std::vector<Descriptor>(4, {.digest = Digest::of("")})};
  CHECK(expected_layers({grid}, {{"d", {6, 0, 1, 99}}, {"e", {0}}}) ==
        std::vector<LayerPlace>{{.disk = 0, .layer = 3}, {.disk = 0, .layer = 0}});
  CHECK(boot_order_of({grid}, {{.disk = 0, .layer = 3}, {.disk = 0, .layer = 0}}) ==
        BootOrder{{"d", {6, 0, 1}}});
  TestFolder folder;
  const OciLayout layout(folder.path());
  CHECK(read_boot_order(layout).empty());
  note_boot_order(layout, {{"d", {6, 0, 1}}});
  CHECK(read_boot_order(layout) == BootOrder{{"d", {6, 0, 1}}});
  write_file(folder / ".boot-order.json", "{\"d\": 5", 0600);
  CHECK(read_boot_order(layout).empty());
}

namespace {

/// An NBD server for the bench's image, and what speaks to it.
struct ServerBench : Bench {
  PartialImage image = open();
  LayerQueue queue{image, {}};
  std::vector<std::string> opened;
  sockaddr_un address{};
  NbdServer server{image, queue, listen(), [this](const std::string& vm) {
                     opened.push_back(vm);
                     return vm.starts_with("vm");
                   }};

  UniqueFd listen() {
    address.sun_family = AF_UNIX;
    const auto path = (folder / "s").string();
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd.get(), 4) == 0);
    return fd;
  }

  UniqueFd connect() {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
  }

  static std::string number(std::uint64_t value, int bytes) {
    std::string text;
    for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> (8 * i));
    return text;
  }

  static void send(const UniqueFd& fd, const std::string& text) {
    CHECK(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
  }

  /// Empty if the connection has ended, or nothing comes.
  static std::string receive(const UniqueFd& fd, std::size_t size) {
    std::string data(size, '\0');
    const auto got = ::recv(fd.get(), data.data(), size, MSG_WAITALL);
    return got == static_cast<ssize_t>(size) ? data : std::string();
  }

  /// With the export open, as QEMU opens it.
  UniqueFd open_disk(const std::string& name) {
    auto fd = connect();
    CHECK(receive(fd, 18).substr(0, 16) == "NBDMAGICIHAVEOPT");
    send(fd, number(3, 4));
    send(fd, "IHAVEOPT" + number(8, 4) + number(0, 4));  // structured replies: there are none
    CHECK(receive(fd, 20).substr(12, 4) == number(0x80000001, 4));
    send(fd, "IHAVEOPT" + number(7, 4) + number(name.size() + 6, 4) + number(name.size(), 4) + name +
                 number(0, 2));
    const auto head = receive(fd, 20);
    if (head.substr(12, 4) != number(3, 4)) return {};
    const auto about = receive(fd, 12);
    CHECK(about.substr(2, 8) == number(content.size(), 8));
    CHECK((static_cast<unsigned char>(about[11]) & 2U) != 0);  // read-only
    CHECK(receive(fd, 20).substr(12, 4) == number(1, 4));
    return fd;
  }

  static void ask(const UniqueFd& fd, unsigned type, std::uint64_t handle, std::uint64_t at,
                  std::uint32_t length) {
    send(fd, number(0x25609513, 4) + number(0, 2) + number(type, 2) + number(handle, 8) + number(at, 8) +
                 number(length, 4));
  }

  /// The answer's error and handle.
  static std::pair<int, int> answer(const UniqueFd& fd) {
    const auto head = receive(fd, 16);
    if (head.empty()) return {-1, -1};
    CHECK(head.substr(0, 4) == number(0x67446698, 4));
    return {head[7], head[15]};
  }

  void bring_one() {
    const auto next = queue.next(std::chrono::seconds(5));
    REQUIRE(next);
    bring(image, next->layer);
    queue.arrived(*next);
  }

  template <typename Check>
  static bool soon(const Check& check) {
    for (int i = 0; i < 500; ++i) {
      if (check()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
};

}  // namespace

TEST_CASE("serving: a reader gets what is there at once, and waits for the rest, which comes first") {
  ServerBench bench;
  bench.bring(bench.image, 0);
  bench.queue.arrived({.disk = 0, .layer = 0});
  const auto disk = bench.open_disk("vm-1/d.raw");
  REQUIRE(disk);
  CHECK(bench.opened == std::vector<std::string>{"vm-1"});
  CHECK(bench.server.vms() == std::vector<std::string>{"vm-1"});
  constexpr std::uint32_t size = 4096;
  bench.ask(disk, 0, 1, 2 * span_of_layer - 1000, size);  // in layers 1 and 2
  bench.ask(disk, 0, 2, 5000, size);
  CHECK(bench.answer(disk) == std::pair(0, 2));
  CHECK(bench.receive(disk, size) == bench.content.substr(5000, size));
  bench.bring_one();
  bench.bring_one();
  CHECK(bench.answer(disk) == std::pair(0, 1));
  CHECK(bench.receive(disk, size) == bench.content.substr(2 * span_of_layer - 1000, size));
  CHECK(bench.image.has({.disk = 0, .layer = 1}));
  CHECK(bench.image.has({.disk = 0, .layer = 2}));
  CHECK_FALSE(bench.image.has({.disk = 0, .layer = 3}));
  // What does not come any more is an error, and never zeros.
  bench.ask(disk, 0, 3, 3 * span_of_layer, size);
  CHECK(bench.soon(
      [&] { return bench.queue.next(std::chrono::milliseconds(0)) == LayerPlace{.disk = 0, .layer = 3}; }));
  bench.queue.give_up();
  CHECK(bench.answer(disk) == std::pair(5, 3));
  bench.ask(disk, 0, 4, 0, size);
  CHECK(bench.answer(disk) == std::pair(0, 4));
  CHECK(bench.receive(disk, size) == bench.content.substr(0, size));
}

TEST_CASE("serving: requests that make no sense are refused") {
  ServerBench bench;
  CHECK_FALSE(bench.open_disk("vm-1/other.raw"));
  CHECK_FALSE(bench.open_disk("d.raw"));
  CHECK_FALSE(bench.open_disk("vm-1/../d.raw"));
  CHECK_FALSE(bench.open_disk("other/d.raw"));
  const auto disk = bench.open_disk("vm-1/d.raw");
  REQUIRE(disk);
  bench.ask(disk, 0, 1, bench.content.size() - 5, 6);
  CHECK(bench.answer(disk) == std::pair(22, 1));
  bench.ask(disk, 0, 2, UINT64_MAX, 1);
  CHECK(bench.answer(disk) == std::pair(22, 2));
  bench.ask(disk, 0, 3, 0, 33U << 20U);
  CHECK(bench.answer(disk) == std::pair(22, 3));
  bench.ask(disk, 3, 4, 0, 0);  // flush
  CHECK(bench.answer(disk) == std::pair(0, 4));
  bench.ask(disk, 0, 5, 100, 0);
  CHECK(bench.answer(disk) == std::pair(0, 5));
  bench.ask(disk, 1, 6, 0, 512);  // write
  CHECK(bench.answer(disk) == std::pair(-1, -1));
  for (const auto& nonsense : {std::string(64, 'x'), std::string("IHAVEOPT") + std::string(8, '\xff')}) {
    const auto client = bench.connect();
    bench.send(client, bench.number(3, 4) + nonsense);
    CHECK_FALSE(bench.receive(client, 18).empty());
    CHECK(bench.receive(client, 1).empty());
  }
  CHECK(bench.open_disk("vm-1/d.raw"));
}

TEST_CASE("serving: it ends when nobody is connected, and no VM was lost") {
  ServerBench bench;
  CHECK(bench.server.connections() == 0);
  auto holder = bench.connect();
  CHECK_FALSE(bench.receive(holder, 18).empty());
  auto disk = bench.open_disk("vm-1/d.raw");
  auto other = bench.open_disk("vm-2/d.raw");
  CHECK(bench.server.connections() == 3);
  bench.server.close_idle();
  CHECK(bench.receive(holder, 1).empty());
  CHECK(bench.soon([&] { return bench.server.connections() == 2; }));
  CHECK_FALSE(bench.server.close_if_unused());
  // One leaves, the other is lost: it may come back.
  bench.ask(disk, 2, 1, 0, 0);
  CHECK(bench.receive(disk, 1).empty());
  other.reset();
  CHECK(bench.soon([&] { return bench.server.connections() == 0; }));
  CHECK_FALSE(bench.server.close_if_unused());
  CHECK(bench.server.take_lost() == std::vector<std::string>{"vm-2"});
  // Who has connected is not left out, even if nobody has greeted him yet.
  holder = bench.connect();
  CHECK_FALSE(bench.server.close_if_unused());
  CHECK_FALSE(bench.receive(holder, 18).empty());
  holder.reset();
  CHECK(bench.soon([&] { return bench.server.connections() == 0; }));
  CHECK(bench.server.close_if_unused());
  CHECK(bench.soon([&] { return !bench.connect(); }));
}
