// What comes from a registry: pinned by digest, bounded before it comes, gone if it is refused.
#include <fcntl.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "core/image/store/image_store.hpp"
#include "core/image/store/unpacked_marker.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/fake_registry.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using sarde::testing::check_error;
using sarde::testing::TestFolder;

namespace {

struct Bench {
  TestFolder folder;
  sarde::testing::FakeClock clock;
  sarde::testing::FakeRegistry registry;
  Cancellation cancellation;
  ImageStore store{{.ocidir = folder / "oci",
                    .vmdir = folder / "vms",
                    .threads = 2,
                    .max_image = 8U << 20U,
                    .lock_timeout = std::chrono::seconds(1)},
                   clock,
                   cancellation};
  ImageReference reference = ImageReference::parse("h.example/vms/a:one");

  /// A disk as layers of the registry.
  std::pair<DiskLayers, Digest> disk(const std::string& name, const std::string& content) {
    const auto packed = registry.add_disk(folder.path(), name, content);
    return {{.chunks = packed.chunks}, packed.diff_id};
  }

  Descriptor config_of(const std::vector<Digest>& ids) {
    return registry.add(
        to_text(ImageConfig{
            .architecture = "amd64", .created = "2026-01-01T00:00:00Z", .diff_ids = ids, .history = {}}),
        media_type::config);
  }

  Descriptor domain(const std::string& text = "<domain/>") { return registry.add(text, media_type::domain); }

  Digest publish(const std::string& tag, const Manifest& manifest) {
    const auto digest = registry.add(to_text(manifest), media_type::manifest).digest;
    registry.tags.insert_or_assign(tag, digest);
    return digest;
  }

  Digest publish(const std::string& tag, const std::string& name, const std::string& content,
                 const std::string& domain_text = "<domain/>") {
    const auto [layers, id] = disk(name, content);
    Manifest manifest{.config = config_of({domain(domain_text).digest, id}), .layers = {domain(domain_text)}};
    manifest.layers.insert(manifest.layers.end(), layers.chunks.begin(), layers.chunks.end());
    return publish(tag, manifest);
  }

  ObtainedImage obtain(const RegistryAccess& access = {}, DiskSharing sharing = DiskSharing::many) {
    return store.fetcher.obtain({.reference = reference, .source = reference, .sharing = sharing}, registry,
                                access);
  }

  /// Nothing but locks, of what was refused.
  void check_nothing_stays() {
    CHECK_FALSE(store.catalogue.has(reference));
    for (const auto& blob : folder_entries(store.catalogue.layout_of(reference).blobs()))
      CHECK_MESSAGE(false, blob.string());
    for (const auto& mark : folder_entries(store.catalogue.layout_of(reference).folder() / ".sarde.private"))
      CHECK_MESSAGE(false, mark.string());
    for (const auto& unpacked : folder_entries(folder / "vms")) CHECK(unpacked.string().ends_with(".lock"));
  }
};

}  // namespace

TEST_CASE("obtain: a tag that moves in between changes nothing: what was announced is what comes") {
  Bench bench;
  const auto first = bench.publish("one", "d.raw", "first");
  Digest second = first;
  bench.registry.before_fetch = [&] { second = bench.publish("one", "d.raw", "second"); };
  const auto obtained = bench.obtain();
  CHECK(obtained.image.manifest.digest == first);
  CHECK(bench.registry.fetched == std::vector<std::string>{first.text()});
  CHECK(read_file(obtained.unpacked.folder / "d.raw") == "first");
  bench.registry.before_fetch = {};
  CHECK(bench.obtain().image.manifest.digest == second);
}

TEST_CASE("obtain: what came with a job's own credentials is marked before it has a name") {
  Bench bench;
  const auto digest = bench.publish("one", "d.raw", "private");
  const auto mark =
      bench.store.catalogue.layout_of(bench.reference).folder() / ".sarde.private" / digest.hex();
  bool was_marked = false;
  bench.registry.before_fetch = [&] {
    bench.publish("one", "d.raw", "another");
    was_marked = std::filesystem::exists(mark) && !bench.store.catalogue.has(bench.reference);
  };
  const auto obtained = bench.obtain({.authfile = bench.folder / "auth.json"});
  CHECK(was_marked);
  CHECK(bench.store.catalogue.is_private(obtained.image));
  CHECK(bench.store.catalogue.is_private(bench.store.catalogue.load(bench.reference)));
  bench.registry.before_fetch = {};
  bench.registry.tags.insert_or_assign("one", digest);
  CHECK_FALSE(bench.store.catalogue.is_private(bench.obtain().image));  // with this machine's own
}

TEST_CASE("obtain: more than may be is refused before any of it comes") {
  const std::vector<std::pair<std::string, std::function<void(Manifest&)>>> cases{
      {"more than max-image", [](Manifest& m) { m.layers.back().size = 9U << 20U; }},
      {"more than max-image", [](Manifest& m) { m.layers.back().size = UINT64_MAX; }},
      {"more than max-image",
       [](Manifest& m) {
         m.layers.back().size = std::uint64_t{1} << 63U;  // twice that is nothing, in 64 bits
         auto next = m.layers.back();
         next.media_type += ";chunk=1";
         m.layers.push_back(next);
       }},
      {"more than max-image",
       [](Manifest& m) {
         m.layers.back().annotations = {{annotation::disk_size, "9000000"}};
       }},
      {"is too much for", [](Manifest& m) { m.config.size = 9U << 20U; }},
      {"is too much for", [](Manifest& m) { m.layers.front().size = 9U << 20U; }}};
  for (const auto& [sentence, edit] : cases) {
    Bench bench;
    const auto digest = bench.publish("one", "d.raw", "content");
    auto manifest = parse_manifest(bench.registry.blobs.at(digest.text()), "it");
    edit(manifest);
    bench.publish("one", manifest);
    check_error(Blame::job, sentence, [&] { bench.obtain(); });
    check_error(Blame::job, sentence,
                [&] { bench.store.fetcher.fetch(bench.reference, bench.reference, bench.registry, {}); });
    CHECK(bench.registry.fetched.empty());
    bench.check_nothing_stays();
  }
}

TEST_CASE(
    "obtain: of an image that is refused once it is there nothing stays, and what was there before does") {
  const std::vector<std::pair<std::string, std::function<void(Bench&)>>> cases{
      {"not gzip",
       [](Bench& b) {
         const auto junk = b.registry.add("no gzip at all", "application/x-qemu-disk+gzip");
         b.publish("one",
                   {.config = b.config_of({b.domain().digest, junk.digest}), .layers = {b.domain(), junk}});
       }},
      {"max-image", [](Bench& b) { b.publish("one", "d.raw", std::string(9U << 20U, '\0')); }},
      {"diff_ids for",
       [](Bench& b) {
         const auto [layers, id] = b.disk("d.raw", "x");
         b.publish("one", {.config = b.config_of({id}), .layers = {b.domain(), layers.chunks.front()}});
       }},
      {"does not match its digest in the image config",
       [](Bench& b) {
         const auto [layers, id] = b.disk("d.raw", "x");
         b.publish("one", {.config = b.config_of({b.domain().digest, Digest::of("other")}),
                           .layers = {b.domain(), layers.chunks.front()}});
       }},
      {"no plain file name", [](Bench& b) { b.publish("one", "nbd:x", "x"); }}};
  for (const auto& [sentence, publish] : cases) {
    CAPTURE(sentence);
    Bench bench;
    publish(bench);
    constexpr auto as_base = DiskSharing::one_vm;  // whose disks' digests are compared
    check_error(Blame::job, sentence,
                [&] { bench.obtain({.authfile = bench.folder / "auth.json"}, as_base); });
    bench.check_nothing_stays();
    bench.publish("one", "d.raw", "good");
    const auto good = bench.obtain();
    publish(bench);
    check_error(Blame::job, sentence, [&] { bench.obtain({}, as_base); });
    CHECK(bench.store.catalogue.load(bench.reference).manifest.digest == good.image.manifest.digest);
    CHECK(read_file(good.unpacked.folder / "d.raw") == "good");
  }
}

TEST_CASE("obtain: another's config opens neither his disks nor spoils them") {
  Bench bench;
  const auto victim = bench.publish("victim", "d.raw", "the victim's disk");
  const auto victims = parse_manifest(bench.registry.blobs.at(victim.text()), "it");
  const auto get = [&](const std::string& tag, DiskSharing sharing = DiskSharing::many) {
    const auto name = ImageReference::parse("h.example/" + tag + "/a:" + tag);
    return bench.store.fetcher.obtain({.reference = name, .source = name, .sharing = sharing}, bench.registry,
                                      {});
  };
  SUBCASE("after the victim's is there") {
    const auto theirs = get("victim");
    const auto [layers, id] = bench.disk("d.raw", "the attacker's");
    bench.publish("attacker",
                  {.config = victims.config, .layers = {victims.layers.front(), layers.chunks.front()}});
    // A base VM is named by its config alone.
    check_error(Blame::job, "does not match its digest", [&] { get("attacker", DiskSharing::one_vm); });
    CHECK(get("attacker").unpacked.folder != theirs.unpacked.folder);
    CHECK(read_file(theirs.unpacked.folder / "d.raw") == "the victim's disk");
  }
  SUBCASE("before, with the same content under another name") {
    const auto [layers, id] = bench.disk("other.raw", "the victim's disk");
    bench.publish("attacker",
                  {.config = victims.config, .layers = {victims.layers.front(), layers.chunks.front()}});
    const auto attackers = get("attacker");
    CHECK(attackers.image.base_name() == victims.config.digest.text());
    const auto theirs = get("victim");
    CHECK(theirs.unpacked.folder != attackers.unpacked.folder);
    CHECK(theirs.unpacked.disks == std::vector<std::string>{"d.raw"});
  }
  SUBCASE("nor does another domain with his disks") {
    const auto theirs = get("victim");
    auto manifest = victims;
    manifest.layers.front() = bench.domain("<domain type='other'/>");
    bench.publish("attacker", manifest);
    CHECK(get("attacker").unpacked.folder != theirs.unpacked.folder);
  }
}

TEST_CASE("obtain: a folder whose marker is damaged is unpacked anew") {
  for (const auto* marker : {"", "{", "[]", "\xff"}) {
    CAPTURE(marker);
    Bench bench;
    bench.publish("one", "d.raw", "content");
    const auto image = bench.store.fetcher.fetch(bench.reference, bench.reference, bench.registry, {});
    const auto first = bench.store.unpacked.unpack_shared(image, {});
    write_file(first.folder / ".sarde-image.json", marker, 0600);
    const auto again = bench.store.unpacked.unpack_shared(image, {});
    CHECK_FALSE(again.was_there);
    CHECK(read_file(again.folder / "d.raw") == "content");
  }
}

TEST_CASE("obtain: whoever asks may refuse an image by its domain, and then nothing of it stays") {
  Bench bench;
  bench.publish("one", "d.raw", "content");
  std::string seen;
  CHECK_THROWS_AS(bench.store.fetcher.obtain({.reference = bench.reference,
                                              .source = bench.reference,
                                              .check =
                                                  [&](const std::string& domain_xml) {
                                                    seen = domain_xml;
                                                    throw Error(Blame::job, "not this one");
                                                  }},
                                             bench.registry, {}),
                  Error);
  CHECK(seen.find("<domain") != std::string::npos);
  bench.check_nothing_stays();
}

TEST_CASE("obtain: a blob of another size than its manifest says is refused, and nothing of it stays") {
  for (const auto size : {std::uint64_t{1}, std::uint64_t{1} << 20U}) {
    for (const bool is_domain : {false, true}) {
      CAPTURE(size);
      CAPTURE(is_domain);
      Bench bench;
      const auto [layers, id] = bench.disk("d.raw", "content");
      Manifest manifest{.config = bench.config_of({bench.domain().digest, id}), .layers = {bench.domain()}};
      manifest.layers.insert(manifest.layers.end(), layers.chunks.begin(), layers.chunks.end());
      (is_domain ? manifest.layers.front() : manifest.layers.back()).size = size;
      bench.publish("one", manifest);
      check_error(Blame::job, "the manifest says", [&] { static_cast<void>(bench.obtain()); });
      check_error(Blame::job, "the manifest says", [&] {
        static_cast<void>(bench.store.fetcher.fetch(bench.reference, bench.reference, bench.registry, {}));
      });
      bench.check_nothing_stays();
    }
  }
}

TEST_CASE("obtain: folders of older versions are not taken for a job's, and are an image's all the same") {
  Bench bench;
  bench.publish("one", "d.raw", "content");
  const auto image = bench.store.fetcher.fetch(bench.reference, bench.reference, bench.registry, {});
  const auto old = bench.folder / "vms" / (image.base_name() + "-for-clones");
  make_folders(old, 0700);
  write_file(old / "d.raw", "content", 0600);
  UnpackedMarker marker{.config_digest = image.base_name(), .disks = {{.name = "d.raw"}}};
  write_unpacked_marker(old, marker);
  const auto unpacked = bench.store.unpacked.unpack_shared(image, {});
  CHECK_FALSE(unpacked.was_there);
  CHECK(unpacked.folder != old);
  // A base VM's own folder is taken over once its disks have been looked at.
  const auto base = bench.folder / "vms" / image.base_name();
  std::filesystem::rename(old, base);
  CHECK(bench.store.unpacked.unpack(image, image.base_name(), {}).was_there);
  CHECK(read_unpacked_marker(base)->first.manifest_digest == image.manifest.digest.text());
}

TEST_CASE("obtain: an image's next version brings only the layers that are not there") {
  Bench bench;
  const auto content = [](char changed) {
    std::string text(20U << 20U, '\0');
    for (std::size_t at = 0; at < text.size(); at += 4096) text[at] = static_cast<char>(at >> 12U);
    text.back() = changed;
    return text;
  };
  ImageStore store({.ocidir = bench.folder / "oci",
                    .vmdir = bench.folder / "vms",
                    .threads = 2,
                    .lock_timeout = std::chrono::seconds(1)},
                   bench.clock, bench.cancellation);
  const auto get = [&](char version) {
    bench.publish("one", "d.raw", content(version));
    bench.registry.read.clear();
    auto obtained = store.fetcher.obtain(
        {.reference = bench.reference, .source = bench.reference, .keep_blobs = false}, bench.registry, {});
    CHECK(read_file(obtained.unpacked.folder / "d.raw", UINT64_MAX) == content(version));
    CHECK_FALSE(obtained.image.layout.holds(
        parse_manifest(obtained.image.layout.read_blob(obtained.image.manifest), "it")));
    return obtained;
  };
  const auto first = get('1');
  CHECK(bench.registry.read.size() == 4);  // config, domain, two layers
  CHECK(first.unpacked.reused == 0);
  const auto second = get('2');
  CHECK(bench.registry.read.size() == 2);  // config, and the last layer
  CHECK(second.unpacked.reused == 16U << 20U);
  // What is no longer what it was is seen, and brought again.
  const auto disk = first.unpacked.folder / "d.raw";
  for (const auto& one : {disk, second.unpacked.folder / "d.raw"}) {
    const auto look = std::filesystem::last_write_time(one);
    const UniqueFd file(::open(one.c_str(), O_WRONLY | O_CLOEXEC));
    REQUIRE(::pwrite(file.get(), "x", 1, 5000) == 1);
    std::filesystem::last_write_time(one, look);
  }
  const auto third = get('3');
  CHECK(third.unpacked.reused == 0);
  CHECK(bench.registry.read.size() > 2);
}

TEST_CASE(
    "obtain: without its disks' blobs an image is used from its unpacked disks, and brought where they are "
    "gone") {
  Bench bench;
  bench.publish("one", "d.raw", "content");
  const ObtainRequest request{.reference = bench.reference, .source = bench.reference, .keep_blobs = false};
  const auto first = bench.store.fetcher.obtain(request, bench.registry, {});
  bench.registry.read.clear();
  CHECK(bench.store.fetcher.obtain(request, bench.registry, {}).unpacked.was_there);
  CHECK(bench.registry.read.empty());
  // Damaged, removed, wanted for a push.
  const auto disk = first.unpacked.folder / "d.raw";
  remove_if_there(disk);
  write_file(disk, "changed", 0400);
  CHECK_FALSE(bench.store.fetcher.obtain(request, bench.registry, {}).unpacked.was_there);
  CHECK(read_file(disk) == "content");
  remove_if_there(first.unpacked.folder);
  CHECK_FALSE(bench.store.fetcher.obtain(request, bench.registry, {}).unpacked.was_there);
  bench.registry.read.clear();
  const auto whole = bench.store.fetcher.fetch(bench.reference, bench.reference, bench.registry, {});
  CHECK(bench.registry.read.size() == 1);
  CHECK(whole.layout.holds(parse_manifest(whole.layout.read_blob(whole.manifest), "it")));
}

TEST_CASE("obtain: a private image's layers are given to its own repository only") {
  Bench bench;
  const auto content = std::string(3U << 20U, 'p');
  const auto get = [&](const std::string& name, const RegistryAccess& access) {
    const auto reference = ImageReference::parse(name);
    bench.registry.read.clear();
    return bench.store.fetcher.obtain({.reference = reference, .source = reference, .keep_blobs = false},
                                      bench.registry, access);
  };
  const RegistryAccess as_job{.authfile = bench.folder / "auth.json"};
  bench.publish("1", "d.raw", content);
  get("h.example/private/a:1", as_job);
  // Another domain, and so another manifest, around the same layers.
  bench.publish("2", "d.raw", content, "<domain type='other'/>");
  CHECK(get("h.example/another/b:2", {}).unpacked.reused == 0);
  bench.publish("3", "d.raw", content, "<domain type='third'/>");
  CHECK(get("h.example/private/a:3", as_job).unpacked.reused == content.size());
}

TEST_CASE("obtain: an image that is up to date is neither fetched nor read again") {
  Bench bench;
  bench.publish("one", "d.raw", std::string(100'000, 'x'));
  const auto get = [&] {
    return bench.store.fetcher.fetch(bench.reference, bench.reference, bench.registry, {});
  };
  const auto image = get();
  bench.registry.read.clear();
  // Reading it would show this; verify does.
  const auto layer = image.layout.blob(image.disks[0].chunks[0].digest);
  auto content = read_file(layer);
  content.back() = static_cast<char>(content.back() ^ 1);
  write_file(layer, content, 0600);
  CHECK(get().manifest.digest == image.manifest.digest);
  CHECK(bench.registry.read.empty());
}

TEST_CASE("obtain: who waits for an image's disks keeps nobody from bringing what describes it") {
  Bench bench;
  bench.publish("one", "d.raw", "content");
  const auto layout = bench.store.catalogue.layout_of(bench.reference);
  const auto name = bench.registry.announce(bench.reference, {}).digest.text();
  std::filesystem::create_directories(bench.folder / "vms");
  auto served = FileLock::try_for(unpacked_lock(bench.folder / "vms", name));
  REQUIRE(served);
  std::optional<bool> blobs_are_held;
  const ImageStore other{{.ocidir = bench.folder / "oci",
                          .vmdir = bench.folder / "vms",
                          .lock_timeout = std::chrono::seconds(1),
                          .announce =
                              [&](const std::string&) {
                                blobs_are_held = FileLock::is_held(blobs_lock(layout));
                                served.reset();
                              }},
                         bench.clock,
                         bench.cancellation};
  const auto obtained = other.fetcher.obtain(
      {.reference = bench.reference, .source = bench.reference, .sharing = DiskSharing::many}, bench.registry,
      {});
  CHECK(blobs_are_held == false);
  CHECK(read_file(obtained.unpacked.folder / "d.raw") == "content");
}
