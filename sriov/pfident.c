// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/pfident.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define NET_ADDR_PERM 0 /* of addr_assign_type: the device's own address */

/* Device and function of each hop; the root complex by its name. */
static void slot_read(const struct sysfs *sys, const struct pci_fn *pf, char out[PF_SLOT_TEXT])
{
	char path[SYSFS_PATH], target[512], *save = NULL;
	ssize_t n = readlinkat(sys->root_fd, sysfs_fn_path(&pf->addr, "", path), target,
			       sizeof(target) - 1);
	size_t len = 0;

	snprintf(out, PF_SLOT_TEXT, "%02x.%x", pf->addr.dev, pf->addr.fn);
	if (n <= 0)
		return;
	target[n] = '\0';
	for (char *hop = strtok_r(target, "/", &save); hop != NULL;
	     hop = strtok_r(NULL, "/", &save)) {
		struct pci_addr addr;

		if (strncmp(hop, "pci", 3) == 0)
			len = (size_t)snprintf(out, PF_SLOT_TEXT, "%s", hop);
		else if (len > 0 && len < PF_SLOT_TEXT && parse_pci_addr(hop, &addr) == 0)
			len += (size_t)snprintf(out + len, PF_SLOT_TEXT - len, "/%02x.%x", addr.dev,
						addr.fn);
	}
}

void pf_ident_read(const struct sysfs *sys, const struct pci_fn *pf, struct pf_ident *out)
{
	static const uint8_t none[6];
	char attr[96];
	uint64_t type;

	*out = (struct pf_ident){ .vendor = pf->vendor,
				  .device = pf->device,
				  .subvendor = pf->subvendor,
				  .subdevice = pf->subdevice,
				  .fn = pf->addr.fn,
				  .has_serial = pf->caps.has_serial,
				  .serial = pf->caps.serial };
	snprintf(attr, sizeof(attr), "net/%s/addr_assign_type", pf->dev_name);
	if (pf->ifindex != 0 && memcmp(pf->net.mac, none, 6) != 0 &&
	    sysfs_fn_read_u64(sys, &pf->addr, attr, UINT8_MAX, &type) == 0 &&
	    type == NET_ADDR_PERM) {
		out->has_mac = true;
		memcpy(out->mac, pf->net.mac, 6);
	}
	slot_read(sys, pf, out->slot);
}

char *pf_ident_text(const struct pf_ident *id, char buf[PF_IDENT_TEXT])
{
	char serial[32] = "-", mac[MAC_TEXT] = "-";

	if (id->has_serial)
		snprintf(serial, sizeof(serial), "%016" PRIx64, id->serial);
	if (id->has_mac)
		mac_text(id->mac, mac);
	snprintf(buf, PF_IDENT_TEXT, "%04x:%04x:%04x:%04x fn=%x serial=%s mac=%s slot=%s",
		 id->vendor, id->device, id->subvendor, id->subdevice, id->fn, serial, mac,
		 id->slot);
	return buf;
}

int pf_ident_parse(const char *text, struct pf_ident *out)
{
	unsigned int vendor, device, subvendor, subdevice, fn;
	char serial[20], mac[20];
	struct pf_ident id = { 0 };
	int end = 0;

	if (sscanf(text, "%4x:%4x:%4x:%4x fn=%1x serial=%16s mac=%17s slot=%79s%n", &vendor,
		   &device, &subvendor, &subdevice, &fn, serial, mac, id.slot, &end) != 8 ||
	    text[end] != '\0')
		return -EINVAL;
	id.vendor = (uint16_t)vendor;
	id.device = (uint16_t)device;
	id.subvendor = (uint16_t)subvendor;
	id.subdevice = (uint16_t)subdevice;
	id.fn = (uint8_t)fn;
	id.has_serial = strcmp(serial, "-") != 0;
	if (id.has_serial && sscanf(serial, "%16" SCNx64 "%n", &id.serial, &end) != 1)
		return -EINVAL;
	id.has_mac = strcmp(mac, "-") != 0;
	if (id.has_mac && parse_mac(mac, id.mac) < 0)
		return -EINVAL;
	*out = id;
	return 0;
}

bool pf_ident_matches(const struct pf_ident *a, const struct pf_ident *b)
{
	bool have_macs = a->has_mac && b->has_mac;

	if (a->vendor != b->vendor || a->device != b->device || a->subvendor != b->subvendor ||
	    a->subdevice != b->subdevice || a->has_serial != b->has_serial)
		return false;
	/* Cheap cards have one number for all: then the MACs contradict. */
	if (have_macs && memcmp(a->mac, b->mac, 6) != 0)
		return false;
	if (a->has_serial)
		return a->serial == b->serial && a->fn == b->fn;
	return have_macs || strcmp(a->slot, b->slot) == 0;
}
