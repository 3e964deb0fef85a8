#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sarde {

/// Bytes of "17", "256MiB", "1.5 GB", "64k", "7 megabytes", in any case: KiB, MiB, GiB, TiB and K, M, G, T
/// are powers of 1024; kB, MB, GB, TB powers of 1000. Nothing if it is not of that form.
std::optional<std::uint64_t> parse_size(std::string_view text);

/// Of "2" or "1.5", from 1 to 100. Nothing if it is not of that form.
std::optional<double> parse_factor(std::string_view text);

/// Of true, yes, on, 1 and false, no, off, 0, in any case. Nothing if it is none of these.
std::optional<bool> parse_flag(std::string_view text);

/// Seconds of "90", "90s", "45m", "12h", "30d", "2w". Nothing if it is not of that form.
std::optional<std::uint64_t> parse_seconds(std::string_view text);

}  // namespace sarde
