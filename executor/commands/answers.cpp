#include "executor/commands/answers.hpp"

#include <nlohmann/json.hpp>

#include "core/foundation/json_text.hpp"

namespace sarde {

using nlohmann::ordered_json;

NamedImage named(const StoredImage& image) {
  return {.name = image.reference.text(),
          .digest = image.manifest.digest,
          .id = image.config_digest,
          .compressed_size = image.compressed_size()};
}

std::string as_json(const DefinedVm& vm) {
  return json_text(ordered_json{{"name", vm.name}, {"uuid", vm.uuid}});
}

std::string as_json(const NamedImage& image) {
  return json_text(ordered_json{{"name", image.name},
                                {"digest", image.digest.text()},
                                {"id", image.id.text()},
                                {"compressed_size", image.compressed_size}});
}

}  // namespace sarde
