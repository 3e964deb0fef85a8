#include "core/image/reference/image_reference.hpp"

#include <doctest/doctest.h>

#include "tests/support/check_error.hpp"

using namespace sarde;
using sarde::testing::check_error;

TEST_CASE("image reference: host, port, path and tag are told apart") {
  const auto reference = ImageReference::parse("registry.example.org:5000/vms/debian12:stable");
  CHECK(reference.registry() == "registry.example.org:5000");
  CHECK(reference.repository() == "registry.example.org:5000/vms/debian12");
  CHECK(reference.tag() == "stable");
  CHECK(reference.folder() == "registry.example.org:5000/vms/debian12");
}

TEST_CASE("image reference: without a tag it is latest, for the registry and in the cache") {
  const auto reference = ImageReference::parse("localhost:5000/a/b");
  CHECK_FALSE(reference.tag());
  CHECK(reference.transport_text() == "localhost:5000/a/b:latest");
  CHECK(reference.local_name() == "latest");
}

TEST_CASE("image reference: a digest beats a tag") {
  const auto digest = "sha256:" + std::string(64, 'a');
  const auto reference = ImageReference::parse("docker://h.example/a:tag@" + digest);
  CHECK(reference.transport_text() == "h.example/a@" + digest);
  CHECK(reference.local_name() == digest);
  CHECK(reference.text() == "h.example/a:tag@" + digest);
}

TEST_CASE("image reference: what could leave its folder, or is no name, is the job's fault and named") {
  for (const auto* wrong : {"",
                            ":",
                            "a:",
                            "/a",
                            "a/",
                            "a//b",
                            "../a",
                            "h.example/../../etc",
                            "h.example/a/..",
                            "a b",
                            "a\nb",
                            "h.example/A",
                            "h.example:99999/a",
                            "h.example:0/a",
                            "a@sha256:123",
                            "a@md5:00",
                            "a:t:g",
                            "a:.x",
                            "-a",
                            "a..b",
                            "a/.b"}) {
    CAPTURE(wrong);
    check_error(Blame::job, "image name", [&] { ImageReference::parse(wrong); });
  }
}
