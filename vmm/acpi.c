// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/acpi.h"

#include "vmm/gmem.h"
#include "vmm/pci.h"

#include <errno.h>

void acpi_config_init(struct acpi_config *cfg, const struct pci_host *pci, unsigned int cpu_count)
{
	struct pci_windows w;

	pci_host_windows(pci, &w);
	*cfg = (struct acpi_config){
		.cpu_count = cpu_count,
		.ecam_base = w.ecam_base,
		.ecam_size = w.ecam_size,
		.bus_last = w.bus_last,
		.mmio32_base = w.mmio32_base,
		.mmio32_size = w.mmio32_size,
		.mmio64_base = w.mmio64_base,
		.mmio64_size = w.mmio64_size,
		.serial_console = true,
	};
}

int acpi_load(struct gmem *gm, const struct acpi_config *cfg, uint64_t gpa, uint64_t end,
	      struct err *e)
{
	struct acpi_tables t;
	int r = acpi_tables_build(&t, cfg, e);

	if (r < 0)
		return r;
	acpi_tables_place(&t, gpa);
	if (gpa > end || t.len > end - gpa)
		r = err_set(e, ENOSPC, "ACPI tables of %u bytes do not fit below %#llx", t.len,
			    (unsigned long long)end);
	else
		r = gmem_write(gm, gpa, t.data, t.len);
	if (r == -EFAULT)
		err_set(e, r, "ACPI tables: no RAM at %#llx", (unsigned long long)gpa);
	acpi_tables_fini(&t);
	return r;
}
