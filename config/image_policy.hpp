#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/option_value.hpp"

namespace sarde {

/// The values of the section that applies to an image, by any of its names (canonical ones, the most exact
/// first): a section of exactly such a name beats a glob, the longest glob wins, and of equally long ones the
/// first in the alphabet. None if no section matches. In a section's name `docker://` in front, capital
/// letters in the host and https's port count for nothing, as they do in an image's.
const OptionValues* section_for_image(const std::map<std::string, OptionValues>& sections,
                                      const std::vector<std::string>& names);

}  // namespace sarde
