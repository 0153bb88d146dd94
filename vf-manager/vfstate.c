// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vfstate.h"

#include <errno.h>

static const char *const names[VF_STATES] = {
	[VF_FREE] = "free",	    [VF_LEASED] = "leased",	  [VF_BOUND] = "bound",
	[VF_ASSIGNED] = "assigned", [VF_SCRUBBING] = "scrubbing", [VF_QUARANTINED] = "quarantined",
	[VF_FOREIGN] = "foreign",
};

static const bool may[VF_STATES][VF_STATES] = {
	[VF_FREE] = { [VF_LEASED] = true, [VF_FOREIGN] = true },
	[VF_LEASED] = { [VF_BOUND] = true, [VF_SCRUBBING] = true },
	[VF_BOUND] = { [VF_ASSIGNED] = true, [VF_SCRUBBING] = true },
	[VF_ASSIGNED] = { [VF_SCRUBBING] = true },
	/* Leased: the VM ended and the lease, made by `vf alloc`, goes on. */
	[VF_SCRUBBING] = { [VF_FREE] = true, [VF_LEASED] = true, [VF_QUARANTINED] = true },
	[VF_QUARANTINED] = { [VF_SCRUBBING] = true },
	[VF_FOREIGN] = { [VF_FREE] = true },
};

const char *vf_state_text(enum vf_state state)
{
	return (unsigned int)state < VF_STATES ? names[state] : "unknown";
}

int vf_state_parse(const char *text, enum vf_state *out)
{
	for (unsigned int i = 0; i < VF_STATES; i++) {
		if (strcmp(names[i], text) == 0) {
			*out = (enum vf_state)i;
			return 0;
		}
	}
	return -EINVAL;
}

int vf_state_check(enum vf_state from, enum vf_state to, struct err *e)
{
	if ((unsigned int)from < VF_STATES && (unsigned int)to < VF_STATES && may[from][to])
		return 0;
	err_set(e, EBUSY, "is %s and cannot become %s", vf_state_text(from), vf_state_text(to));
	return err_code(e, "vf-state");
}
