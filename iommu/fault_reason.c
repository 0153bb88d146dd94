// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/fault_reason.h"

/* VT-d, appendix A. What is reserved there has no row. */
static const char *const reasons[256] = {
	/* legacy mode */
	[0x01] = "the root entry of its bus is not present",
	[0x02] = "its context entry is not present",
	[0x03] = "its context entry is programmed wrongly",
	[0x04] = "the address is wider than the unit translates",
	[0x05] = "the page may not be written",
	[0x06] = "the page may not be read",
	[0x07] = "a page table could not be read",
	[0x08] = "the root table could not be read",
	[0x09] = "the context table could not be read",
	[0x0A] = "reserved bits are set in the root entry",
	[0x0B] = "reserved bits are set in the context entry",
	[0x0C] = "reserved bits are set in a page table entry",
	[0x0D] = "its context entry blocks translated and translation requests",
	/* interrupt remapping */
	[0x20] = "reserved bits are set in the interrupt request",
	[0x21] = "the interrupt's index is beyond the table",
	[0x22] = "the interrupt's table entry is not present",
	[0x23] = "the interrupt remapping table could not be read",
	[0x24] = "reserved bits are set in the interrupt's table entry",
	[0x25] = "an interrupt in the old format is blocked",
	[0x26] = "the interrupt's table entry belongs to another source",
	/* scalable mode */
	[0x30] = "the root table's address is wrong",
	[0x31] = "the translation table mode does not take requests with PASID",
	[0x32] = "the translation table mode does not take page group requests",
	[0x38] = "the scalable-mode root entry could not be read",
	[0x39] = "the scalable-mode root entry is not present",
	[0x3A] = "reserved bits are set in the scalable-mode root entry",
	[0x40] = "the scalable-mode context entry could not be read",
	[0x41] = "the scalable-mode context entry is not present",
	[0x42] = "reserved bits are set in the scalable-mode context entry",
	[0x43] = "the scalable-mode context entry is programmed wrongly",
	[0x44] = "its context entry does not allow device TLBs",
	[0x45] = "its context entry does not allow PASIDs",
	[0x46] = "the PASID is beyond its directory",
	[0x47] = "its context entry does not allow page requests",
	[0x48] = "the PASID for requests without one is wrong",
	[0x50] = "the PASID directory could not be read",
	[0x51] = "the PASID directory entry is not present",
	[0x52] = "reserved bits are set in the PASID directory entry",
	[0x58] = "the PASID table could not be read",
	[0x59] = "the PASID table entry is not present",
	[0x5A] = "reserved bits are set in the PASID table entry",
	[0x5B] = "the PASID table entry is programmed wrongly",
	[0x5C] = "the PASID table entry does not allow execute requests",
	[0x5D] = "the PASID table entry does not allow supervisor requests",
	[0x70] = "a first-level page table could not be read",
	[0x71] = "the first-level page is not present",
	[0x72] = "reserved bits are set in a first-level entry",
	[0x78] = "a second-level page table could not be read",
	[0x79] = "the second-level page may not be read or written so",
	[0x7A] = "reserved bits are set in a second-level entry",
	[0x7B] = "a second-level entry's address is wider than the unit translates",
	[0x80] = "the address is not canonical",
	[0x81] = "the first-level page is the supervisor's alone",
	[0x82] = "the first-level page may not be executed",
	[0x85] = "the first-level page may not be written",
	[0x86] = "the first-level page may not be read",
	[0x87] = "the address is one of interrupts",
};

const char *fault_reason_text(uint8_t reason)
{
	return reasons[reason];
}
