#pragma once

#include <filesystem>

#include "core/system/environment.hpp"

namespace sarde {

/// The signature policy that skopeo goes by unless it is told another: the account's, or the machine's
/// (containers-policy.json(5)).
std::filesystem::path usual_signature_policy(const Environment& environment);

/// Whether the policy lets every image in, so that there are no signatures to check. False also if it cannot
/// be read.
bool lets_everything_in(const std::filesystem::path& policy);

}  // namespace sarde
