#include "core/image/registry/signature_policy.hpp"

#include <doctest/doctest.h>

#include "core/system/files.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using sarde::testing::TestFolder;

TEST_CASE("signature policy: only one that asks for nothing anywhere lets everything in") {
  const TestFolder folder;
  const auto lets_in = [&](const std::string& text) {
    write_file(folder / "policy.json", text, 0600);
    return lets_everything_in(folder / "policy.json");
  };
  const std::string any = R"([{"type": "insecureAcceptAnything"}])";
  const std::string none = R"([{"type": "reject"}])";
  CHECK(lets_in(R"({"default": )" + any + "}"));
  CHECK(lets_in(R"({"default": )" + any + R"(, "transports": {"docker": {"x.example": )" + any + "}}}"));
  CHECK_FALSE(lets_in(R"({"default": )" + none + "}"));
  CHECK_FALSE(
      lets_in(R"({"default": )" + none + R"(, "transports": {"docker": {"x.example": )" + any + "}}}"));
  CHECK_FALSE(
      lets_in(R"({"default": )" + any + R"(, "transports": {"docker": {"x.example": )" + none + "}}}"));
  CHECK_FALSE(lets_in(R"({"default": []})"));
  CHECK_FALSE(lets_in(R"({"default": [{"type": "signedBy"}, {"type": "insecureAcceptAnything"}]})"));
  CHECK_FALSE(lets_in(R"({"transports": {}})"));
  CHECK_FALSE(lets_in("no JSON"));
  CHECK_FALSE(lets_everything_in(folder / "not-there"));
}

TEST_CASE("signature policy: the account's own goes before the machine's") {
  const TestFolder folder;
  const Environment environment{Variables{{"HOME", folder.path().string()}}};
  CHECK(usual_signature_policy(environment) == "/etc/containers/policy.json");
  make_folders(folder / ".config/containers", 0700);
  write_file(folder / ".config/containers/policy.json", "{}", 0600);
  CHECK(usual_signature_policy(environment) == folder / ".config/containers/policy.json");
}
