// SPDX-License-Identifier: BSD-3-Clause
/*
 * A VM as systemd sees it: a transient scope of its own in viaduct.slice (org.freedesktop.systemd1,
 * StartTransientUnit), where systemd is PID 1. Spoken on its private socket, so it takes no D-Bus
 * daemon. Everything waits until one deadline, whatever PID 1 does.
 */
#include "vf-manager/privops.h"

#include "base/fd.h"

#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define MANAGER_ADDRESS "unix:path=/run/systemd/private"
#define MANAGER_NAME	"org.freedesktop.systemd1"
#define MANAGER_PATH	"/org/freedesktop/systemd1"
#define MANAGER_IFACE	MANAGER_NAME ".Manager"
#define SCOPE_SLICE	"viaduct.slice"
#define VMS_SERVICE	"viaduct-vms.service"
#define SCOPE_LIMIT_NS	5000000000ULL
#define SCOPE_PAUSE_NS	2000000L

static uint64_t left_us(uint64_t deadline_ns)
{
	uint64_t now = now_ns();

	return now < deadline_ns ? (deadline_ns - now) / 1000 + 1 : 0;
}

static int manager_connect(sd_bus **out, uint64_t deadline_ns)
{
	sd_bus *bus = NULL;
	int r = sd_bus_new(&bus);

	if (r >= 0)
		r = sd_bus_set_address(bus, MANAGER_ADDRESS);
	if (r >= 0)
		r = sd_bus_start(bus);
	while (r >= 0 && sd_bus_is_ready(bus) == 0) {
		if (left_us(deadline_ns) == 0) {
			r = -ETIMEDOUT;
			break;
		}
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, left_us(deadline_ns));
	}
	if (r < 0) {
		sd_bus_close_unref(bus);
		return r;
	}
	*out = bus;
	return 0;
}

struct scope {
	const char *what; /* "VM fw1" */
	pid_t pid;
	const char *unit;
	const struct vm_limits *limits;
	uint64_t deadline_ns;
};

static int cpus_append(sd_bus_message *m, const cpu_set_t *cpus)
{
	uint8_t mask[CPU_SETSIZE / 8] = { 0 };
	size_t len = 0;
	int r;

	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, cpus)) {
			mask[cpu / 8] |= (uint8_t)BIT(cpu % 8);
			len = cpu / 8 + 1;
		}
	r = sd_bus_message_open_container(m, 'r', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", "AllowedCPUs");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "ay");
	if (r >= 0)
		r = sd_bus_message_append_array(m, 'y', mask, len);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* Each limit takes a controller, which systemd switches on for the scope if it must. */
static int limits_append(sd_bus_message *m, const struct vm_limits *l)
{
	int r = sd_bus_message_append(m, "(sv)(sv)", "TasksAccounting", "b", l->tasks != 0,
				      "TasksMax", "t",
				      l->tasks != 0 ? (uint64_t)l->tasks : UINT64_MAX);

	if (r >= 0 && l->weight != 0)
		r = sd_bus_message_append(m, "(sv)", "CPUWeight", "t", (uint64_t)l->weight);
	return r >= 0 && CPU_COUNT(&l->cpus) > 0 ? cpus_append(m, &l->cpus) : r;
}

static int properties_append(sd_bus_message *m, const struct scope *s)
{
	char what[96];
	int r = sd_bus_message_open_container(m, 'a', "(sv)");

	snprintf(what, sizeof(what), "viaduct %s", s->what);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)", "Description", "s", what, "Slice",
					  "s", SCOPE_SLICE, "CollectMode", "s",
					  "inactive-or-failed", "MemoryAccounting", "b", 0);
	if (r >= 0)
		r = limits_append(m, s->limits);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)", "Before", "as", 1, VMS_SERVICE, "PIDs",
					  "au", 1, (uint32_t)s->pid);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* Memory accounting would cost each page of guest RAM something. As the host goes down, systemd ends the scope only after the
 * service that stops all VMs in their order. */
static int scope_ask(sd_bus *bus, const struct scope *s, sd_bus_message **out)
{
	sd_bus_message *m = NULL;
	int r = sd_bus_message_new_method_call(bus, &m, MANAGER_NAME, MANAGER_PATH, MANAGER_IFACE,
					       "StartTransientUnit");

	if (r >= 0)
		r = sd_bus_message_append(m, "ss", s->unit, "fail");
	if (r >= 0)
		r = properties_append(m, s);
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sa(sv))", 0);
	if (r < 0)
		sd_bus_message_unref(m);
	else
		*out = m;
	return r;
}

/* -EEXIST: the scope of a VM of that name that has just ended is still being put away. */
static int scope_start(sd_bus *bus, sd_bus_message *ask, uint64_t deadline_ns, struct err *e)
{
	const uint64_t left = left_us(deadline_ns);
	sd_bus_error why = SD_BUS_ERROR_NULL;
	int r;

	/* 0 would be the library's own 25 s. */
	if (left == 0)
		return err_set(e, ETIMEDOUT, "systemd does not answer in time");
	r = sd_bus_call(bus, ask, left, &why, NULL);
	if (r < 0)
		r = err_set(e,
			    sd_bus_error_has_name(&why, MANAGER_NAME ".UnitExists") ? EEXIST : -r,
			    "%s", why.message != NULL ? why.message : strerror(-r));
	sd_bus_error_free(&why);
	return r < 0 ? r : 0;
}

bool priv_vm_scope_has(const char *cgroup_text, const char *unit)
{
	char end[SCOPE_UNIT_TEXT + 32];
	size_t len;

	/* The end of a line: "0::/viaduct.slice/UNIT", longer in a container, "1:name=systemd:/..." with cgroup v1. */
	len = (size_t)snprintf(end, sizeof(end), "/" SCOPE_SLICE "/%s", unit);
	for (const char *at = strstr(cgroup_text, end); at != NULL; at = strstr(at + 1, end))
		if (at[len] == '\n' || at[len] == '\0')
			return true;
	return false;
}

static bool scope_has(pid_t pid, const char *unit)
{
	char path[64], text[512];

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	return file_read_at(AT_FDCWD, path, text, sizeof(text)) > 0 &&
	       priv_vm_scope_has(text, unit);
}

static void pause_short(void)
{
	const struct timespec pause = { .tv_nsec = SCOPE_PAUSE_NS };

	nanosleep(&pause, NULL);
}

static int scope_make(sd_bus *bus, const struct scope *s, struct err *e)
{
	int r;

	for (;;) {
		sd_bus_message *ask = NULL;

		r = scope_ask(bus, s, &ask);
		if (r < 0)
			return err_set(e, -r, "message: %s", strerror(-r));
		r = scope_start(bus, ask, s->deadline_ns, e);
		sd_bus_message_unref(ask);
		if (r != -EEXIST || left_us(s->deadline_ns) == 0)
			break;
		pause_short();
	}
	/* The answer comes when the job is queued. */
	while (r == 0 && !scope_has(s->pid, s->unit)) {
		if (left_us(s->deadline_ns) == 0)
			return err_set(e, ETIMEDOUT, "the process is not in it");
		pause_short();
	}
	return r;
}

/* 1: the process is in it; 0: there are no scopes here. */
static int scope_enter(struct daemon *d, struct scope *s, char unit[SCOPE_UNIT_TEXT], struct err *e)
{
	sd_bus *bus = NULL;
	int r;

	s->unit = unit;
	s->deadline_ns = now_ns() + SCOPE_LIMIT_NS;

	if (!d->is_root || sd_booted() <= 0) {
		unit[0] = '\0';
		return 0;
	}
	r = manager_connect(&bus, s->deadline_ns);
	if (r < 0)
		err_set(e, -r, "connect to systemd: %s", strerror(-r));
	else
		r = scope_make(bus, s, e);
	sd_bus_close_unref(bus);
	if (r < 0) {
		err_wrap(e, "%s", unit);
		unit[0] = '\0';
		return r;
	}
	return 1;
}

int priv_vm_scope_make(struct daemon *d, const struct spawn_wish *wish, pid_t pid,
		       char unit[SCOPE_UNIT_TEXT], struct err *e)
{
	const char *name = wish->name;
	char what[80];
	struct scope scope = { .what = what, .pid = pid, .limits = &wish->limits };
	int r;

	unit[0] = '\0';
	if (parse_name(name) < 0)
		return err_set(e, EINVAL, "'%.64s' is no name", name);
	snprintf(what, sizeof(what), "VM %s", name);
	snprintf(unit, SCOPE_UNIT_TEXT, "viaduct-vm-%s.scope", name);
	r = scope_enter(d, &scope, unit, e);
	/* The one that it was started in is empty now. */
	if (r > 0)
		priv_vm_cgroup_remove(d, name);
	return r < 0 ? r : 0;
}

int priv_backend_scope_make(struct daemon *d, const char *name, pid_t pid,
			    char unit[SCOPE_UNIT_TEXT], struct err *e)
{
	static const struct vm_limits none;
	char what[96];
	struct scope scope = { .what = what, .pid = pid, .limits = &none };
	int r;

	unit[0] = '\0';
	if (backend_name_parse(name) < 0)
		return err_set(e, EINVAL, "'%.64s' is no name", name);
	snprintf(what, sizeof(what), "viaduct-pmd %s", name);
	snprintf(unit, SCOPE_UNIT_TEXT, "viaduct-pmd-%s.scope", name);
	r = scope_enter(d, &scope, unit, e);
	if (r > 0)
		priv_backend_cgroup_remove(d, name);
	return r < 0 ? r : 0;
}
