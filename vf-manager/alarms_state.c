// SPDX-License-Identifier: BSD-3-Clause
/* A disk below the ledger that fills up. */
#include "vf-manager/alarms_found.h"

#include <sys/statvfs.h>

#define LOW_MIB 16

void alarms_state_disk_full(struct alarms *a, struct daemon *d)
{
	const char *file = ledger_file(d->ledger);
	struct statvfs fs;
	struct alarm *one;

	if (file[0] == '\0' || statvfs(file, &fs) < 0 ||
	    (uint64_t)fs.f_bfree * fs.f_frsize >= (uint64_t)LOW_MIB << 20)
		return;
	one = alarm_found(a, "state.db");
	if (one == NULL)
		return;
	alarm_text_set(
		one->text,
		"the disk below the ledger has less than %u MiB left: once what is set aside "
		"for it is used up, too, nothing can be changed",
		LOW_MIB);
	alarm_text_set(one->hint, "df -h %.300s   shows which disk; make room there", file);
}
