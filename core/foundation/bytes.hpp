#pragma once

#include <vector>

namespace sarde {

using Bytes = std::vector<unsigned char>;

}  // namespace sarde
