// One spelling of an image's name, wherever it counts.
#include <doctest/doctest.h>

#include "config/image_policy.hpp"
#include "core/image/reference/image_reference.hpp"
#include "core/image/registry/registry_auth.hpp"
#include "tests/support/check_error.hpp"

using namespace sarde;
using sarde::testing::check_error;

namespace {

std::string section_of(const std::string& image, const std::vector<std::string>& sections) {
  std::map<std::string, OptionValues> all;
  for (const auto& name : sections) all[name]["network"] = {.items = {name}, .origin = "here"};
  const auto* found = section_for_image(all, ImageReference::parse(image).names());
  return found == nullptr ? "" : found->at("network").items.front();
}

}  // namespace

TEST_CASE("names: whatever a job writes for it, an image has one name") {
  for (const auto* spelling :
       {"h.example/x/y", "docker://h.example/x/y", "H.Example/x/y", "h.example:443/x/y", "h.example:0443/x/y",
        "docker://H.EXAMPLE:443/x/y:latest", "h.example/x/y:latest"}) {
    CAPTURE(spelling);
    const auto reference = ImageReference::parse(spelling);
    CHECK(reference.repository() == "h.example/x/y");
    CHECK(reference.names() == std::vector<std::string>{"h.example/x/y:latest", "h.example/x/y"});
    CHECK(reference.folder() == "h.example/x/y");
    CHECK(section_of(spelling, {"h.example/x/y"}) == "h.example/x/y");
    CHECK(section_of(spelling, {"h.example/*"}) == "h.example/*");
    CHECK(section_of(spelling, {"docker://H.example:443/x/*"}) == "docker://H.example:443/x/*");
    CHECK(is_for("https://H.example:443/v2/", reference));
    CHECK(is_for("h.example:443/x", reference));
    CHECK_FALSE(is_for("h.example:444", reference));
    CHECK_FALSE(is_for("h.example/xx", reference));
  }
}

TEST_CASE("names: a tag, or one beside a digest, takes no image out of its section") {
  const std::string digest = "@sha256:" + std::string(64, 'a');
  CHECK(section_of("h.example/x:9", {"h.example/x", "h.example/*"}) == "h.example/x");
  CHECK(section_of("h.example/x:9" + digest, {"h.example/x", "h.example/x:9"}) == "h.example/x");
  CHECK(section_of("h.example/x" + digest, {"h.example/*", "h.example/x" + digest}) ==
        "h.example/x" + digest);
  CHECK(section_of("h.example/x:9", {"h.example/x", "h.example/x:9"}) == "h.example/x:9");
  CHECK(section_of("h.example/x", {"h.example/x:latest"}) == "h.example/x:latest");
  CHECK(section_of("h.example:5000/x", {"h.example/*"}).empty());
  CHECK(section_of("localhost:443/x", {"localhost:443/*"}) == "localhost:443/*");
  CHECK(section_of("localhost/x", {"localhost:443/x"}) == "localhost:443/x");
  CHECK(section_of("h:0443/x", {"h:443/*"}) == "h:443/*");  // no host's name without its port
}

TEST_CASE("names: one without a host is Docker Hub's") {
  CHECK(section_of("me/tiny:1", {"docker.io/*"}) == "docker.io/*");
  CHECK(section_of("index.docker.io/me/tiny:1", {"docker.io/me/*"}) == "docker.io/me/*");
  CHECK(section_of("ubuntu", {"docker.io/library/*"}) == "docker.io/library/*");
  CHECK(section_of("docker.io/ubuntu", {"docker.io/library/ubuntu"}) == "docker.io/library/ubuntu");
  CHECK(section_of("me/tiny:1", {"me/*"}) == "me/*");
  for (const auto* key : {"https://index.docker.io/v1/", "https://index.docker.io/v1", "index.docker.io/v1/",
                          "http://index.docker.io", "index.docker.io", "docker.io", "docker.io/",
                          "https://registry-1.docker.io/v2/", "docker.io/me", "docker.io/me/tiny"}) {
    CAPTURE(key);
    for (const auto* name : {"me/tiny:1", "docker.io/me/tiny:1", "index.docker.io/me/tiny:1"})
      CHECK(is_for(key, ImageReference::parse(name)));
    CHECK_FALSE(is_for(key, ImageReference::parse("registry.example.org/me/tiny:1")));
  }
  CHECK(ImageReference::parse("me/tiny").asked_registry() == "docker.io");
  CHECK(ImageReference::parse("localhost:443/x").repository() == "localhost/x");
  CHECK(ImageReference::parse("h:443/x").repository() == "h:443/x");  // without its port it would be no host
}

TEST_CASE("names: of a sane length") {
  const std::string part(120, 'a');
  CHECK_NOTHROW(ImageReference::parse("h.example/" + part + "/" + part));
  check_error(Blame::job, "longer than 255 characters",
              [&] { ImageReference::parse("h.example/" + part + "/" + part + "/" + part); });
  check_error(Blame::job, "image name",
              [] { ImageReference::parse("h.example/" + std::string(1'000'000, 'a')); });
}

TEST_CASE("names: a repository's folder is none of another one's files") {
  CHECK(ImageReference::parse("h.example/v/x/index.json").folder() == "h.example/v/x/%index.json");
  CHECK(ImageReference::parse("h.example/v/x/blobs/sha256/" + std::string(64, 'a')).folder() ==
        "h.example/v/x/%blobs/sha256/" + std::string(64, 'a'));
  CHECK(ImageReference::parse("h.example/oci-layout/blobs").folder() == "h.example/%oci-layout/%blobs");
  for (const auto* name : {"h.example/v/x/index.json", "h.example/blobs/blobs/y", "h.example/a"})
    CHECK(ImageReference::repository_in(ImageReference::parse(name).folder()) == name);
}
