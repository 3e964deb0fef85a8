#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sarde {

/// For a message that names a mistyped word, the known one that was probably meant: " (did you mean
/// 'boot-timeout'?)" for boot-timeut. That is, of those with at most two letters wrong, missing, too many or
/// exchanged, the nearest; or else the one that `word` is the beginning of. Empty if there is none.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known);

}  // namespace sarde
