// SPDX-License-Identifier: BSD-3-Clause
/* VMs that shall run and are not started any more. */
#include "vf-manager/alarms_found.h"
#include "vf-manager/vmdef.h"

static void held(struct alarms *a, const struct daemon *d, const char *alarm)
{
	for (size_t i = 0; i < d->def_count; i++) {
		const struct vm_def *def = d->defs[i];
		struct alarm *one;

		if (strcmp(def->held, alarm) != 0)
			continue;
		one = alarm_found(a, def->name);
		if (one == NULL)
			return;
		alarm_text_set(one->text, "%s", def->held_text);
		alarm_text_set(
			one->hint,
			"viaduct vm history %s   says what came before; viaduct vm start %s   tries again",
			def->name, def->name);
	}
}

void alarms_vm_crash_loop(struct alarms *a, struct daemon *d)
{
	held(a, d, "vm-crash-loop");
}

void alarms_vm_start_failed(struct alarms *a, struct daemon *d)
{
	held(a, d, "vm-start-failed");
}
