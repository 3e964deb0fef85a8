#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sarde {

/// The known word that `word` was probably meant to be: of those with at most two letters wrong, missing, too
/// many or exchanged, the nearest; or else the one that `word` is the beginning of. Empty if there is none.
std::string near_word(std::string_view word, const std::vector<std::string>& known);

}  // namespace sarde
