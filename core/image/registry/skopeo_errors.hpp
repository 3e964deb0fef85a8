#pragma once

#include <string>
#include <string_view>

#include "core/foundation/error.hpp"

namespace sarde {

/// What skopeo's stderr means: it exits with 1 for everything. `doing` starts the message ("fetch 'a/b:c'").
Error explain_skopeo_failure(const std::string& doing, std::string_view errors);

/// Throws that Error; as AccessDenied where other credentials might do.
[[noreturn]] void throw_skopeo_failure(const std::string& doing, std::string_view errors);

}  // namespace sarde
