#pragma once

#include <string>

#include "core/image/reference/image_reference.hpp"
#include "executor/commands/command_tools.hpp"

namespace sarde {

/// An image of a VM of this host, for jobs with `image: vm:NAME`: made now, unless the VM's definition and
/// disks are what they were when one was made. Its tag in `repository` says which state of the VM it is. The
/// VM has to be shut down while the image is made, and may be used again after that. Throws Error: the job's
/// fault if there is no such VM, or if it runs and no image of its state is there; Cancelled.
ImageReference image_of_local_vm(const CommandTools& tools, const std::string& vm,
                                 const ImageReference& repository, unsigned threads);

}  // namespace sarde
