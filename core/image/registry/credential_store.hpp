#pragma once

#include <optional>
#include <string>

#include "core/foundation/secret.hpp"
#include "core/system/clock.hpp"
#include "core/system/environment.hpp"

namespace sarde {

/// What this account's credential store has for a registry, as base64 of user:password. The store is the
/// helper named by `credsStore` in ~/.docker/config.json (docker-credential-NAME, which gets the registry on
/// its standard input); skopeo 1.9 runs the helpers of `credHelpers` itself, but not this one. Nothing if
/// there is no store, or if it has nothing for the registry. Throws Error and Cancelled.
std::optional<Secret> stored_credentials(const std::string& registry, const Environment& environment,
                                         Clock& clock, Cancellation& cancellation);

}  // namespace sarde
