// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/kmsg_fault.h"

#include <errno.h>

#define FACILITY_SHIFT 3 /* of syslog's priority; 0 is the kernel's own */

/*
 * A line of the kernel's own may still carry words that somebody chose: the name of a process that crashes
 * ("NAME[PID]: segfault ..." with 15 bytes of NAME), of its file, of a USB device. So every line is read from its start,
 * one word behind the other without a gap, and a name of 15 bytes with "[PID]" behind it is the start of none.
 */

static const char *word_skip(const char *at, const char *word)
{
	size_t len = strlen(word);

	return strncmp(at, word, len) == 0 ? at + len : NULL;
}

/* Moves *at behind the word if it stands there. */
static bool word_take(const char **at, const char *word)
{
	const char *behind = word_skip(*at, word);

	if (behind != NULL)
		*at = behind;
	return behind != NULL;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* At least one digit, and no wrap; moves *at behind it. */
static bool number_take(const char **at, int base, uint64_t max, uint64_t *out)
{
	const char *p = *at;
	uint64_t n = 0;

	for (; digit(*p) < base; p++) {
		uint64_t d = (uint64_t)digit(*p);

		if (d > max || n > (max - d) / (uint64_t)base)
			return false;
		n = n * (uint64_t)base + d;
	}
	if (p == *at)
		return false;
	*at = p;
	*out = n;
	return true;
}

/* With or without "0x". */
static bool hex_take(const char **at, uint64_t max, uint64_t *out)
{
	const char *behind = word_skip(*at, "0x");

	if (behind != NULL)
		*at = behind;
	return number_take(at, 16, max, out);
}

static bool char_take(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

/* "[01:10.0]", "[0x3a:0x00.0]", "0000:01:10.0": up to three numbers with colons, a dot, the function. */
static bool source_take(const char **at, struct kmsg_fault *f)
{
	uint64_t part[3], fn;
	int n = 0;

	do {
		if (n == 3 || !hex_take(at, UINT32_MAX, &part[n++]))
			return false;
	} while (char_take(at, ':'));
	if (n < 2 || !char_take(at, '.') || !hex_take(at, 7, &fn))
		return false;
	f->has_domain = n == 3;
	if (part[n - 2] > UINT8_MAX || part[n - 1] > 31)
		return false;
	f->source = (struct pci_addr){ .domain = n == 3 ? (uint32_t)part[0] : 0,
				       .bus = (uint8_t)part[n - 2],
				       .dev = (uint8_t)part[n - 1],
				       .fn = (uint8_t)fn };
	return true;
}

int kmsg_record_parse(const char *bytes, size_t len, struct kmsg_record *out)
{
	char head[96];
	const char *text = memchr(bytes, ';', u64_min(len, sizeof(head)));
	size_t n = 0, head_len = text != NULL ? (size_t)(text - bytes) : 0;
	uint64_t priority;
	const char *at = head;

	if (text == NULL || head_len >= sizeof(head))
		return -EBADMSG;
	memcpy(head, bytes, head_len);
	head[head_len] = '\0';
	if (!number_take(&at, 10, UINT16_MAX, &priority) || !char_take(&at, ',') ||
	    !number_take(&at, 10, UINT64_MAX, &out->seq) || !char_take(&at, ',') ||
	    !number_take(&at, 10, UINT64_MAX, &out->at_us) || !char_take(&at, ','))
		return -EBADMSG;
	out->is_kernel = priority >> FACILITY_SHIFT == 0;
	for (text++; text < bytes + len && *text != '\n' && n < KMSG_TEXT - 1; text++)
		out->text[n++] = *text >= ' ' && *text < 0x7F ? *text : '?';
	out->text[n] = '\0';
	return 0;
}

/* "[fault reason 0x05]", and decimal without "0x" until Linux 5.12. */
static void reason_find(const char *text, struct kmsg_fault *f)
{
	static const char word[] = "[fault reason ";
	const char *found = strstr(text, word);
	const char *at = found != NULL ? found + strlen(word) : NULL;
	const char *hex = at != NULL ? word_skip(at, "0x") : NULL;
	uint64_t n;

	if (at == NULL ||
	    !(hex != NULL ? number_take(&hex, 16, 0xFF, &n) : number_take(&at, 10, 0xFF, &n)))
		return;
	f->has_reason = true;
	f->reason = (uint8_t)n;
}

/* "NO_PASID" or "PASID 7" behind a blank, or neither. Older kernels say ffffffff where there is none. */
static bool pasid_take(const char **at, struct kmsg_fault *f)
{
	uint64_t n;

	if (word_take(at, " NO_PASID") || !word_take(at, " PASID "))
		return true;
	if (!hex_take(at, UINT32_MAX, &n))
		return false;
	f->has_pasid = n != UINT32_MAX;
	f->pasid = (uint32_t)n;
	return true;
}

/* "[DMA Write NO_PASID] Request device [01:10.0] fault addr 0x1000 [fault reason 0x05] ...", behind "Read" or
 * "Write". */
static bool vtd_dma_parse(const char *at, struct kmsg_fault *f)
{
	if (!pasid_take(&at, f) || !word_take(&at, "] Request device [") || !source_take(&at, f) ||
	    !char_take(&at, ']') || !pasid_take(&at, f) || !word_take(&at, " fault addr "))
		return false;
	f->has_address = hex_take(&at, UINT64_MAX, &f->address);
	reason_find(at, f);
	return f->has_address;
}

/* " Request device [f0:1f.7] fault index 0x1a [fault reason 0x25] ..."; two brackets until 4.x. */
static bool vtd_interrupt_parse(const char *at, struct kmsg_fault *f)
{
	if (!word_take(&at, " Request device ["))
		return false;
	char_take(&at, '[');
	if (!source_take(&at, f) || !char_take(&at, ']') || !word_take(&at, " fault index "))
		return false;
	f->kind = KMSG_INTERRUPT;
	f->has_address = hex_take(&at, UINT16_MAX, &f->address);
	reason_find(at, f);
	return f->has_address;
}

/* "DRHD: handling fault status reg 3", behind "DRHD:". */
static bool vtd_status_parse(const char *at, struct kmsg_fault *f)
{
	uint64_t n;

	if (!word_take(&at, " handling fault status reg ") || !hex_take(&at, UINT32_MAX, &n))
		return false;
	f->kind = KMSG_STATUS;
	f->status = (uint32_t)n;
	return true;
}

static bool vtd_parse(const char *text, struct kmsg_fault *f)
{
	static const struct {
		const char *word;
		enum kmsg_fault_kind kind;
		bool (*parse)(const char *at, struct kmsg_fault *f);
	} rows[] = {
		{ "[DMA Read", KMSG_DMA_READ, vtd_dma_parse },
		{ "[DMA Write", KMSG_DMA_WRITE, vtd_dma_parse },
		{ "[INTR-REMAP]", KMSG_INTERRUPT, vtd_interrupt_parse },
		{ "DRHD:", KMSG_STATUS, vtd_status_parse },
	};
	const char *at = text;

	f->is_vtd = true;
	if (!word_take(&at, "DMAR:"))
		return word_take(&at, "INTR-REMAP:") && vtd_interrupt_parse(at, f);
	char_take(&at, ' ');
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		f->kind = rows[i].kind;
		if (word_take(&at, rows[i].word))
			return rows[i].parse(at, f);
	}
	return false;
}

/* AMD I/O Virtualization Technology, 2.5.3 (IO_PAGE_FAULT): bit RW of its flags, as the kernel prints them. */
#define AMD_FLAGS_RW 0x020

/* The kernel's prefix of a device, "igb 0000:01:00.0: ": its driver, its address with all digits. */
static bool device_prefix_take(const char **at, struct kmsg_fault *f)
{
	const char *p = *at + strcspn(*at, " "), *addr;
	char text[PCI_ADDR_TEXT];

	if (p == *at || !char_take(&p, ' '))
		return false;
	addr = p;
	if (!source_take(&p, f) || !f->has_domain || !word_take(&p, ": "))
		return false;
	pci_addr_text(&f->source, text);
	if (strncmp(addr, text, strlen(text)) != 0)
		return false;
	*at = p;
	return true;
}

/* "AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:01:10.0 domain=0x0011 address=0x1000 flags=0x0020]";
 * since Linux 5.11 behind the prefix of a device and without device=. */
static bool amd_parse(const char *text, struct kmsg_fault *f)
{
	const char *at = text;
	bool has_prefix = strncmp(at, "AMD-Vi: ", 8) != 0;
	uint64_t n;

	if (has_prefix && !device_prefix_take(&at, f))
		return false;
	if (!word_take(&at, "AMD-Vi: Event logged [IO_PAGE_FAULT "))
		return false;
	if (!has_prefix &&
	    (!word_take(&at, "device=") || !source_take(&at, f) || !char_take(&at, ' ')))
		return false;
	if (!word_take(&at, "domain=") || !hex_take(&at, UINT32_MAX, &n) ||
	    !word_take(&at, " address=") || !hex_take(&at, UINT64_MAX, &f->address) ||
	    !word_take(&at, " flags=") || !hex_take(&at, UINT32_MAX, &n) || !char_take(&at, ']'))
		return false;
	f->has_address = true;
	f->kind = (n & AMD_FLAGS_RW) != 0 ? KMSG_DMA_WRITE : KMSG_DMA_READ;
	return true;
}

/* "igb 0000:01:00.0: [AER: ]PCIe Bus Error: severity=Uncorrected (Fatal), type=..., (Receiver ID)". */
static bool aer_parse(const char *text, struct kmsg_fault *f)
{
	static const struct {
		const char *word;
		enum kmsg_fault_kind kind;
	} rows[] = {
		{ "Corrected,", KMSG_AER_CORRECTED },
		{ "Correctable,", KMSG_AER_CORRECTED },
		{ "Uncorrected (Fatal),", KMSG_AER_FATAL },
		{ "Uncorrectable (Fatal),", KMSG_AER_FATAL },
		{ "Uncorrected (Non-Fatal),", KMSG_AER_NONFATAL },
		{ "Uncorrectable (Non-Fatal),", KMSG_AER_NONFATAL },
	};
	const char *at = text;

	if (!device_prefix_take(&at, f))
		return false;
	(void)word_take(&at, "AER: ");
	if (!word_take(&at, "PCIe Bus Error: severity="))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		f->kind = rows[i].kind;
		if (word_take(&at, rows[i].word))
			return true;
	}
	return false;
}

/* "dmar_fault: 35 callbacks suppressed": the kernel's rate limit, by the name of the function that has it. */
static bool suppressed_parse(const char *text, struct kmsg_fault *f)
{
	static const char *const limits[] = { "dmar_fault: ", "amd_iommu_report_page_fault: ",
					      "aer_print_error: ", "pci_print_aer: " };

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		const char *at = word_skip(text, limits[i]);

		if (at == NULL || !number_take(&at, 10, UINT32_MAX, &f->count) ||
		    word_skip(at, " callbacks suppressed") == NULL)
			continue;
		f->kind = KMSG_SUPPRESSED;
		f->is_vtd = i == 0;
		return true;
	}
	return false;
}

bool kmsg_fault_parse(const char *text, struct kmsg_fault *out)
{
	static bool (*const parsers[])(const char *text,
				       struct kmsg_fault *f) = { vtd_parse, amd_parse, aer_parse,
								 suppressed_parse };

	for (size_t i = 0; i < ARRAY_SIZE(parsers); i++) {
		struct kmsg_fault f = { 0 };

		if (!parsers[i](text, &f))
			continue;
		*out = f;
		return true;
	}
	return false;
}

const char *kmsg_fault_word(enum kmsg_fault_kind kind)
{
	static const char *const words[KMSG_FAULT_KINDS] = {
		[KMSG_DMA_READ] = "dma-read",	      [KMSG_DMA_WRITE] = "dma-write",
		[KMSG_INTERRUPT] = "interrupt",	      [KMSG_AER_CORRECTED] = "aer-corrected",
		[KMSG_AER_NONFATAL] = "aer-nonfatal", [KMSG_AER_FATAL] = "aer-fatal",
	};

	return kind < KMSG_FAULT_KINDS ? words[kind] : "?";
}
