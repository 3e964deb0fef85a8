#include "core/image/reference/image_reference.hpp"

#include <algorithm>
#include <array>

#include "core/foundation/error.hpp"
#include "core/foundation/host_name.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace {

constexpr std::string_view lower = "abcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::string_view separators = "._-";

bool is_component(const std::string& text) {
  if (text.empty() || text.size() > 255) return false;
  const bool allowed = std::ranges::all_of(
      text, [](char c) { return lower.find(c) != lower.npos || separators.find(c) != separators.npos; });
  return allowed && lower.find(text.front()) != lower.npos && lower.find(text.back()) != lower.npos &&
         text.find("..") == std::string::npos;
}

/// Without a port.
bool is_host_name(std::string_view text) {
  return is_component(lowered(text));
}

bool is_tag(const std::string& text) {
  if (text.empty() || text.size() > 128 || text.front() == '.' || text.front() == '-') return false;
  return std::ranges::all_of(
      text, [](char c) { return is_letter_or_digit(c) || separators.find(c) != separators.npos; });
}

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
  throw Error(Blame::job, "image name " + quote(text) + ": " + why +
                              "; an image is written like registry.example.org/group/name:tag");
}

/// host[:port] with its parts checked, in its one spelling; nothing if it is neither.
std::optional<std::string> canonical_if_host(std::string_view text) {
  const auto colon = text.rfind(':');
  if (!is_host_name(text.substr(0, colon))) return std::nullopt;
  constexpr std::uint64_t largest_port = 65535;
  if (colon != std::string_view::npos) {
    const auto port = parse_number(text.substr(colon + 1));
    if (!port || *port == 0 || *port > largest_port) return std::nullopt;
  }
  return canonical_host(text);
}

constexpr std::array<std::string_view, 3> names_in_layouts{"blobs", "index.json", "oci-layout"};

}  // namespace

ImageReference ImageReference::parse(std::string_view text) {
  const auto given = text;
  if (text.starts_with("docker://")) text.remove_prefix(9);
  ImageReference reference;
  if (const auto at = text.find('@'); at != text.npos) {
    reference.digest_ = Digest::parse(text.substr(at + 1));
    if (!reference.digest_) refuse(given, "what follows the @ is not sha256: and 64 hexadecimal digits");
    text = text.substr(0, at);
  }
  const auto slash = text.rfind('/');
  if (const auto colon = text.rfind(':'); colon != text.npos && (slash == text.npos || colon > slash)) {
    reference.tag_ = std::string(text.substr(colon + 1));
    if (!is_tag(*reference.tag_))
      refuse(given, "the tag is not made of up to 128 letters, digits, '.', '_' and '-'");
    text = text.substr(0, colon);
  }
  if (text.empty()) refuse(given, "it is empty");
  auto components = split(text, '/');
  const bool has_host = components.size() > 1 && looks_like_host(components.front());
  if (has_host) {
    const auto host = canonical_if_host(components.front());
    if (!host) refuse(given, quote(components.front()) + " is not a host's name");
    components.front() = *host;
  }
  for (auto component = components.begin() + (has_host ? 1 : 0); component != components.end(); ++component) {
    if (!is_component(*component)) {
      refuse(given,
             quote(*component) +
                 " is not made of lower-case letters and digits, with single '.', '_' or '-' between them");
    }
  }
  reference.repository_ = join(components, "/");
  constexpr std::size_t longest = 255;
  if (reference.repository_.size() > longest)
    refuse(given, "it is longer than " + std::to_string(longest) + " characters");
  return reference;
}

std::string ImageReference::text() const {
  return repository_ + (tag_ ? ":" + *tag_ : "") + (digest_ ? "@" + digest_->text() : "");
}

std::string ImageReference::transport_text() const {
  return digest_ ? repository_ + "@" + digest_->text() : repository_ + ":" + tag_.value_or("latest");
}

std::string ImageReference::registry() const {
  const auto first = split(repository_, '/').front();
  return first.size() < repository_.size() && looks_like_host(first) ? first : "";
}

std::string ImageReference::asked_registry() const {
  const auto host = registry();
  return host.empty() ? "docker.io" : host;
}

std::string ImageReference::text_with_registry() const {
  if (!registry().empty()) return quote(text());
  return quote(text()) + " at docker.io (another registry is named like registry.example.org/" + repository_ +
         ")";
}

std::vector<std::string> ImageReference::names() const {
  std::vector<std::string> repositories{repository_};
  const bool is_single = repository_.find('/') == std::string::npos;
  if (registry().empty())
    repositories.insert(repositories.begin(),
                        (is_single ? "docker.io/library/" : "docker.io/") + repository_);
  if (registry() == "docker.io" && std::ranges::count(repository_, '/') == 1)
    repositories.insert(repositories.begin(),
                        "docker.io/library/" + repository_.substr(repository_.find('/') + 1));
  std::vector<std::string> names;
  for (const auto& name : repositories)
    names.push_back(name + (digest_ ? "@" + digest_->text() : ":" + tag_.value_or("latest")));
  names.insert(names.end(), repositories.begin(), repositories.end());
  return names;
}

std::filesystem::path ImageReference::folder() const {
  std::filesystem::path folder;
  for (const auto& component : split(repository_, '/'))
    folder /=
        (std::ranges::find(names_in_layouts, component) != names_in_layouts.end() ? "%" : "") + component;
  return folder;
}

std::string ImageReference::repository_in(const std::filesystem::path& folder) {
  std::vector<std::string> components;
  for (const auto& part : folder) {
    const auto name = part.string();
    components.push_back(name.starts_with('%') ? name.substr(1) : name);
  }
  return join(components, "/");
}

ImageReference ImageReference::with_digest(const Digest& digest) const {
  auto other = *this;
  other.tag_.reset();
  other.digest_ = digest;
  return other;
}

std::string ImageReference::local_name() const {
  if (digest_) return digest_->text();
  return tag_.value_or("latest");
}

}  // namespace sarde
