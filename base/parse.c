// SPDX-License-Identifier: BSD-3-Clause
#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Up to `digits` hex digits at *p; moves *p behind them. -EINVAL when there is none. */
static int take_hex(const char **p, int digits, uint32_t *out)
{
	uint32_t v = 0;
	int n = 0;

	while (n < digits && isxdigit((unsigned char)**p)) {
		int c = tolower((unsigned char)**p);

		v = v << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
		(*p)++;
		n++;
	}
	if (n == 0)
		return -EINVAL;
	*out = v;
	return n;
}

int parse_u64(const char *text, uint64_t max, uint64_t *out)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *p = hex ? text + 2 : text;
	uint64_t base = hex ? 16 : 10, v = 0;

	if (*p == '\0')
		return -EINVAL;
	for (; *p != '\0'; p++) {
		int c = tolower((unsigned char)*p);
		uint64_t digit;

		if (c >= '0' && c <= '9')
			digit = (uint64_t)(c - '0');
		else if (hex && c >= 'a' && c <= 'f')
			digit = (uint64_t)(c - 'a' + 10);
		else
			return -EINVAL;
		if (v > (UINT64_MAX - digit) / base)
			return -ERANGE;
		v = v * base + digit;
	}
	if (v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

int parse_size(const char *text, uint64_t *out)
{
	static const char units[] = "KMGT";
	char digits[24];
	size_t len = strlen(text);
	unsigned int shift = 0;
	const char *unit;
	uint64_t v;
	int r;

	if (len == 0)
		return -EINVAL;
	unit = strchr(units, toupper((unsigned char)text[len - 1]));
	if (unit != NULL) {
		shift = 10 * (unsigned int)(unit - units + 1);
		len--;
	}
	if (len >= sizeof(digits))
		return -ERANGE;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (len > 1 && (digits[1] == 'x' || digits[1] == 'X'))
		return -EINVAL;
	r = parse_u64(digits, UINT64_MAX >> shift, &v);
	if (r < 0)
		return r;
	*out = v << shift;
	return 0;
}

int parse_pci_addr(const char *text, struct pci_addr *out)
{
	uint32_t domain = 0, bus, dev, fn;
	const char *p = text;
	int n;

	/* With two colons the first field is the domain. */
	if (strchr(text, ':') != strrchr(text, ':')) {
		n = take_hex(&p, 8, &domain);
		if (n < 4 || *p++ != ':')
			return -EINVAL;
	}
	if (take_hex(&p, 2, &bus) != 2 || *p++ != ':')
		return -EINVAL;
	if (take_hex(&p, 2, &dev) != 2 || dev > 31 || *p++ != '.')
		return -EINVAL;
	if (take_hex(&p, 1, &fn) != 1 || fn > 7 || *p != '\0')
		return -EINVAL;
	*out = (struct pci_addr){ domain, (uint8_t)bus, (uint8_t)dev, (uint8_t)fn };
	return 0;
}

int parse_mac(const char *text, uint8_t out[6])
{
	const char *p = text;
	uint8_t mac[6];

	for (int i = 0; i < 6; i++) {
		uint32_t v;

		if (take_hex(&p, 2, &v) != 2 || *p++ != (i < 5 ? ':' : '\0'))
			return -EINVAL;
		mac[i] = (uint8_t)v;
	}
	memcpy(out, mac, sizeof(mac));
	return 0;
}

int parse_name(const char *text)
{
	size_t len = strlen(text);

	if (len == 0)
		return -EINVAL;
	if (len > 63)
		return -ERANGE;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (!word && (i == 0 || strchr("._-", c) == NULL))
			return -EINVAL;
	}
	return 0;
}

int parse_netdev(const char *text)
{
	size_t len = strlen(text);

	if (len >= 16)
		return -ERANGE;
	return len == 0 || strcmp(text, ".") == 0 || strcmp(text, "..") == 0 ||
			       strspn(text, "abcdefghijklmnopqrstuvwxyz"
					    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != len
		       ? -EINVAL
		       : 0;
}

char *pci_addr_text(const struct pci_addr *a, char buf[PCI_ADDR_TEXT])
{
	snprintf(buf, PCI_ADDR_TEXT, "%04x:%02x:%02x.%x", a->domain, a->bus, a->dev & 31,
		 a->fn & 7);
	return buf;
}

char *mac_text(const uint8_t mac[6], char buf[MAC_TEXT])
{
	snprintf(buf, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		 mac[4], mac[5]);
	return buf;
}

int pci_addr_cmp(const struct pci_addr *a, const struct pci_addr *b)
{
	if (a->domain != b->domain)
		return a->domain < b->domain ? -1 : 1;
	return (int)pci_addr_rid(a) - (int)pci_addr_rid(b);
}
