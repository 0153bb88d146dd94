// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/kmsg_fault.h"

#include "iommu/fault_reason.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int record(const char *bytes, struct kmsg_record *out)
{
	return kmsg_record_parse(bytes, strlen(bytes), out);
}

static void a_record_is_number_time_and_text(void **state)
{
	struct kmsg_record rec;

	assert_int_equal(record("3,586,143995821,-;DMAR: x\ty\n SUBSYSTEM=pci\n", &rec), 0);
	assert_int_equal(rec.seq, 586);
	assert_int_equal(rec.at_us, 143995821);
	assert_true(rec.is_kernel);
	assert_string_equal(rec.text, "DMAR: x?y");
	assert_int_equal(record("11,7,8,-,caller=T1;hello", &rec), 0);
	assert_false(rec.is_kernel);
	assert_string_equal(rec.text, "hello");
}

static void what_is_no_record_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		";",
		"3;x",
		"3,1;x",
		"3,1,2;x",
		"a,1,2,;x",
		"3,b,2,;x",
		"3,1,99999999999999999999,;x",
		"3,1,2,-",
		"3,1,2,----------------------------------------------------------------------------"
		"-----------------;x",
	};
	struct kmsg_record rec;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(record(wrong[i], &rec), -EBADMSG);
}

static void a_long_line_is_cut(void **state)
{
	char bytes[2 * KMSG_TEXT];
	struct kmsg_record rec;

	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes, "3,1,2,-;", 8);
	assert_int_equal(kmsg_record_parse(bytes, sizeof(bytes), &rec), 0);
	assert_int_equal(strlen(rec.text), KMSG_TEXT - 1);
}

/* Words of Linux 3.2, 4.9, 5.10, 5.13 and 6.12. */
static const struct {
	const char *text, *source;
	enum kmsg_fault_kind kind;
	uint64_t address;
	int reason; /* -1: none */
	bool has_domain;
} lines[] = {
	{ "DMAR: [DMA Read NO_PASID] Request device [01:10.0] fault addr 0x123456000 [fault reason "
	  "0x06] PTE Read access is not set",
	  "0000:01:10.0", KMSG_DMA_READ, 0x123456000, 0x06 },
	{ "DMAR: [DMA Write PASID 0x7] Request device [3a:1f.7] fault addr 0xfffffffffffff000 [fault "
	  "reason 0x79] SM: Read/Write permission error",
	  "0000:3a:1f.7", KMSG_DMA_WRITE, 0xfffffffffffff000, 0x79 },
	{ "DMAR: [DMA Write NO_PASID] Request device [0x3a:0x00.1] fault addr 0xfe00 [fault reason "
	  "0x05] PTE Write access is not set",
	  "0000:3a:00.1", KMSG_DMA_WRITE, 0xfe00, 0x05 },
	{ "DMAR: [DMA Read] Request device [00:02.0] PASID ffffffff fault addr 6bdf9000 [fault reason "
	  "06] PTE Read access is not set",
	  "0000:00:02.0", KMSG_DMA_READ, 0x6bdf9000, 0x06 },
	{ "DMAR:[DMA Write] Request device [00:02.0] fault addr 7f000000 \\x0aDMAR:[fault reason 12] "
	  "non-zero reserved fields in PTE",
	  "0000:00:02.0", KMSG_DMA_WRITE, 0x7f000000, 12 },
	{ "DMAR: [DMA Read] Request device [00:02.0] fault addr 0", "0000:00:02.0", KMSG_DMA_READ,
	  0, -1 },
	{ "DMAR: [INTR-REMAP] Request device [f0:1f.7] fault index 0x1a [fault reason 0x25] Blocked a "
	  "compatibility format interrupt request",
	  "0000:f0:1f.7", KMSG_INTERRUPT, 0x1a, 0x25 },
	{ "INTR-REMAP: Request device [[00:1f.7] fault index ffff\\x0aINTR-REMAP:[fault reason 38] "
	  "Blocked",
	  "0000:00:1f.7", KMSG_INTERRUPT, 0xffff, 0x26 },
	{ "AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:01:10.0 domain=0x0011 address=0x1000 "
	  "flags=0x0020]",
	  "0000:01:10.0", KMSG_DMA_WRITE, 0x1000, -1, true },
	{ "AMD-Vi: Event logged [IO_PAGE_FAULT device=01:10.0 domain=0x0011 address=0x1000 "
	  "flags=0x0000]",
	  "0000:01:10.0", KMSG_DMA_READ, 0x1000, -1 },
	{ "vfio-pci 0002:01:10.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000b address=0x2000 "
	  "flags=0x0000]",
	  "0002:01:10.0", KMSG_DMA_READ, 0x2000, -1, true },
	{ "igb 0000:01:00.0: AER: PCIe Bus Error: severity=Uncorrectable (Non-Fatal), "
	  "type=Transaction Layer, (Requester ID)",
	  "0000:01:00.0", KMSG_AER_NONFATAL, 0, -1, true },
	{ "pcieport 0000:00:01.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver "
	  "ID)",
	  "0000:00:01.0", KMSG_AER_CORRECTED, 0, -1, true },
	{ "nvme 0000:03:00.0: AER: PCIe Bus Error: severity=Uncorrected (Fatal), type=Inaccessible, "
	  "(Unregistered Agent ID)",
	  "0000:03:00.0", KMSG_AER_FATAL, 0, -1, true },
};

static void the_kernels_words_of_many_years_are_understood(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		char addr[PCI_ADDR_TEXT];
		struct kmsg_fault f;

		assert_true(kmsg_fault_parse(lines[i].text, &f));
		assert_int_equal(f.kind, lines[i].kind);
		assert_string_equal(pci_addr_text(&f.source, addr), lines[i].source);
		assert_int_equal(f.has_domain, lines[i].has_domain);
		assert_int_equal(f.address, lines[i].address);
		assert_int_equal(f.has_reason ? f.reason : -1, lines[i].reason);
		assert_int_equal(f.has_pasid, i == 1);
	}
}

static void what_is_missing_is_understood(void **state)
{
	struct kmsg_fault f;

	assert_true(kmsg_fault_parse("DMAR: DRHD: handling fault status reg 3", &f));
	assert_int_equal(f.kind, KMSG_STATUS);
	assert_int_equal(f.status, KMSG_STATUS_OVERFLOW | KMSG_STATUS_PENDING);
	assert_true(kmsg_fault_parse("dmar_fault: 131 callbacks suppressed", &f));
	assert_int_equal(f.kind, KMSG_SUPPRESSED);
	assert_int_equal(f.count, 131);
	assert_true(f.is_vtd);
	assert_true(kmsg_fault_parse("amd_iommu_report_page_fault: 7 callbacks suppressed", &f));
	assert_false(f.is_vtd);
}

static void other_lines_are_not_taken(void **state)
{
	static const char *const others[] = {
		"",
		"DMAR:",
		"DMAR: Host address width 48",
		"DMAR: [DMA Read",
		"DMAR: [DMA Read NO_PASID] Request device [01:10.8] fault addr 0x1 [fault reason 0x06]",
		"DMAR: [DMA Read NO_PASID] Request device [01:20.0] fault addr 0x1 [fault reason 0x06]",
		"DMAR: [DMA Read NO_PASID] Request device [101:10.0] fault addr 0x1",
		"DMAR: [DMA Read NO_PASID] Request device [01:10.0] fault addr 0x11111111111111111",
		"DMAR: [DMA Read NO_PASID] Request device [01:10.0]",
		"DMAR: [INTR-REMAP] Request device [01:10.0] fault index 0x10000 [fault reason 0x22]",
		"DMAR: DRHD: handling fault status reg",
		"a: DMAR: [DMA Read NO_PASID] Request device [01:10.0] fault addr 0x1",
		"usb 1-1: Product: DMAR: [DMA Read] Request device [01:10.0] fault addr 0x1",
		/* Names of processes and files that crash, of USB devices. */
		"DMAR:[DMA Write[4711]: segfault at 0 ip 0000000000000000 sp 00007ffd6a7b9f88 error 14 in "
		"Request device [01:10.0] fault addr 0x1000 [fault reason 0x05][400000+1000]",
		"DMAR:[DMA Read][4711]: segfault at 0 ip 0 sp 0 error 14 in ] Request device [01:10.0] "
		"fault addr 0x1000 [fault reason 0x05][400000+1000]",
		"INTR-REMAP: Req[4711]: segfault at 0 in Request device [01:10.0] fault index 0x1",
		"x 0:1:10.0: [4711]: segfault at 0 ip 0 sp 0 error 14 in PCIe Bus Error: "
		"severity=Uncorrected (Fatal), [400000+1000]",
		"a[4711]: segfault at 0 in AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:01:10.0 "
		"domain=0x0000 address=0x1000 flags=0x20][400000+1000]",
		"x 0:1:10.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0 address=0x1000 flags=0x20]",
		"usb 1-1: Product: AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:01:10.0 domain=0x0000 "
		"address=0x1000 flags=0x20]",
		"dmar_fault: 131 callbacks",
		"other: 3 callbacks suppressed",
		"AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x1 address=0x2 flags=0x0]",
		"AMD-Vi: Event logged [ILLEGAL_DEV_TABLE_ENTRY device=01:10.0]",
		"PCIe Bus Error: severity=Corrected",
		"igb: PCIe Bus Error: severity=Corrected",
		"igb 0000:01:00.0: PCIe Bus Error: severity=Other",
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct kmsg_fault f;

		if (kmsg_fault_parse(others[i], &f))
			fail_msg("taken: %s", others[i]);
	}
}

static void reasons_are_those_of_the_specification(void **state)
{
	assert_string_equal(fault_reason_text(0x06), "the page may not be read");
	assert_string_equal(fault_reason_text(0x26),
			    "the interrupt's table entry belongs to another source");
	assert_non_null(fault_reason_text(0x79));
	assert_null(fault_reason_text(0));
	assert_null(fault_reason_text(0x27));
	assert_null(fault_reason_text(0xFF));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_number_time_and_text),
		cmocka_unit_test(what_is_no_record_is_refused),
		cmocka_unit_test(a_long_line_is_cut),
		cmocka_unit_test(the_kernels_words_of_many_years_are_understood),
		cmocka_unit_test(what_is_missing_is_understood),
		cmocka_unit_test(other_lines_are_not_taken),
		cmocka_unit_test(reasons_are_those_of_the_specification),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
