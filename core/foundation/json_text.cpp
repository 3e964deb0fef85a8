#include "core/foundation/json_text.hpp"

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

nlohmann::json parse_json(std::string_view text, const std::string& what) {
  constexpr int deepest = 64;
  const auto limit_depth = [&](int depth, nlohmann::json::parse_event_t /*event*/,
                               nlohmann::json& /*parsed*/) {
    if (depth > deepest)
      throw Error("read " + what + ": it is nested more than " + std::to_string(deepest) + " levels deep");
    return true;
  };
  try {
    return nlohmann::json::parse(text, limit_depth);
  } catch (const nlohmann::json::exception& error) {
    throw Error("read " + what + ": it is not valid JSON: " + quote(error.what()));
  }
}

}  // namespace sarde
