#include "core/image/image_reference.hpp"

#include <algorithm>
#include <cctype>

#include "core/foundation/error.hpp"
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

bool is_host(const std::string& text) {
  const auto colon = text.rfind(':');
  const auto name = text.substr(0, colon);
  if (colon != std::string::npos) {
    const auto port = parse_number(text.substr(colon + 1));
    if (!port || *port == 0 || *port > 65535) return false;
  }
  auto lowered = name;
  std::ranges::transform(lowered, lowered.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return is_component(lowered);
}

bool is_tag(const std::string& text) {
  if (text.empty() || text.size() > 128 || text.front() == '.' || text.front() == '-') return false;
  return std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || separators.find(static_cast<char>(c)) != separators.npos;
  });
}

/// Where docker's rule sees a host: a dot, a port, or `localhost` in the first of several components.
bool looks_like_host(const std::string& component) {
  return component == "localhost" || component.find_first_of(".:") != std::string::npos;
}

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
  throw Error(Blame::job, "image name " + quote(text) + ": " + why +
                              "; an image is written like registry.example.org/group/name:tag");
}

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
  if (has_host && !is_host(components.front()))
    refuse(given, quote(components.front()) + " is not a host's name");
  for (auto component = components.begin() + (has_host ? 1 : 0); component != components.end(); ++component) {
    if (!is_component(*component)) {
      refuse(given,
             quote(*component) +
                 " is not made of lower-case letters and digits, with single '.', '_' or '-' between them");
    }
  }
  reference.repository_ = std::string(text);
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

std::string ImageReference::local_name() const {
  if (digest_) return digest_->text();
  return tag_.value_or("latest");
}

}  // namespace sarde
