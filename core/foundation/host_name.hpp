#pragma once

#include <string>
#include <string_view>

namespace sarde {

/// Where docker's rule sees a registry's host in the first component of an image's name: a dot, a port, or
/// `localhost`.
bool looks_like_host(std::string_view component);

/// The one spelling of a registry's host[:port], or of a pattern for such: in lower case, without leading
/// zeros in the port, without the port that https has anyway (unless the rest would be no host any more),
/// Docker Hub under the name docker.io.
std::string canonical_host(std::string_view text);

}  // namespace sarde
