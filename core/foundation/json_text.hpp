#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace sarde {

/// Parses untrusted JSON, which must be valid UTF-8 and at most 64 levels deep. Throws an Error of the form
/// "read `what`: …".
nlohmann::json parse_json(std::string_view text, const std::string& what);

/// JSON for people and programs: indented and in ASCII. It is valid whatever bytes its strings contain
/// (invalid UTF-8 becomes U+FFFD), and harmless in a terminal.
std::string json_text(const nlohmann::json& value);
std::string json_text(const nlohmann::ordered_json& value);

}  // namespace sarde
