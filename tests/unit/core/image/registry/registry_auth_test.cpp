#include "core/image/registry/registry_auth.hpp"

#include <doctest/doctest.h>

using namespace sarde;

TEST_CASE("registry auth: keys for a registry, a path at one, and as docker writes them") {
  const auto image = ImageReference::parse("h.example:5000/vms/debian:12");
  for (const auto* key :
       {"h.example:5000", "h.example:5000/vms", "h.example:5000/vms/debian", "https://h.example:5000/v1/"}) {
    CAPTURE(key);
    CHECK(is_for(key, image));
  }
  for (const auto* key : {"", "h.example", "h.example:50", "h.example:5000/vm", "h.example:5000/vms/debian12",
                          "://", "example:5000"}) {
    CAPTURE(key);
    CHECK_FALSE(is_for(key, image));
  }
}
