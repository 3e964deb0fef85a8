#pragma once

#include <memory>

#include "core/image/registry/registry.hpp"
#include "core/image/registry/skopeo_settings.hpp"
#include "core/system/clock.hpp"
#include "core/system/environment.hpp"

namespace sarde {

/// A Registry that runs skopeo (1.9 or newer). The clock, the cancellation and the environment must outlive
/// it.
std::unique_ptr<Registry> make_skopeo_registry(SkopeoSettings settings, const Environment& environment,
                                               Clock& clock, Cancellation& cancellation);

}  // namespace sarde
