#pragma once

#include <string>

namespace sarde {

/// Can a disk file of an image be called so? Letters, digits and `._+-=@~ ()` only, not beginning with a dot:
/// with a colon QEMU would take it for a protocol (`json:…`, `nbd:…`) when it stands as a backing file's
/// name.
bool is_disk_name(const std::string& name);

/// Is `name` usable as a file's name in a folder: 1 to 200 bytes, no slash, no control characters, not
/// beginning with a dot?
bool is_bare_file_name(const std::string& name);

}  // namespace sarde
