#include <doctest/doctest.h>

#include "config/image_policy.hpp"
#include "config/settings_files.hpp"
#include "config/units.hpp"
#include "config/values.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "executor/wiring/command_table.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using sarde::testing::check_error;
using sarde::testing::TestFolder;

namespace {

const std::set<std::string> commands{"export", "prune", "prepare", "fetch"};

SettingsFile file_with(const std::string& text) {
  const TestFolder folder;
  write_file(folder / "sarde.toml", text, 0644);
  return read_settings_file(folder / "sarde.toml", commands);
}

OptionValues typed(const std::string& name, const std::string& value) {
  return {{name, {.items = {value}, .origin = "command line"}}};
}

}  // namespace

TEST_CASE("settings: of all places the first in the order wins") {
  const auto file = file_with(R"(
network = "top"
[commands.prepare]
network = "section"
[images."h.example/vms/*"]
network = "glob"
)");
  const Environment with_variable(Variables{{"SARDE_NETWORK", "variable"}});
  const Environment without;
  const auto resolve = [&](const OptionValues& line, const Environment& environment,
                           const std::string& command, const std::string& image) {
    return Values({.file = file, .command = command, .command_line = line, .image = {image}}, environment,
                  true)
        .get<"network">();
  };
  const auto line = typed("network", "line");
  CHECK(resolve(line, with_variable, "prepare", "h.example/vms/a") == "glob");
  CHECK(resolve(line, with_variable, "prepare", "h.example/other") == "line");
  CHECK(resolve({}, with_variable, "prepare", "") == "variable");
  CHECK(resolve({}, without, "prepare", "") == "section");
  CHECK(resolve({}, without, "fetch", "") == "top");
  CHECK(Values({}, without, true).get<"network">().empty());
}

TEST_CASE("settings: an image's login is apart from the others', for the image's own comes in between") {
  const auto file = file_with("username = \"top\"\n[images.\"a/*\"]\npassword = \"pw\"\n");
  const auto settings = Values({.file = file, .command = "prepare", .image = {"a/b"}}, Environment(), true);
  CHECK_FALSE(settings.of_image().has<"username">());
  CHECK(settings.of_image().get<"password">() == "pw");
  CHECK(settings.of_others().get<"username">() == "top");
  CHECK(settings.of_others().get<"password">() == "vagrant");
}

TEST_CASE("settings: an exact image beats a glob, and the longest glob wins") {
  const auto file =
      file_with("[images.\"a/*\"]\nvcpus = 1\n[images.\"a/b*\"]\nvcpus = 2\n[images.\"a/bc\"]\nvcpus = 3\n");
  const auto vcpus = [&](const std::string& image) {
    return Values({.file = file, .command = "prepare", .image = {image}}, Environment(), true)
        .get<"vcpus">()
        .number;
  };
  CHECK(vcpus("a/x") == 1);
  CHECK(vcpus("a/bx") == 2);
  CHECK(vcpus("a/bc") == 3);
  CHECK_FALSE(vcpus("c"));
}

TEST_CASE("settings: defaults differ for root and others") {
  const Environment home(Variables{{"HOME", "/home/u"}});
  const auto root = Values({}, home, true);
  CHECK(root.get<"ocidir">() == "/var/lib/sardinecake/oci");
  CHECK(root.get<"connect">() == "qemu:///system");
  const auto user = Values({}, home, false);
  CHECK(user.get<"vmdir">() == "/home/u/.local/share/sardinecake/vms");
  CHECK(user.get<"connect">() == "qemu:///session");
  CHECK(Values({},
               Environment(Variables{{"XDG_DATA_HOME", "/x"}, {"LIBVIRT_DEFAULT_URI", "test:///default"}}),
               false)
            .get<"connect">() == "test:///default");
  CHECK(Values({}, Environment(Variables{{"XDG_DATA_HOME", "/x"}}), false).get<"jobsdir">() ==
        "/x/sardinecake/jobs");
  CHECK(user.get<"guest-builds-dir">() == "/var/tmp/gitlab-runner/builds");
}

TEST_CASE("settings: whatever is wrong in a file is named with its file, line and key") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"network = \"a\"\nnonsense = 1\n", "sarde.toml, line 2: there is no option 'nonsense'"},
      {"\nvcpus = \"two\"\n", "line 2: vcpus wants a number"},
      {"insecure = \"yes\"\n", "line 1: insecure wants true or false"},
      {"network = 7\n", "line 1: network wants a text in quotes"},
      {"network = [\n", "line "},
      {"[a\xef\xbb\xb7]\n", "sarde.toml, line 1: "},
      {"[!x]\nnetwork = \"a\"\n", "sarde.toml, line 1: "},
      {"compression = \"best\"\n", "compression: 'best' is not one of small, fast"},
      {"chunksize = \"12 parsecs\"\n", "chunksize: '12 parsecs' is not a size"},
      {"boot-timeout = 0\n", "boot-timeout: '0' is not a time such as"},
      {"[commands.nonsense]\nnetwork = \"a\"\n", "there is no command 'nonsense'"},
      {"[images]\nnetwork = \"a\"\n", "is not a section"},
      {"[images.\"*\"]\nnonsense = \"a\"\n", "line 2: there is no option 'nonsense'"},
      {"insecure-registries = [1]\n", "insecure-registries wants a list"}};
  for (const auto& [text, message] : cases) {
    CAPTURE(text);
    check_error(Blame::job, message, [&, &toml = text] { file_with(toml); });
  }
  check_error(Blame::job, "guest-builds-dir is not an absolute path",
              [] { Values({.command_line = typed("guest-builds-dir", "builds")}, Environment(), true); });
  check_error(Blame::job, "environment variable SARDE_VCPUS", [] {
    Values({}, Environment(Variables{{"SARDE_VCPUS", "x"}}), true);
  });
}

TEST_CASE("settings: SARDE_CONF_FILES names the files, later over earlier, and each must be there") {
  const TestFolder folder;
  write_file(folder / "a.toml", "network = \"a\"\nvcpus = 1\n", 0644);
  write_file(folder / "b.toml", "network = \"b\"\n", 0644);
  const auto list = (folder / "a.toml").string() + ":" + (folder / "b.toml").string();
  const auto file =
      read_settings_files(Environment(Variables{{"SARDE_CONF_FILES", list}}), commands, SettingsUser::command)
          .file;
  CHECK(file.top.at("network").items.front() == "b");
  CHECK(file.top.at("vcpus").items.front() == "1");
  check_error(Blame::host, "No such file", [&] {
    read_settings_files(Environment(Variables{{"SARDE_CONF_FILES", "/nonexistent/x.toml"}}), commands,
                        SettingsUser::command);
  });
}

TEST_CASE("settings: sizes know their units") {
  CHECK(parse_size("17") == 17);
  CHECK(parse_size("256MiB") == 256U << 20U);
  CHECK(parse_size("1 GB") == 1'000'000'000);
  CHECK(parse_size("64k") == 65536);
  CHECK(parse_size("256mib") == 256U << 20U);
  CHECK(parse_size("256mb") == 256'000'000);
  CHECK(parse_size("1.5GiB") == 3U << 29U);
  CHECK(parse_size("7 megabytes") == 7'000'000);
  CHECK(parse_size("0.25 gibibyte") == 1U << 28U);
  CHECK(parse_seconds("90") == 90);
  CHECK(parse_seconds("45m") == 2700);
  CHECK(parse_seconds("30d") == 2592000);
  for (const auto* wrong : {"", "d", "1y", "1.5h", "-1", "99999999999999999999w"})
    CHECK_FALSE(parse_seconds(wrong));
  for (const auto* wrong :
       {"", "MiB", "1 XB", "1.5.2G", ".5G", "1.", "-1", "99999999999999999999", "18446744073709551615K"})
    CHECK_FALSE(parse_size(wrong));
}

TEST_CASE("settings: the example file is read, its examples too, and names every option there is") {
  const auto text = read_file(std::string(SARDE_SOURCE_DIR) + "/examples/sarde.toml");
  CHECK(file_with(text).top.empty());
  std::string uncommented;
  for (const auto& line : split(text, '\n')) {
    const bool is_setting = line.starts_with("# ") && line.find(" = ") != std::string::npos;
    const bool is_section = line.starts_with("# [");
    uncommented += (is_setting || is_section ? line.substr(2) : "") + "\n";
  }
  const auto file = file_with(uncommented);
  CHECK(file.images.size() == 1);
  for (const auto& row : option_table) {
    CAPTURE(row.name);
    CHECK(file.top.contains(std::string(row.name)) == (row.scope == OptionScope::everywhere));
  }
  CHECK_NOTHROW(Values({.file = file}, Environment(), true));
}

TEST_CASE("settings: every option is of commands that exist, and every command's options are in the table") {
  for (const auto& row : option_table) {
    CAPTURE(row.name);
    for (const auto& command : words_of(row.commands))
      CHECK((command == "*" || find_command(command) != nullptr));
    CHECK((row.otherwise.empty() || find_option(row.otherwise) != nullptr));
    if (!row.initial.empty() && !row.initial.starts_with('<'))
      CHECK_NOTHROW(check_value(row, {.items = {std::string(row.initial)}, .origin = "it"}));
  }
}

TEST_CASE("settings: what says what one call does is for the command line and a command's section") {
  check_error(Blame::job, "belongs on the command line", [] { file_with("name = \"x\"\n"); });
  check_error(Blame::job, "belongs on the command line", [] { file_with("[images.\"a\"]\nraw = true\n"); });
  const auto file = file_with("[commands.fetch]\nsource = \"a/b\"\n");
  CHECK(Values({.file = file, .command = "fetch"}, Environment(), true).get<"source">() == "a/b");
  CHECK(Values({.file = file, .command = "prepare"}, Environment(), true).get<"source">().empty());
  const Environment variable(Variables{{"SARDE_SOURCE", "a/b"}});
  CHECK(Values({.command = "fetch"}, variable, true).get<"source">().empty());
}

TEST_CASE("settings: timeout stands for the two waits that are not given") {
  const auto resolve = [](const std::string& text) {
    return Values({.file = file_with(text)}, Environment(), true);
  };
  CHECK(resolve("").get<"boot-timeout">() == std::chrono::seconds(300));
  CHECK(resolve("timeout = 30\n").get<"boot-timeout">() == std::chrono::seconds(30));
  const auto both = resolve("timeout = 30\nboot-timeout = \"5m\"\n");
  CHECK(both.get<"boot-timeout">() == std::chrono::seconds(300));
  CHECK(both.get<"address-timeout">() == std::chrono::seconds(30));
}

TEST_CASE("settings: a size may be left to the host, a factor has a fraction, and a table holds texts") {
  const auto file = file_with(
      "memory = \"auto\"\ncpus = \"auto\"\n[aliases]\ndebian = \"h.example/vms/debian\"\n\"a b\" = "
      "\"x=y\"\n");
  const Values values({.file = file, .command = "prepare"}, Environment(), true);
  CHECK(values.get<"memory">().is_auto);
  CHECK(values.get<"vcpus">().is_auto);
  CHECK(values.get<"aliases">() ==
        std::map<std::string, std::string>{{"debian", "h.example/vms/debian"}, {"a b", "x=y"}});
  CHECK_THROWS(file_with("aliases = \"x\"\n"));
  CHECK_THROWS(file_with("[aliases]\n\"a=b\" = \"x\"\n"));
  CHECK_THROWS(file_with("cpus = \"many\"\n"));
}
