#pragma once

#include "core/vm/domain/xml_text.hpp"

namespace sarde {

/// Can a VM keep the place of its first network card, and of the PCI bridges before it? Each bridge must be
/// of a kind that libvirt knows, with a number, a chassis and a place of its own on a bus that is there, and
/// the card on a bus that is there; so libvirt's own definitions are, and others are placed anew, for what
/// libvirt says of odd ones does not tell whose fault it is.
bool pci_places_can_be_kept(const pugi::xml_node& domain);

}  // namespace sarde
