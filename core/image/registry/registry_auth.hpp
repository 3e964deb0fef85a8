#pragma once

#include <filesystem>
#include <string>

#include "core/foundation/secret.hpp"
#include "core/image/reference/image_reference.hpp"

namespace sarde {

/// Is a key of containers-auth.json(5) or of docker's config.json for this image? It may be a registry, a
/// path at one, or, as docker has it, a URL.
bool is_for(const std::string& key, const ImageReference& reference);

/// An auth file as skopeo reads it (containers-auth.json(5)), mode 0600. `auth` is base64 of user:password.
/// Throws Error.
void write_registry_auth(const std::filesystem::path& file, const std::string& registry, const Secret& auth);

}  // namespace sarde
