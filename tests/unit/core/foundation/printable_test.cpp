#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "core/foundation/base64.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"

using namespace sarde;

TEST_CASE("printable line: nothing that would be acted upon, and nothing else is changed") {
  CHECK(printable_line("  | grüße, 日本語 … ✓") == "  | grüße, 日本語 … ✓");
  CHECK(printable_line("a\r\nERROR: b\tc\n") == "a ERROR: b c");
  CHECK(printable_line("\x1b[31mred\x07\x7f") == "\\x1b[31mred\\x07\\x7f");
  CHECK(printable_line("\xc2\x9b"
                       "31m") == "\\u{9b}31m");                          // CSI in one character
  CHECK(printable_line("x\xe2\x80\xaegnp.exe") == "x\\u{202e}gnp.exe");  // right to left
  CHECK(printable_line("\xe2\x81\xa6\xe2\x80\x8b\xef\xbb\xbf") == "\\u{2066}\\u{200b}\\u{feff}");
  CHECK(printable_line("\xe3\x85\xa4\xd8\x80\xee\x80\x80") ==
        "\\u{3164}\\u{600}\\u{e000}");  // blank, format, private
  CHECK(printable_line("\xf3\xa0\x84\x80 \xef\xbf\xbf") == "\\u{e0100} \\u{ffff}");
  CHECK(printable_line("\xff\xc0\x80\xed\xa0\x80") == "\\xff\\xc0\\x80\\xed\\xa0\\x80");  // none of it UTF-8
  CHECK(printable_line("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");
  CHECK(printable_line("section_start:1:x\r\x1b[0K") == "section_start\\x3a1:x \\x1b[0K");
  CHECK(printable_line("section_end:1:x section_start:2:y") == "section_end\\x3a1:x section_start\\x3a2:y");
  CHECK(printable_line(std::string(100'000, 'x')).size() < 5'000);
  CHECK(printable_line(std::string("a\0b", 3)) == "a\\x00b");
}

TEST_CASE("printable line: whatever the bytes, the line is UTF-8 without controls") {
  std::uint32_t state = 1;
  for (int round = 0; round < 2'000; ++round) {
    std::string bytes;
    for (int i = 0; i < 40; ++i) {
      state = state * 1664525U + 1013904223U;
      bytes += static_cast<char>(state >> 24U);
    }
    const auto line = printable_line(bytes);
    CHECK(is_utf8_text(line));
    for (const char c : line) CHECK(static_cast<unsigned char>(c) >= 32);
  }
}

TEST_CASE("json text: valid for any bytes, and plain ASCII") {
  const auto text = json_text(nlohmann::json{{"name", "a\xff\x1b[31m\xe2\x80\xae"}});
  CHECK(nlohmann::json::parse(text)["name"] == "a\xef\xbf\xbd\x1b[31m\xe2\x80\xae");
  for (const char c : text) CHECK((c == '\n' || (c >= 32 && c < 127)));
  const auto folding = json_text(nlohmann::json("section_start:1:x section_end:2:y"));
  CHECK(folding.find("section_start:") == std::string::npos);
  CHECK(folding.find("section_end:") == std::string::npos);
  CHECK(nlohmann::json::parse(folding) == "section_start:1:x section_end:2:y");
}

TEST_CASE("base64 is told from what is none") {
  for (const auto* good : {"", "dXNlcjpwYXNz", "YQ==", "YWI=", "+/+/"}) CHECK(is_base64(good));
  for (const auto* bad : {"a", "YQ=", "Y===", "dXNl cjpw", "dXNlcjpwYXNz\n", "user:pass", "----"})
    CHECK_FALSE(is_base64(bad));
}
