#include "core/vm/firmware_files.hpp"

#include <fstream>

#include <doctest/doctest.h>

#include "tests/support/temp_folder.hpp"

using namespace sarde;
using sarde::testing::TestFolder;

TEST_CASE("firmware: the size of the variables is that of the first firmware that fits") {
  const TestFolder folder;
  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(folder / name) << text;
  };
  const auto describe = [&](const std::string& name, const std::string& features, int size) {
    const auto vars = (folder / (name + ".fd")).string();
    std::ofstream(vars) << std::string(static_cast<std::size_t>(size), 'v');
    write(name, R"({"interface-types":["uefi"],"mapping":{"device":"flash","nvram-template":{"filename":")" +
                    vars +
                    R"("}},"targets":[{"architecture":"x86_64","machines":["pc-q35-*"]}],"features":[)" +
                    features + "]}");
  };
  write("10-broken.json", "{");
  write("11-other.json",
        R"({"interface-types":["bios"],"mapping":{"device":"memory"},"features":[],"targets":[]})");
  describe("40-keys.json", R"("secure-boot","enrolled-keys")", 40);
  describe("50-secure.json", R"("secure-boot")", 50);
  describe("60-plain.json", "", 60);
  describe("70-plain.json", "", 70);
  const auto size = [&](const FirmwareNeed& need) { return size_of_uefi_variables(need, {folder / ""}); };
  CHECK(size({.architecture = "x86_64", .machine = "q35"}) == 60);
  CHECK(size({.architecture = "x86_64", .machine = "", .enrolled_keys = false}) == 60);
  CHECK(size({.architecture = "x86_64", .machine = "q35", .secure_boot = true}) == 40);
  CHECK(size({.architecture = "x86_64", .machine = "q35", .secure_boot = true, .enrolled_keys = false}) ==
        50);
  CHECK_FALSE(size({.architecture = "x86_64", .machine = "pc"}));
  CHECK_FALSE(size({.architecture = "aarch64", .machine = "virt"}));
  CHECK_FALSE(size_of_uefi_variables({.architecture = "x86_64"}, {"/nonexistent"}));
}
