// SPDX-License-Identifier: BSD-3-Clause
/* Where a function's interrupts go. */
#include "vf-manager/privops.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int priv_irq_place(struct daemon *d, const struct irq_line *line, const cpu_set_t *cpus)
{
	char path[PATH_MAX], list[CPU_LIST_TEXT];
	struct stat st;
	int n;

	/* The kernel has a folder for whoever handles the interrupt: its number may be another's by now. */
	n = snprintf(path, sizeof(path), "%s/irq/%u/%s", d->opt->proc_dir, line->irq, line->name);
	if (strncmp(line->name, "vfio-msi", 8) != 0 || strchr(line->name, '/') != NULL ||
	    CPU_COUNT(cpus) == 0 || n < 0 || (size_t)n >= sizeof(path))
		return -EINVAL;
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return -ENOENT;
	snprintf(path, sizeof(path), "%s/irq/%u/smp_affinity_list", d->opt->proc_dir, line->irq);
	return file_write_at(AT_FDCWD, path, cpu_list_text(cpus, list, sizeof(list)));
}
