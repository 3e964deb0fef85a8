#pragma once

#include <map>
#include <string>

#include "config/settings_rules.hpp"

namespace sarde {

/// The values of the section that applies to `image`: one of exactly that name beats a glob, the longest glob
/// wins, and of equally long ones the first in the alphabet. None if no section matches.
const OptionValues* section_for_image(const std::map<std::string, OptionValues>& sections,
                                      const std::string& image);

}  // namespace sarde
