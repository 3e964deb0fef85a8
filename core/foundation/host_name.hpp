#pragma once

#include <string>
#include <string_view>

namespace sarde {

/// Whether the first component of an image's name is a registry's host according to Docker's rule: it
/// contains a dot or a port, or is `localhost`.
bool looks_like_host(std::string_view component);

/// The canonical spelling of a registry's host[:port], or of a pattern for one: in lower case, without
/// leading zeros in the port, without the default port of https (unless the rest would no longer be a host),
/// and with Docker Hub as docker.io.
std::string canonical_host(std::string_view text);

}  // namespace sarde
