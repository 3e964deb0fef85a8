#pragma once

#include <functional>

namespace sarde {

/// Gives a part that is made when it is first needed: a connection to libvirt, say. May throw what making it
/// throws.
template <typename T>
using Source = std::function<T&()>;

}  // namespace sarde
