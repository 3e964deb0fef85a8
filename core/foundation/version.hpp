#pragma once

namespace sarde {

inline constexpr auto program_name = "sarde-executor";
inline constexpr auto program_version = SARDE_VERSION;

}  // namespace sarde
