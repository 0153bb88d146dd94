/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One thread that reads the kernel's log for faults of devices, ties each to the VM and port that had the function
 * when it happened, and tells of them: events, and by the monitor alarms. It takes at most
 * CPU_BUDGET_PERMILLE of a CPU; what it misses for that is counted. Errors that VFIO told a VMM come in by
 * fault_watch_vfio_error(). After a restart the kernel's log is read again from its oldest record, and only what is new
 * becomes events.
 */
#ifndef VIADUCT_VF_MANAGER_FAULTWATCH_H
#define VIADUCT_VF_MANAGER_FAULTWATCH_H

#include "vf-manager/daemon.h"
#include "vf-manager/faultlog.h"

#define FAULT_ALARM_S 300 /* an alarm goes when it has been quiet for so long, or with its VM */

/* A log that cannot be read is no error: then that is what is said. */
int fault_watch_create(struct daemon *d, struct err *e);
void fault_watch_destroy(struct daemon *d); /* ends the thread, if there is one */

/* State locked. A VM ended as `text` of its exit record says: "port wan (0000:01:10.0): ...". */
void fault_watch_vfio_error(struct daemon *d, const char *vm, const char *text);

/* State locked. What "VM/PORT" does from here on is acted upon again. */
void fault_watch_forget_act(struct daemon *d, const char *owner);

/* State locked. NULL, or why the kernel's log cannot be read, so that no fault is seen; borrowed. */
const char *fault_watch_blind(const struct daemon *d);

/* State locked. NULL: nobody looks for faults. */
const struct fault_log *fault_watch_log(const struct daemon *d);

/* State locked. The VM of the entry still runs, or it has none; and it had a fault that is no correction within
 * FAULT_ALARM_S. */
bool fault_is_present(const struct daemon *d, const struct fault_entry *entry, int64_t now_ms);

int64_t fault_now_ms(void); /* since the epoch */

/* State not locked. The API's Faults. In --oneshot the log is read here and now. */
int fault_watch_json(struct daemon *d, json_t **out, struct err *e);

/* State locked. What one function did while this VM had it: {"count","at_least","last_at_ms","last"}, or null. */
json_t *fault_port_json(const struct daemon *d, const char *vm, const char *port,
			uint64_t start_ticks);

#endif
