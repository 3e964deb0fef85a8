#include "executor/job/job_images.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "core/vm/domain/domain_policy.hpp"
#include "executor/job/image_notes.hpp"

namespace sarde {

ObtainedImage JobImages::obtain(const ImageChoice& choice, const Job& job, const JobFolder& folder,
                                const std::function<void()>& before_fetch) {
  if (!choice.vm.empty()) {
    before_fetch();
    return obtain_by("never", parts_.image_of_vm(choice.vm, choice.reference), job, folder, before_fetch);
  }
  bool checked = false;
  const auto check_once = [&] {
    if (!checked) before_fetch();
    checked = true;
  };
  const auto& policies = choice.policies;
  for (std::size_t i = 0; i + 1 < policies.size(); ++i) {
    if (policies[i] != "never") check_once();
    try {
      return obtain_by(policies[i], choice.reference, job, folder, check_once);
    } catch (const Error& error) {
      parts_.reporter.warn("WARNING: pull policy '" + policies[i] + "' failed, trying '" + policies[i + 1] +
                           "': " + error.what());
    }
  }
  return obtain_by(policies.back(), choice.reference, job, folder, check_once);
}

ObtainedImage JobImages::obtain_by(const std::string& policy, const ImageReference& reference, const Job& job,
                                   const JobFolder& folder, const std::function<void()>& before_fetch) {
  const auto& catalogue = parts_.images.catalogue;
  const auto use_cache = [&](const std::string& why) {
    parts_.reporter.say("Using image " + quote(reference.text()) + " from the cache (" + why + ")");
    return from_cache(reference, policy, job, folder);
  };
  if (policy == "never" ||
      (policy == "if-not-present" && catalogue.has(reference) && !lacks_disks(reference))) {
    try {
      return use_cache("pull policy '" + policy + "'");
    } catch (const Error&) {
      const bool is_gone = lacks_disks(reference);
      if (policy == "never" && is_gone)
        throw Error(Blame::job,
                    "image " + quote(reference.text()) +
                        ": its disks are no longer on this host, and pull policy 'never' does not "
                        "let them be fetched; choose another policy, or run 'sarde fetch' on this "
                        "host");
      // Another process may have removed the image before its use was recorded.
      if (policy == "never" || (catalogue.has(reference) && !is_gone)) throw;
      parts_.reporter.say("The image has just been removed from the cache");
    }
  } else if (parts_.manifest_ttl) {
    const auto age = catalogue.time_since_asked(reference);
    try {
      if (age && *age < *parts_.manifest_ttl && !lacks_disks(reference))
        return use_cache("the registry was asked " + duration_text(*age) + " ago, within manifest-ttl");
    } catch (const Error&) {
      if (catalogue.has(reference) && !lacks_disks(reference)) throw;  // otherwise it has just been removed
    }
  }
  const auto access = [&] {
    try {
      return choose_access(reference, job, folder.authfile(), parts_.registry, parts_.reporter);
    } catch (const Error&) {
      before_fetch();  // what is wrong with the host comes first
      throw;
    }
  }();
  before_fetch();
  return from_registry(reference, access, folder);
}

/// Whether the cache has the image, but neither its disks nor their layers: these stay only if they are
/// wanted (keep-blobs). What else may be wrong with it, whoever reads it will say.
bool JobImages::lacks_disks(const ImageReference& reference) const {
  try {
    if (!parts_.images.catalogue.has(reference)) return false;
    const auto image = parts_.images.catalogue.load(reference);
    return !parts_.images.unpacked.has_shared(image) && !image.has_packed_disks();
  } catch (const Error&) {
    return false;
  }
}

/// A private image that was fetched with another job's credentials is only given to jobs whose own
/// credentials could fetch it.
void JobImages::check_access(const StoredImage& image, const std::string& policy, const Job& job,
                             const JobFolder& folder) {
  if (!parts_.images.catalogue.is_private(image)) return;
  if (policy == "never")
    throw Error(
        Blame::job,
        "image " + quote(image.reference.text()) +
            " was fetched with another job's credentials, and with pull policy 'never' this job's own "
            "credentials cannot be checked; choose another policy, or fetch the image with this "
            "machine's credentials ('sarde login', 'sarde fetch')");
  static_cast<void>(choose_access(image.reference, job, folder.authfile(), parts_.registry, parts_.reporter));
  remove_if_there(folder.authfile());
}

ObtainedImage JobImages::from_cache(const ImageReference& reference, const std::string& policy,
                                    const Job& job, const JobFolder& folder) {
  const Phase phase(parts_.clock, parts_.reporter);
  auto image = parts_.images.catalogue.load(reference);
  check_access(image, policy, job, folder);
  refuse_what_no_job_may_have(image.domain_xml, parts_.allowed_devices);
  parts_.images.catalogue.mark_used(image);
  folder.note_image(image.config_digest.text());
  parts_.reporter.say("The image's digest is " + image.manifest.digest.text());
  auto unpacked = parts_.images.unpacked.unpack_shared(image, progress_of(parts_.reporter, "unpacking"));
  say_unpacked(unpacked, phase);
  parts_.metrics.pulled("cached", 0);
  return {.image = std::move(image), .unpacked = std::move(unpacked)};
}

ObtainedImage JobImages::wait_for_all_of(ObtainedImage image) {
  const Phase phase(parts_.clock, parts_.reporter);
  auto whole = parts_.lazy.value().wait_for_all_of(std::move(image));
  phase.done("Fetched the rest of the image's disks");
  return whole;
}

/// If the transfer turns out to be long, or if that is what the settings want, the disks are served while
/// they come.
ObtainedImage JobImages::fetch(const ObtainRequest& request, const RegistryAccess& access) {
  const auto fetch_all = [&](const ObtainRequest& one) {
    return parts_.images.fetcher.obtain(one, parts_.registry, access);
  };
  if (!parts_.lazy || parts_.keep_blobs) return fetch_all(request);
  auto& lazy = *parts_.lazy;
  const bool is_always = lazy.when() == Laziness::always;
  if (auto served = lazy.obtain(request, is_always, parts_.registry, access)) return std::move(*served);
  if (is_always || !parts_.images.fetcher.can_obtain_partly(request, parts_.registry))
    return fetch_all(request);
  TransferEstimate estimate(parts_.clock);
  bool is_long = false;
  auto watched = request;
  watched.progress = [&](const std::string& doing, std::uint64_t done, std::uint64_t total) {
    request.progress(doing, done, total);
    is_long = is_long || estimate.is_long(done, total);
    if (is_long) throw Error("the transfer would take longer than a VM should wait");
  };
  try {
    return fetch_all(watched);
  } catch (const Error&) {
    if (!is_long) throw;
  }
  if (auto served = lazy.obtain(request, true, parts_.registry, access)) return std::move(*served);
  return fetch_all(request);
}

ObtainedImage JobImages::from_registry(const ImageReference& reference, const ChosenAccess& chosen,
                                       const JobFolder& folder) {
  const Phase phase(parts_.clock, parts_.reporter);
  const auto known = parts_.images.catalogue.find(reference);
  const bool was_here = known && !lacks_disks(reference);
  auto obtained = fetch({.reference = reference,
                         .source = reference,
                         .keep_blobs = parts_.keep_blobs,
                         .announced = chosen.announced,
                         .announce_use = [&](const std::string& digest) { folder.note_image(digest); },
                         .check =
                             [&](const std::string& domain_xml) {
                               refuse_what_no_job_may_have(domain_xml, parts_.allowed_devices);
                             },
                         .progress = progress_in(parts_.reporter)},
                        chosen.access);
  if (chosen.access.authfile) remove_if_there(*chosen.access.authfile);
  const auto& image = obtained.image;
  const bool was_known = was_here && known->second.manifest.digest == image.manifest.digest;
  const bool is_served = !obtained.unpacked.served_at.empty();
  const bool is_others = was_known || (is_served && obtained.unpacked.was_there);
  parts_.metrics.pulled(was_known   ? "up_to_date"
                        : is_served ? "begun"
                                    : "fetched",
                        is_others ? 0 : image.compressed_size());
  const auto facts = ", " + image.manifest.digest.text() + ", " + size_text(image.compressed_size());
  const auto name = "image " + quote(reference.text());
  if (is_served) {
    phase.done((is_others ? "Another job has begun to fetch " : "Began to fetch ") + name + facts +
               "; the VM starts while it comes (lazy)");
  } else if (obtained.unpacked.was_there) {
    phase.done((was_known ? "Up to date: " : "Fetched ") + name + facts);
    parts_.reporter.detail("The image's disks are already unpacked in " + obtained.unpacked.folder.string());
  } else {
    phase.done((was_known ? "Unpacked " : "Fetched and unpacked ") + name + facts +
               reuse_note(obtained.unpacked));
  }
  note_skipped_layers(image, parts_.reporter);
  parts_.images.catalogue.mark_used(image);
  if (parts_.manifest_ttl) parts_.images.catalogue.mark_asked(image);
  return obtained;
}

void JobImages::say_unpacked(const UnpackedImage& unpacked, const Phase& phase) {
  if (unpacked.was_there) {
    parts_.reporter.detail("The image's disks are already unpacked in " + unpacked.folder.string());
  } else {
    phase.done("Unpacked the image's disks" + reuse_note(unpacked));
  }
}

}  // namespace sarde
