#include "executor/job/guest_login.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace {

template <typename Value>
std::string origin_of(const std::optional<Value>& of_section, const std::optional<Value>& of_image) {
  if (of_section) return "the section for this image in the settings";
  return of_image ? "the image's vm config" : "the general settings or the built-in default";
}

void check(const GuestLogin& login) {
  constexpr std::size_t longest_name = 256;
  constexpr std::size_t longest_password = 4096;
  const auto& name = login.username;
  if (name.empty())
    throw Error(
        Blame::job,
        "log into the VM: there is no user name; set one in the image's vm config, or as 'username' in "
        "the section for this image in the settings");
  if (name.size() > longest_name || printable_line(name, longest_name) != name)
    throw Error(Blame::job, "log into the VM: " + quote(name) + " is not a valid user name");
  if (login.password.reveal().size() > longest_password)
    throw Error(Blame::job, "log into the VM: the password of " + quote(name) + " is longer than " +
                                size_text(longest_password));
}

}  // namespace

GuestLogin login_for(const VmConfig& image, const LoginRules& rules, Reporter& reporter) {
  GuestLogin login{
      .username =
          rules.of_image.username.value_or(image.username.value_or(rules.otherwise.username.value_or(""))),
      .password = rules.of_image.password.value_or(
          image.password.value_or(rules.otherwise.password.value_or(Secret()))),
      .identity_file = rules.identity_file,
      .use_agent = rules.use_agent,
      .port = rules.ssh_port.value_or(image.ssh_port.value_or(22)),
      .algorithms = rules.algorithms,
      .origin = "the user name comes from " + origin_of(rules.of_image.username, image.username) +
                ", the password from " + origin_of(rules.of_image.password, image.password)};
  check(login);
  // A password that equals the user's name is common and not secret. Masking it would mask the name
  // everywhere.
  if (login.password.reveal() != login.username) reporter.mask(login.password.reveal());
  return login;
}

}  // namespace sarde
