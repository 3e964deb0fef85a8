#include "core/foundation/json_text.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace {

/// Levels of arrays and objects. Quicker than the parser's own callback, which is called for every value.
int depth_of(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& what) {
  constexpr int deepest = 64;
  if (depth_of(text) > deepest)
    throw Error("read " + what + ": it is nested more than " + std::to_string(deepest) + " levels deep");
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw Error("read " + what + ": it is not valid JSON: " + quote(error.what()));
  }
}

std::string json_text(const nlohmann::json& value) {
  return without_section_markers(value.dump(2, ' ', true, nlohmann::json::error_handler_t::replace),
                                 "\\u003a");
}

std::string json_text(const nlohmann::ordered_json& value) {
  return without_section_markers(value.dump(2, ' ', true, nlohmann::ordered_json::error_handler_t::replace),
                                 "\\u003a");
}

}  // namespace sarde
