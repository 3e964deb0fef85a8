#include "config/ini_text.hpp"

#include <doctest/doctest.h>

#include "tests/support/check_error.hpp"
#include "tests/support/spent.hpp"

using namespace sarde;
using sarde::testing::check_error;

namespace {

std::string value_of(const std::string& text, const std::string& section, const std::string& key) {
  for (const auto& found : parse_ini(text, "x.ini")) {
    if (found.name != section) continue;
    for (const auto& value : found.values)
      if (value.key == key) return value.value;
  }
  return "(none)";
}

}  // namespace

// The expected values are those that Python 3.11's configparser gives.
TEST_CASE("ini: keys, values, comments, continued lines") {
  const std::string text =
      "# a comment\n"
      "[DEFAULT]\n"
      "Connect = test:///default\n"
      "ocidir: /x=y  ; no comment\n"
      "   ; a comment\n"
      "script = one\n"
      "  two = 2\n"
      "\n"
      "  three\n"
      "empty =\n"
      "[reg.example.org/[ab]*]\n"
      "memory=1\r\n";
  CHECK(value_of(text, "DEFAULT", "connect") == "test:///default");
  CHECK(value_of(text, "DEFAULT", "ocidir") == "/x=y  ; no comment");
  CHECK(value_of(text, "DEFAULT", "script") == "one\ntwo = 2\n\nthree");
  CHECK(value_of(text, "DEFAULT", "empty").empty());
  CHECK(value_of(text, "reg.example.org/[ab]*", "memory") == "1");
  CHECK(parse_ini("", "x.ini").empty());
}

TEST_CASE("ini: indented keys are keys, and a second DEFAULT adds to the first") {
  const std::string text = "[DEFAULT]\n  ocidir = /a\n  vmdir = /b\n    c\n[x]\ny=1\n[DEFAULT]\nz = 2\n";
  CHECK(value_of(text, "DEFAULT", "ocidir") == "/a");
  CHECK(value_of(text, "DEFAULT", "vmdir") == "/b\nc");
  CHECK(value_of(text, "DEFAULT", "z") == "2");
}

TEST_CASE("ini: references to other values") {
  const std::string text = "[DEFAULT]\nbase = /srv\n[a]\nvmdir = %(BASE)s/%(name)s\nname = 100%%\n";
  CHECK(value_of(text, "a", "vmdir") == "/srv/100%");
}

TEST_CASE("ini: what makes no sense is refused with its line") {
  check_error(Blame::job, "x.ini, line 1: a value stands before", [] { parse_ini("a = 1\n", "x.ini"); });
  check_error(Blame::job, "x.ini, line 2: 'nonsense' is neither",
              [] { parse_ini("[a]\nnonsense\n", "x.ini"); });
  check_error(Blame::job, "line 3: key 'b' is there twice", [] { parse_ini("[a]\nb = 1\nB: 2\n", "x.ini"); });
  check_error(Blame::job, "line 2: section 'a' is there twice", [] { parse_ini("[a]\n[a]\n", "x.ini"); });
  check_error(Blame::job, "line 2: a single %", [] { parse_ini("[a]\nb = 5%\n", "x.ini"); });
  check_error(Blame::job, "refers to no key", [] { parse_ini("[a]\nb = %(c)s\n", "x.ini"); });
  check_error(Blame::job, "without an end", [] { parse_ini("[a]\nb = %(b)s\n", "x.ini"); });
  const auto bomb = [](const std::string& core) {
    auto text = "[a]\nx0 = " + core + "\n";
    for (int i = 1; i < 9; ++i) {
      const auto last = "%(x" + std::to_string(i - 1) + ")s";
      text += "x" + std::to_string(i) + " = ";
      for (int n = 0; n < 16; ++n) text += last;
      text += "\n";
    }
    return text;
  };
  check_error(Blame::job, "too long", [&] { parse_ini(bomb(std::string(64, 'a')), "x.ini"); });
  check_error(Blame::job, "too many %(…)s", [&] { parse_ini(bomb(""), "x.ini"); });
}

TEST_CASE("ini: time grows no faster than the text") {
  std::string sections = "[DEFAULT]\nk = v\n";
  std::string keys = "[DEFAULT]\n";
  for (int i = 0; i < 60'000; ++i) {
    sections += "[s" + std::to_string(i) + "]\nother = %(k)s\n";
    keys += "k" + std::to_string(i) + " = 1\n";
  }
  for (const auto& text : {sections, keys}) {
    const auto spent = sarde::testing::spent_in([&] { CHECK(parse_ini(text, "it").size() >= 1); });
    CHECK(spent.seconds < 2);
  }
}
