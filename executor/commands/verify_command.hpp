#pragma once

#include <string>
#include <vector>

#include "executor/commands/selftest_command.hpp"

namespace sarde {

struct VerifyRequest {
  std::vector<std::string> containers;  ///< none: all images in the cache
  AnswerForm form = AnswerForm::text;
};

/// `verify [CONTAINER…]`: reads every byte of the images in the cache: each blob must have the digest that it
/// is named by, and the unpacked disks must be what was unpacked. One finding for each image; a failure names
/// all that is damaged or missing, and says what to do. Changes nothing. Disks that an imported VM has
/// written to are passed over, and what another program unpacked cannot be checked; both is said. Without
/// names, unpacked disks of images that the cache does not have any more are read, too. Throws Error (the
/// caller's fault) if an image that is named is not there, Cancelled.
SelftestAnswer verify_images(const CommandTools& tools, const VerifyRequest& request);

}  // namespace sarde
