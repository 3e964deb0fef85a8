#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace sarde {

/// Parses JSON of foreign origin: at most 64 levels deep, valid UTF-8. Throws Error "read `what`: …".
nlohmann::json parse_json(std::string_view text, const std::string& what);

}  // namespace sarde
