#pragma once

namespace sarde {

/// What the program does under the name sarde-virtiofsd, by which libvirt calls it (<binary path=…/>): in a
/// mount namespace of its own, which ends with it, makes the folder of `-o source=` read-only, and becomes
/// QEMU's virtiofsd. Needs root. Returns an exit code if that is not possible, and says why on stderr.
int become_read_only_virtiofsd(int argc, char** argv);

}  // namespace sarde
