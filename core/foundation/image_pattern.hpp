#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sarde {

/// A pattern for images' canonical names in the spelling that these have: without `docker://`, the host as
/// canonical_host() writes it.
std::string canonical_pattern(std::string_view pattern);

/// Whether the pattern matches the whole name: `*` stands for anything up to the next slash, `**` for
/// anything, `?` for one character that is no slash, every other character for itself.
bool matches_image_pattern(std::string_view pattern, std::string_view name);

/// The first of the patterns, as written, that matches one of an image's names; empty if none does.
std::string matching_pattern(const std::vector<std::string>& patterns, const std::vector<std::string>& names);

}  // namespace sarde
