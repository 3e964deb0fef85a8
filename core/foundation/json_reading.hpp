#pragma once

// For .cpp files only: it brings all of nlohmann_json.

#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

/// Parses untrusted JSON (parse_json()) and hands it to `read`. Whatever is not as `read` expects,
/// nlohmann_json's exceptions included, becomes an Error with this blame: "read `what`: …".
template <typename Read>
auto read_json(std::string_view text, const std::string& what, Blame blame, Read read) {
  try {
    return read(parse_json(text, what));
  } catch (const nlohmann::json::exception& error) {
    throw Error(blame, "read " + what + ": it does not have the expected form: " + quote(error.what()));
  } catch (const Error& error) {
    throw Error(blame, error.what());
  }
}

}  // namespace sarde
