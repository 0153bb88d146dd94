/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Text to values, strictly: the whole text must match, no white space, no sign, no silent wrap.
 * Each returns 0, -EINVAL (not of the form) or -ERANGE (too large); *out is written only on 0.
 */
#ifndef VIADUCT_BASE_PARSE_H
#define VIADUCT_BASE_PARSE_H

#include "base/util.h"

#define PCI_ADDR_TEXT 20 /* domains have 4 to 8 digits */
#define MAC_TEXT      18

/* A PCI function. `domain` is the Linux PCI domain (segment), 16 bits on most hosts, 32 on some. */
struct pci_addr {
	uint32_t domain;
	uint8_t bus;
	uint8_t dev; /* 0-31 */
	uint8_t fn; /* 0-7 */
};

/* Decimal, or hexadecimal with 0x. */
int parse_u64(const char *text, uint64_t max, uint64_t *out);

/* A size in bytes: decimal with an optional K, M, G or T (powers of 1024). */
int parse_size(const char *text, uint64_t *out);

/* "0000:3b:00.1" or "3b:00.1" (domain 0). */
int parse_pci_addr(const char *text, struct pci_addr *out);

/* "02:00:00:00:00:01", either case. */
int parse_mac(const char *text, uint8_t out[6]);

/* A name for VMs, leases, ports, networks: [a-z0-9] then [a-z0-9._-], at most 63 characters.
 * Such a name is safe as a file name and inside a host name. */
int parse_name(const char *text);

/* A network device's name as the kernel takes it, of letters, digits, '_', '-' and '.': in device arguments of DPDK's a comma
 * or an equal sign would have a meaning. */
int parse_netdev(const char *text);

/* Writes "dddd:bb:dd.f"; buf holds PCI_ADDR_TEXT bytes. Returns buf. */
char *pci_addr_text(const struct pci_addr *a, char buf[PCI_ADDR_TEXT]);
char *mac_text(const uint8_t mac[6], char buf[MAC_TEXT]);

/* Orders by domain, bus, device, function: <0, 0, >0. */
int pci_addr_cmp(const struct pci_addr *a, const struct pci_addr *b);

/* Routing id: bus << 8 | device << 3 | function (PCIe Base, 2.2.6.2). */
static inline uint16_t pci_addr_rid(const struct pci_addr *a)
{
	return (uint16_t)(a->bus << 8 | (a->dev & 31) << 3 | (a->fn & 7));
}

static inline struct pci_addr pci_addr_from_rid(uint32_t domain, uint16_t rid)
{
	return (struct pci_addr){ .domain = domain,
				  .bus = (uint8_t)(rid >> 8),
				  .dev = (uint8_t)(rid >> 3 & 31),
				  .fn = (uint8_t)(rid & 7) };
}

#endif
