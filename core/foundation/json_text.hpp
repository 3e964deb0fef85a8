#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace sarde {

/// Parses JSON of foreign origin: at most 64 levels deep, valid UTF-8. Throws Error "read `what`: …".
nlohmann::json parse_json(std::string_view text, const std::string& what);

/// JSON for people and programs, indented, in ASCII: valid whatever bytes its texts hold (those that are no
/// UTF-8 become U+FFFD), and harmless in a terminal.
std::string json_text(const nlohmann::json& value);
std::string json_text(const nlohmann::ordered_json& value);

}  // namespace sarde
