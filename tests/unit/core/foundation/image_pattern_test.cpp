#include "core/foundation/image_pattern.hpp"

#include <doctest/doctest.h>

using namespace sarde;

TEST_CASE("image pattern: a star ends at a slash, two do not") {
  CHECK(matches_image_pattern("h.example/vms/*", "h.example/vms/debian:12"));
  CHECK_FALSE(matches_image_pattern("h.example/vms/*", "h.example/vms/a/b"));
  CHECK(matches_image_pattern("h.example/**", "h.example/vms/a/b:1"));
  CHECK(matches_image_pattern("**/debian", "h.example/vms/debian"));
  CHECK_FALSE(matches_image_pattern("**/debian", "h.example/vms/debian:12"));
  CHECK(matches_image_pattern("h.example/v?s/a", "h.example/vms/a"));
  CHECK_FALSE(matches_image_pattern("h.example?vms", "h.example/vms"));
  CHECK(matches_image_pattern("", ""));
  CHECK_FALSE(matches_image_pattern("", "a"));
  CHECK_FALSE(matches_image_pattern("h[.]example", "h.example"));
}

TEST_CASE("image pattern: a hostile name takes no time") {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "a**";
  CHECK_FALSE(matches_image_pattern(pattern + "b", std::string(2000, 'a')));
}

TEST_CASE("image pattern: the host is spelt as in images' names") {
  CHECK(matching_pattern({"docker://H.Example:443/vms/*"}, {"h.example/vms/a"}) ==
        "docker://H.Example:443/vms/*");
  CHECK(matching_pattern({"other/*"}, {"h.example/vms/a"}).empty());
}
