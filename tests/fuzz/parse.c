// SPDX-License-Identifier: BSD-3-Clause
/*
 * Fuzz target: text from operators, files and peers to values (base/parse.h). What is accepted must
 * survive being written and read again; what is refused must leave the result alone.
 */
#include "base/parse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool fact)
{
	if (!fact)
		abort();
}

static void try_address(const char *text)
{
	struct pci_addr a = { .domain = 0x5a5a }, b;
	char again[PCI_ADDR_TEXT];

	if (parse_pci_addr(text, &a) < 0) {
		check(a.domain == 0x5a5a);
		return;
	}
	check(a.dev < 32 && a.fn < 8);
	check(parse_pci_addr(pci_addr_text(&a, again), &b) == 0);
	check(pci_addr_cmp(&a, &b) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t number = 77;
	uint8_t mac[6], same[6];
	char again[MAC_TEXT];
	char *text = strndup((const char *)data, size);

	check(text != NULL);
	try_address(text);
	if (parse_u64(text, 1000, &number) == 0)
		check(number <= 1000);
	else
		check(number == 77);
	parse_size(text, &number);
	if (parse_mac(text, mac) == 0) {
		check(parse_mac(mac_text(mac, again), same) == 0);
		check(memcmp(mac, same, sizeof(mac)) == 0);
	}
	if (parse_name(text) == 0)
		check(strlen(text) <= 63 && !strchr(text, '/') && text[0] != '.');
	free(text);
	return 0;
}
