#include "core/guest/ssh_algorithms.hpp"

#include <array>
#include <string>

#include "core/foundation/error.hpp"
#include "core/guest/ssh_driver.hpp"

namespace sarde {

namespace {

struct Offer {
  ssh_options_e option;
  const char* modern;
  const char* legacy;  ///< added to the modern ones
};

// Hardware AES with its MAC in one comes first: twice as fast here as what libssh would choose.
constexpr auto ciphers =
    "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr";
constexpr auto old_ciphers = "aes192-ctr,aes256-cbc,aes192-cbc,aes128-cbc,3des-cbc";
constexpr auto macs =
    "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512";
constexpr auto old_macs = "hmac-sha1-etm@openssh.com,hmac-sha1";
constexpr auto key_types =
    "ssh-ed25519,ecdsa-sha2-nistp521,ecdsa-sha2-nistp384,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256";

constexpr std::array offers{
    Offer{SSH_OPTIONS_CIPHERS_C_S, ciphers, old_ciphers},
    Offer{SSH_OPTIONS_CIPHERS_S_C, ciphers, old_ciphers},
    Offer{SSH_OPTIONS_HMAC_C_S, macs, old_macs},
    Offer{SSH_OPTIONS_HMAC_S_C, macs, old_macs},
    Offer{SSH_OPTIONS_HOSTKEYS, key_types, "ssh-rsa"},
    Offer{SSH_OPTIONS_PUBLICKEY_ACCEPTED_TYPES, key_types, "ssh-rsa"},
    Offer{SSH_OPTIONS_KEY_EXCHANGE,
          "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,"
          "ecdh-sha2-nistp521,diffie-hellman-group18-sha512,diffie-hellman-group16-sha512,"
          "diffie-hellman-group-exchange-sha256,diffie-hellman-group14-sha256",
          "diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1,diffie-hellman-group1-sha1"},
};

}  // namespace

void offer_algorithms(ssh_session session, SshAlgorithms algorithms) {
  for (const auto& offer : offers) {
    auto list = std::string(offer.modern);
    if (algorithms == SshAlgorithms::legacy) list += std::string(",") + offer.legacy;
    if (ssh_options_set(session, offer.option, list.c_str()) != SSH_OK)
      throw Error("set up SSH: " + problem_of(session));
  }
}

}  // namespace sarde
