#include "core/foundation/text.hpp"

#include <doctest/doctest.h>

#include "core/foundation/base64.hpp"

using namespace sarde;

TEST_CASE("text: foreign text is quoted, its control characters shown, its length cut") {
  CHECK(quote("a b") == "'a b'");
  CHECK(quote("a\x1b[31m\n") == "'a\\x1b[31m\\x0a'");
  CHECK(quote("abcdef", 3) == "'abc…'");
}

TEST_CASE("text: the tail of a console has no escape sequences and no empty lines") {
  CHECK(printable_tail("one\n\n\x1b[0;30;47mtwo\x1b[0m\r\nthree\n", 2) == "two\nthree");
  CHECK(printable_tail("\x1b[", 5).empty());
  CHECK(printable_tail("", 5).empty());
}

TEST_CASE("text: numbers are digits only, and fit") {
  CHECK(parse_number("42") == 42);
  CHECK(parse_number("18446744073709551615") == UINT64_MAX);
  for (const auto* wrong : {"", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616"})
    CHECK_FALSE(parse_number(wrong));
}

TEST_CASE("text: base64 pads as RFC 4648 says") {
  CHECK(to_base64("") == "");
  CHECK(to_base64("f") == "Zg==");
  CHECK(to_base64("fo") == "Zm8=");
  CHECK(to_base64("foobar") == "Zm9vYmFy");
}

TEST_CASE("text: a word for the shell survives its own quotes") {
  CHECK(shell_quoted("it's") == R"('it'\''s')");
}

TEST_CASE("text: durations and sizes are for people") {
  using std::chrono::milliseconds;
  CHECK(duration_text(milliseconds(850)) == "850 ms");
  CHECK(duration_text(milliseconds(3200)) == "3.2 s");
  CHECK(duration_text(milliseconds(125'000)) == "2 min 5 s");
  CHECK(size_text(17) == "17 bytes");
  CHECK(size_text(3'400'000) == "3.4 MB");
}
