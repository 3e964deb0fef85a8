#pragma once

#include <cstddef>
#include <string>

#include "core/system/environment.hpp"

namespace sarde {

/// The width of the terminal at this descriptor now; 0 if none is there.
std::size_t columns_at(int fd);

/// Is there a terminal that shows colours, for somebody who wants them (NO_COLOR, no-color.org)?
bool shows_colours(int fd, const Environment& environment);

/// The line with a colour for the word at its start that says how things are: FAILED, ERROR:, WARNING: or ok.
std::string coloured(const std::string& line);

}  // namespace sarde
