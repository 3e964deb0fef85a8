#pragma once

#include <string>
#include <string_view>

namespace sarde {

/// The bytes in base64 (RFC 4648, section 4), padded, on one line.
std::string to_base64(std::string_view bytes);

/// Is it base64 (RFC 4648, section 4) of anything, padded?
bool is_base64(std::string_view text);

}  // namespace sarde
