#include <doctest/doctest.h>

#include "core/vm/domain/job_domain.hpp"
#include "core/vm/hypervisor_loader.hpp"
#include "tests/support/check_error.hpp"

using namespace sarde;
using sarde::testing::check_error;

namespace {

/// libvirt's own test driver: real code, no machines.
std::unique_ptr<Hypervisor> test_driver() {
  return connect_hypervisor("test:///default", {SARDE_BUILD_DIR});
}

const std::string small_domain =
    "<domain type='test'><name>one</name><memory "
    "unit='MiB'>16</memory><os><type>hvm</type></os><metadata><sarde:job xmlns:sarde='" +
    std::string(job_metadata_uri) + "' id='7' expires='99'/></metadata></domain>";

}  // namespace

TEST_CASE("libvirt: a running domain goes, once and for all") {
  const auto libvirt = test_driver();
  CHECK(libvirt->state("test") == DomainState::running);  // the test driver has one from the start
  CHECK(libvirt->domains().at("test").is_running);
  libvirt->destroy("test");
  CHECK(libvirt->state("test") == DomainState::stopped);
  libvirt->destroy("test");
  libvirt->destroy("none");
}

TEST_CASE("libvirt: a domain with a job's metadata is listed as a job's") {
  const auto libvirt = test_driver();
  const auto uuid = libvirt->define(small_domain);
  CHECK(uuid.size() == 36);
  const auto jobs = libvirt->list_jobs();
  REQUIRE(jobs.size() == 1);
  CHECK(jobs[0].name == "one");
  CHECK(jobs[0].uuid == uuid);
  CHECK(jobs[0].expires->unix_seconds == 99);
  CHECK_FALSE(jobs[0].is_transient);
}

TEST_CASE("libvirt: a domain that is only defined is stopped, and has its XML") {
  const auto libvirt = test_driver();
  const auto uuid = libvirt->define(small_domain);
  CHECK(libvirt->state("one") == DomainState::stopped);
  CHECK(libvirt->domains().at("one").uuid == uuid);
  CHECK_FALSE(libvirt->domains().contains("two"));
  CHECK(libvirt->definition("one").find("<name>one</name>") != std::string::npos);
}

TEST_CASE("libvirt: what goes wrong is said in its own words") {
  const auto libvirt = test_driver();
  check_error(Blame::job, "there is no VM 'none'", [&] { libvirt->definition("none"); });
  check_error(Blame::host, "define the VM: ", [&] { libvirt->define("<domain/>"); });
  check_error(Blame::host, "connect to libvirt at nonsense:///x: ", [] {
    connect_hypervisor("nonsense:///x", {SARDE_BUILD_DIR});
  });
  check_error(Blame::host, "copy sarde-libvirt.so too",
              [] { connect_hypervisor("test:///default", {"/nonexistent"}); });
}

TEST_CASE("libvirt: what is on this machine is told from what is on another") {
  CHECK(test_driver()->is_local());
}
