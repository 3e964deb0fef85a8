#include "core/foundation/base64.hpp"

#include <algorithm>
#include <openssl/evp.h>

#include "core/foundation/text.hpp"

namespace sarde {

std::string to_base64(std::string_view bytes) {
  std::string result((bytes.size() + 2) / 3 * 4 + 1, '\0');  // libcrypto ends it with a NUL
  const auto size =
      ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(result.data()),
                        reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  result.resize(static_cast<std::size_t>(size));
  return result;
}

bool is_base64(std::string_view text) {
  if (text.size() % 4 != 0) return false;
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  return std::ranges::all_of(text, [](char c) { return is_letter_or_digit(c) || c == '+' || c == '/'; });
}

}  // namespace sarde
