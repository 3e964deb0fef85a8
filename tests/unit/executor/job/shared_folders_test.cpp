#include "executor/job/shared_folders.hpp"

#include <doctest/doctest.h>

#include "core/system/temp_files.hpp"
#include "core/vm/domain/job_domain.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/fake_reporter.hpp"

using namespace sarde;
using sarde::testing::check_error;

namespace {

struct Bench {
  TempFolder place = TempFolder::in("/tmp", "sarde-test-", 0700);
  sarde::testing::FakeReporter reporter;
  MountRules rules;
  Job job{.id = "1", .distinction = "d", .image = {}, .pull_policies = {}, .logins = {}, .project = {}};

  std::vector<FolderMount> mounts() { return mounts_of(job, rules, reporter); }
};

std::string domain_with(const std::vector<FolderMount>& mounts) {
  JobVm vm{.name = VmName::of_job("1", "d"),
           .image_xml =
               "<domain type='kvm'><memory unit='MiB'>256</memory><vcpu>1</vcpu><os><type "
               "arch='x86_64'>hvm</type></os></domain>",
           .job_id = "1"};
  for (const auto& mount : mounts) vm.shared_folders.push_back(mount.shared);
  return build_job_domain(vm).xml;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("shared folders: over 9p, QEMU holds read-only folders and keeps links from the host") {
  Bench bench;
  bench.rules.mounts = {bench.place.path().string() + ":/data:ro", bench.place.path().string() + ":/rw"};
  const auto xml = domain_with(bench.mounts());
  CHECK(has(xml, "accessmode=\"mapped\""));
  CHECK(has(xml, "<readonly"));
  CHECK_FALSE(has(xml, "memoryBacking"));
  CHECK(bench.mounts()[1].shared.read_only == false);
}

TEST_CASE(
    "shared folders: over virtiofs, the memory is shared, and a server of our own holds read-only folders") {
  Bench bench;
  bench.rules.type = ShareType::virtiofs;
  bench.rules.mounts = {bench.place.path().string() + ":/data:ro"};
  bench.rules.read_only_server = bench.place.path() / "none";
  check_error(Blame::host, "is missing; install the program", [&] { bench.mounts(); });
  bench.rules.read_only_server = "/bin/true";
  const auto xml = domain_with(bench.mounts());
  CHECK(has(xml, "<source type=\"memfd\""));
  CHECK(has(xml, "<binary path=\"/bin/true\""));
  CHECK_FALSE(has(xml, "<readonly"));
}

TEST_CASE("shared folders: a project has its own, and a link in its place is refused") {
  Bench bench;
  bench.rules.cache_dir = bench.place.path() / "cache";
  bench.rules.guest_cache_dir = "/cache";
  CHECK(bench.mounts().empty());  // no project
  bench.job.project_key = "7-abc";
  REQUIRE(bench.mounts().size() == 1);
  CHECK(bench.mounts()[0].shared.folder.filename() == "7-abc");
  std::filesystem::remove(bench.rules.cache_dir / "7-abc");
  std::filesystem::create_directory(bench.place.path() / "elsewhere");
  std::filesystem::create_directory_symlink(bench.place.path() / "elsewhere",
                                            bench.rules.cache_dir / "7-abc");
  check_error(Blame::host, "it is a symbolic link", [&] { bench.mounts(); });
}

TEST_CASE("shared folders: what is no mount is told") {
  Bench bench;
  for (const auto* text :
       {"/tmp", "tmp:/x", "/tmp:x", "/tmp:/x:rx", "/tmp:/x:ro:y", "/tmp/../etc:/x", ":/x", "/tmp:"}) {
    CAPTURE(text);
    bench.rules.mounts = {text};
    check_error(Blame::host, "is not HOST:GUEST", [&] { bench.mounts(); });
  }
}
