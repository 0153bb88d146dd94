/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which card and port a PF is, whatever its address: ids, serial number (the Device Serial Number capability, PCIe
 * Base 7.9.3) with the function's number, permanent MAC, and the slot as a path of devices and functions
 * without bus numbers, which firmware and kernel give out anew at each boot.
 */
#ifndef VIADUCT_SRIOV_PFIDENT_H
#define VIADUCT_SRIOV_PFIDENT_H

#include "sriov/inventory.h"

#define PF_IDENT_TEXT 224
#define PF_SLOT_TEXT  80

struct pf_ident {
	uint16_t vendor, device, subvendor, subdevice;
	uint8_t fn; /* number of the function on its card */
	bool has_serial, has_mac;
	uint64_t serial;
	uint8_t mac[6];
	char slot[PF_SLOT_TEXT]; /* "pci0000:00/1c.0/00.0"; of a host made of files "00.0" */
};

void pf_ident_read(const struct sysfs *sys, const struct pci_fn *pf, struct pf_ident *out);

/* "8086:10c9:8086:a03c fn=0 serial=a0369fffff123456 mac=a0:36:9f:12:34:56 slot=..."; and back: -EINVAL. */
char *pf_ident_text(const struct pf_ident *id, char buf[PF_IDENT_TEXT]);
int pf_ident_parse(const char *text, struct pf_ident *out);

/* They are the same port of the same card, as far as the card tells: by serial number or permanent MAC, neither of
 * which may contradict; the slot decides only for a card that has neither. */
bool pf_ident_matches(const struct pf_ident *a, const struct pf_ident *b);

#endif
