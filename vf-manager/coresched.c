// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/coresched.h"

#include <errno.h>
#include <linux/prctl.h>
#include <sys/prctl.h>

#define SCOPE_THREAD 0UL /* PR_SCHED_CORE_SCOPE_THREAD, which older headers lack */

static const char *const texts[CORE_STATES] = {
	[CORE_OFF] = "off",
	[CORE_ON] = "on",
	[CORE_NO_SMT] = "no-smt",
	[CORE_UNSUPPORTED] = "unsupported",
};

const char *core_state_text(enum core_state state)
{
	return texts[state];
}

/* pid 0: this thread. *out: CORE_OFF without a cookie. */
static enum core_state cookie_read(pid_t pid)
{
	unsigned long cookie = 0;

	if (prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, (unsigned long)pid, SCOPE_THREAD,
		  (unsigned long)&cookie) < 0)
		return errno == ENODEV ? CORE_NO_SMT : CORE_UNSUPPORTED;
	return cookie != 0 ? CORE_ON : CORE_OFF;
}

enum core_state core_host_state(void)
{
	enum core_state state = cookie_read(0);

	return state == CORE_OFF ? CORE_ON : state;
}

/* Of a process: CORE_ON if it has a cookie. */
static enum core_state core_process_state(pid_t pid)
{
	return cookie_read(pid);
}

bool core_is_wanted(const struct vm_spec *spec)
{
	return spec->core_sched == VM_CORE_AUTO ? spec->pin_count == 0
						: spec->core_sched == VM_CORE_ON;
}

enum core_state core_vm_state(const struct vm_spec *spec, bool has_cookie, pid_t pid)
{
	enum core_state host;

	if (has_cookie)
		return core_process_state(pid);
	host = core_is_wanted(spec) ? core_host_state() : CORE_OFF;
	return host == CORE_ON ? CORE_OFF : host;
}

int core_cookie_make(void)
{
	return prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0UL, SCOPE_THREAD, 0UL);
}
