#pragma once

#include "core/image/store/image_catalogue.hpp"
#include "core/image/store/image_fetcher.hpp"
#include "core/image/store/unpacked_images.hpp"

namespace sarde {

/// The images on this machine, and the ways between their places: packed in `catalogue`, unpacked in
/// `unpacked`, from registries by `fetcher`.
class ImageStore {
 public:
  ImageStore(StoreSettings settings, Clock& clock, Cancellation& cancellation)
      : settings_(std::move(settings)),
        locks(settings_, clock, cancellation),
        catalogue(settings_, locks, cancellation),
        unpacked(settings_, locks, cancellation),
        fetcher({.settings = settings_,
                 .locks = locks,
                 .catalogue = catalogue,
                 .unpacked = unpacked,
                 .clock = clock,
                 .cancellation = cancellation}) {}

  ImageStore(const ImageStore&) = delete;
  ImageStore& operator=(const ImageStore&) = delete;
  ~ImageStore() = default;

 private:
  StoreSettings settings_;

 public:
  const StoreLocks locks;
  const ImageCatalogue catalogue;
  const UnpackedImages unpacked;
  const ImageFetcher fetcher;
};

}  // namespace sarde
