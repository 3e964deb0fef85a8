#include "core/image/store/warm_templates.hpp"

#include <array>
#include <fcntl.h>
#include <sys/stat.h>

#include <doctest/doctest.h>

#include "core/system/files.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using namespace sarde::testing;
using std::chrono::hours;

namespace {

/// An unpacked image with one template.
struct World {
  TestFolder vmdir;
  std::filesystem::path image = vmdir / "sha256:1";
  FakeClock clock;
  Cancellation never;
  WarmTemplates templates{image, "key"};

  World() { std::filesystem::create_directories(image); }

  void make(const std::string& state = "the state") {
    auto files = templates.begin(clock);
    write_file(WarmTemplate{.folder = files.path()}.state(), state, 0600);
    write_file(WarmTemplate{.folder = files.path()}.disk("disk.qcow2"), "the disk", 0600);
    templates.keep(std::move(files),
                   {.made = clock.date.unix_seconds,
                    .max_age = hours(24),
                    .shape = "<domain/>",
                    .host_key = "ssh-ed25519 AAAA",
                    .boot = std::chrono::seconds(9),
                    .disks = {"disk.qcow2"}},
                   clock, never);
  }

  std::optional<WarmTemplate> find() const { return templates.find(clock); }

  bool is_whole() { return WarmTemplates::is_whole(*find(), clock, never); }
};

void overwrite(const std::filesystem::path& file, const std::string& content, bool keeps_time) {
  struct stat before {};

  REQUIRE(::stat(file.c_str(), &before) == 0);
  write_file(file, content, 0600);
  const std::array<timespec, 2> times{before.st_atim, before.st_mtim};
  if (keeps_time) REQUIRE(::utimensat(AT_FDCWD, file.c_str(), times.data(), 0) == 0);
}

}  // namespace

TEST_CASE("warm templates: what was kept is found, by its key only") {
  World world;
  CHECK_FALSE(world.find());
  world.make();
  const auto found = world.find();
  REQUIRE(found);
  CHECK(found->host_key == "ssh-ed25519 AAAA");
  CHECK(found->boot == std::chrono::seconds(9));
  CHECK(found->disks == std::vector<std::string>{"disk.qcow2"});
  CHECK_FALSE(found->is_proven);
  CHECK(found->bytes > 0);
  CHECK(world.is_whole());
  CHECK_FALSE(WarmTemplates(world.image, "another key").find(world.clock));
  WarmTemplates::note_proof(*found);
  CHECK(world.find()->is_proven);
  CHECK(WarmTemplates::all_of(world.image).size() == 1);
}

TEST_CASE("warm templates: one that is too old, or from the future, is none, and is removed") {
  for (const std::int64_t seconds : {24 * 3600 + 1, -10}) {
    World world;
    world.make();
    const auto folder = world.find()->folder;
    CHECK(WarmTemplates::remove_old(world.vmdir.path(), world.clock, Removal::real).files == 0);
    world.clock.date.unix_seconds += seconds;
    CHECK_FALSE(world.find());
    CHECK(WarmTemplates::remove_old(world.vmdir.path(), world.clock, Removal::pretended).files == 1);
    CHECK(std::filesystem::exists(folder));
    CHECK(WarmTemplates::remove_old(world.vmdir.path(), world.clock, Removal::real).files == 1);
    CHECK_FALSE(std::filesystem::exists(folder));
  }
}

TEST_CASE("warm templates: whoever has found one finds no other's files in its folder") {
  World world;
  world.make();
  const auto first = *world.find();
  world.make("another");
  CHECK(world.find()->folder != first.folder);
  CHECK_FALSE(std::filesystem::exists(first.state()));
  CHECK_FALSE(WarmTemplates::is_whole(first, world.clock, world.never));
  WarmTemplates::drop(first);
  CHECK(world.find());
}

TEST_CASE("warm templates: an image has eight kinds at most, and what was left behind goes") {
  World world;
  std::filesystem::create_directories(world.image / ".warm" / ".new-dead");
  for (int i = 0; i < 12; ++i) {
    world.templates = WarmTemplates(world.image, "key " + std::to_string(i));
    world.clock.date.unix_seconds += 1;
    world.make();
  }
  CHECK(WarmTemplates::all_of(world.image).size() == 8);
  CHECK(world.find());
  CHECK_FALSE(WarmTemplates(world.image, "key 3").find(world.clock));
  CHECK_FALSE(std::filesystem::exists(world.image / ".warm" / ".new-dead"));
}

TEST_CASE("warm templates: every byte is looked at once in each boot of the host, sizes and times always") {
  World world;
  world.make();
  overwrite(world.find()->state(), "The state", false);
  CHECK_FALSE(world.is_whole());
  overwrite(world.find()->state(), "the state", false);
  CHECK(world.is_whole());  // read anew, and right
  World other;
  other.make();
  // The same size and time, as after a fault of the disk: seen after the next boot. (write_file makes a new
  // file, whose number tells, too; so it is copied over the old one.)
  const auto file = other.find()->disk("disk.qcow2");
  const auto time = std::filesystem::last_write_time(file);
  {
    const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
    write_full(fd.get(), "THE disk", 8, "disk");
  }
  std::filesystem::last_write_time(file, time);
  CHECK(other.is_whole());
  other.clock.date.boot = "another-boot";
  CHECK_FALSE(other.is_whole());
  other.clock.date.boot = "";
  CHECK_FALSE(other.is_whole());
}

TEST_CASE("warm templates: a refusal takes the place of the files") {
  World world;
  world.make();
  world.templates.refuse("no sudo", world.clock);
  REQUIRE(world.find());
  CHECK(world.find()->refusal == "no sudo");
  CHECK_FALSE(std::filesystem::exists(world.find()->state()));
  world.clock.date.unix_seconds += 3601;
  CHECK_FALSE(world.find());
  world.make();
  CHECK(world.find()->refusal.empty());
}

TEST_CASE("warm templates: only one process makes or proves one") {
  World world;
  const auto lock = world.templates.try_lock();
  CHECK(lock);
  CHECK_FALSE(world.templates.try_lock());
  CHECK(WarmTemplates(world.image, "other").try_lock());
}

TEST_CASE("warm templates: what cannot be read is none, and goes when it is replaced") {
  World world;
  world.make();
  const auto folder = world.find()->folder;
  for (const auto* text : {"", "{}", "[]", "{\"made\":\"x\"}", "\xff"}) {
    write_file(folder / "template.json", text, 0600);
    CHECK_FALSE(world.find());
    CHECK(WarmTemplates::all_of(world.image).empty());
  }
  world.make("another");
  CHECK(world.find());
  CHECK(read_file(world.find()->state()) == "another");
}
