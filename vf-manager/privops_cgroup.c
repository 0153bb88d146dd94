// SPDX-License-Identifier: BSD-3-Clause
/*
 * The cgroup of a VM or of viaduct-pmd (Documentation/admin-guide/cgroup-v2.rst): its limits, and what the kernel made of them.
 * Memory has none: a controller for it would cost each page of guest RAM something, and guest RAM has its size from the
 * start. Where systemd is PID 1 the process moves on into a scope with the same limits (privops_scope.c).
 */
#include "vf-manager/privops.h"

#include "base/cpulist.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_OURS CGROUP_ROOT "/viaduct"

static bool cgroup_is_v2(void)
{
	struct statfs fs;

	return statfs(CGROUP_ROOT, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* One limit: the controller that keeps it, its file, and what is to be written; text[0] is NUL: nothing. */
struct limit_row {
	const char *controller, *file;
	char text[CPU_LIST_TEXT];
};

#define LIMITS 3

static void rows_fill(const struct vm_limits *l, struct limit_row rows[LIMITS])
{
	rows[0] = (struct limit_row){ .controller = "+pids", .file = "pids.max" };
	rows[1] = (struct limit_row){ .controller = "+cpu", .file = "cpu.weight" };
	rows[2] = (struct limit_row){ .controller = "+cpuset", .file = "cpuset.cpus" };
	if (l->tasks != 0)
		snprintf(rows[0].text, sizeof(rows[0].text), "%u", l->tasks);
	if (l->weight != 0)
		snprintf(rows[1].text, sizeof(rows[1].text), "%u", l->weight);
	cpu_list_text(&l->cpus, rows[2].text, sizeof(rows[2].text));
}

/* Only the controllers that a limit needs: each of them costs the processes below it something. */
static void limits_set(const char *folder, const char *name, const struct vm_limits *l)
{
	auto_free struct limit_row *rows = calloc(LIMITS, sizeof(*rows));
	char path[320];

	if (rows == NULL)
		return;
	rows_fill(l, rows);
	for (unsigned int i = 0; i < LIMITS; i++) {
		int r;

		if (rows[i].text[0] == '\0')
			continue;
		/* Where a controller cannot be had its file is not there, which is said once below. */
		(void)file_write_at(AT_FDCWD, CGROUP_ROOT "/cgroup.subtree_control",
				    rows[i].controller);
		(void)file_write_at(AT_FDCWD, CGROUP_OURS "/cgroup.subtree_control",
				    rows[i].controller);
		snprintf(path, sizeof(path), "%s/%s", folder, rows[i].file);
		r = file_write_at(AT_FDCWD, path, rows[i].text);
		if (r < 0)
			log_warn("%s has no limit %s of %s: %s", name, rows[i].file, rows[i].text,
				 strerror(-r));
	}
}

int priv_cgroup_open(const struct daemon *d, const struct spawn_wish *wish)
{
	const char *kind = wish->is_pmd ? "pmd" : "vm";
	char folder[256], path[300];
	int fd;

	/* The name is that of a process that is about to start: it was checked. */
	if (!d->is_root || !cgroup_is_v2())
		return -1;
	mkdir(CGROUP_OURS, 0755);
	snprintf(folder, sizeof(folder), CGROUP_OURS "/%s-%s", kind, wish->name);
	mkdir(folder, 0755);
	snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		log_warn("%s %s has no cgroup of its own: %s: %s", kind, wish->name, path,
			 strerror(errno));
	else
		limits_set(folder, wish->name, &wish->limits);
	return fd;
}

static void cgroup_remove(const struct daemon *d, const char *kind, const char *name)
{
	char path[256];

	if (!d->is_root)
		return;
	snprintf(path, sizeof(path), CGROUP_OURS "/%s-%s", kind, name);
	rmdir(path);
}

void priv_vm_cgroup_remove(struct daemon *d, const char *name)
{
	if (parse_name(name) == 0)
		cgroup_remove(d, "vm", name);
}

void priv_backend_cgroup_remove(struct daemon *d, const char *name)
{
	if (backend_name_parse(name) == 0)
		cgroup_remove(d, "pmd", name);
}

/* A file of the process's cgroup; "" if there is none. */
static char *own_file_read(pid_t pid, const char *file, char *buf, size_t cap)
{
	char path[64], groups[4096], whole[PATH_MAX];
	const char *line = NULL;

	buf[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (file_read_at(AT_FDCWD, path, groups, sizeof(groups)) > 0)
		line = strstr(groups, "0::/");
	if (line == NULL || (line != groups && line[-1] != '\n'))
		return buf;
	snprintf(whole, sizeof(whole), CGROUP_ROOT "%.*s/%s", (int)strcspn(line + 3, "\n"),
		 line + 3, file);
	if (file_read_at(AT_FDCWD, whole, buf, cap) < 0)
		buf[0] = '\0';
	return buf;
}

static json_t *number_json(const char *text)
{
	uint64_t n;

	return parse_u64(text, INT64_MAX, &n) == 0 ? json_integer((json_int_t)n) : json_null();
}

json_t *priv_vm_limits_json(const struct daemon *d, pid_t pid)
{
	auto_free char *text = malloc(3 * CPU_LIST_TEXT);
	char *tasks = text, *weight = tasks + CPU_LIST_TEXT, *cpus = weight + CPU_LIST_TEXT;

	if (text == NULL || !d->is_root || !cgroup_is_v2())
		return json_pack("{s:n, s:n, s:n}", "tasks", "cpu_weight", "cpus");
	own_file_read(pid, "pids.max", tasks, CPU_LIST_TEXT);
	own_file_read(pid, "cpu.weight", weight, CPU_LIST_TEXT);
	own_file_read(pid, "cpuset.cpus", cpus, CPU_LIST_TEXT);
	return json_pack("{s:o, s:o, s:o}", "tasks", number_json(tasks), "cpu_weight",
			 number_json(weight), "cpus",
			 cpus[0] != '\0' ? json_string(cpus) : json_null());
}
