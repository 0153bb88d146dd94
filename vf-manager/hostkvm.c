// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/hostkvm.h"

#include "vf-manager/hostcheck.h"
#include "vf-manager/privops.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <unistd.h>

#define KVM_CHECK_MS 5000

extern char **environ;

/* What the tests have run on: KVM by SVM, remapping by VT-d, emulated igb cards. */
static const struct {
	const char *vendor, *iommu; /* NULL: any */
	const char *part;
} untested[] = {
	{ "GenuineIntel", NULL, "KVM on VT-x (VMX): only SVM has been exercised" },
	{ NULL, "AMD-Vi", "AMD-Vi DMA and interrupt remapping: only VT-d has been exercised" },
	{ NULL, "other", "this kind of IOMMU: only VT-d has been exercised" },
	{ NULL, NULL, "posted interrupts" },
	{ NULL, NULL, "SR-IOV cards other than the 82576" },
};

static void cpuinfo_field(const char *text, const char *key, char *out, size_t cap)
{
	const char *at = strstr(text, key);

	snprintf(out, cap, "?");
	at = at != NULL ? strchr(at, ':') : NULL;
	if (at == NULL)
		return;
	at += 1 + strspn(at + 1, " \t");
	snprintf(out, cap, "%.*s", (int)strcspn(at, "\n"), at);
}

void host_cpu_describe(const char *iommu_kind, json_t *reply)
{
	char text[4096], vendor[32], family[8], model[8], all[64];
	auto_fd int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
	json_t *list = json_array();

	text[n > 0 ? n : 0] = '\0';
	cpuinfo_field(text, "vendor_id", vendor, sizeof(vendor));
	cpuinfo_field(text, "cpu family", family, sizeof(family));
	cpuinfo_field(text, "model\t", model, sizeof(model));
	snprintf(all, sizeof(all), "%s family %s model %s", vendor, family, model);
	for (size_t i = 0; i < ARRAY_SIZE(untested); i++)
		if ((untested[i].vendor == NULL || strcmp(untested[i].vendor, vendor) == 0) &&
		    (untested[i].iommu == NULL || strcmp(untested[i].iommu, iommu_kind) == 0))
			json_array_append_new(list, json_string(untested[i].part));
	json_object_set_new(reply, "cpu_family", json_string(all));
	json_object_set_new(reply, "not_exercised", list);
}

static int check_spawn(const char *path, int out, pid_t *pid)
{
	char *argv[] = { "viaduct-vmm", "--check-kvm", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	int r;

	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	r = posix_spawn(pid, path, &actions, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -r;
}

/* One line of JSON, within the deadline. */
static json_t *line_read(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t end = now_ns() + KVM_CHECK_MS * 1000000ULL;
	char text[1024];
	size_t len = 0;

	while (len < sizeof(text)) {
		uint64_t now = now_ns();
		ssize_t n;

		if (now >= end || poll(&p, 1, (int)((end - now) / 1000000) + 1) <= 0)
			break;
		n = read(fd, text + len, sizeof(text) - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	return json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
}

bool host_kvm_check(const struct daemon *d, bool *is_usable, char detail[256])
{
	auto_json json_t *said = NULL;
	auto_fd int in = -1, out = -1;
	int pipe_fds[2], r;
	pid_t pid;

	*is_usable = false;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return false;
	in = pipe_fds[0];
	out = pipe_fds[1];
	r = check_spawn(d->opt->vmm_path, out, &pid);
	if (r < 0) {
		snprintf(detail, 256, "not known: %.180s does not start: %s", d->opt->vmm_path,
			 strerror(-r));
		return false;
	}
	fd_close(&out);
	said = line_read(in);
	if (!json_is_object(said))
		kill(pid, SIGKILL);
	priv_child_end(pid, "viaduct-vmm --check-kvm");
	snprintf(detail, 256, "not known: %.180s --check-kvm says nothing", d->opt->vmm_path);
	if (!json_is_object(said))
		return false;
	snprintf(detail, 256, "usable");
	json_get_str_opt(said, "detail", detail, 256, NULL);
	return json_get_bool_opt(said, "usable", is_usable, NULL) == 0;
}

int host_hugepages_read(const struct daemon *d, uint64_t page_bytes, struct host_hugepages *out)
{
	uint64_t free_pages = 0, reserved = 0;
	struct {
		const char *file;
		uint64_t *to;
	} rows[] = {
		{ "free_hugepages", &free_pages },
		{ "resv_hugepages", &reserved },
		{ "surplus_hugepages", &out->surplus },
		{ "nr_overcommit_hugepages", &out->overcommit },
	};
	char path[PATH_MAX], text[32];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ssize_t n;
		int r;

		snprintf(path, sizeof(path), "%s/kernel/mm/hugepages/hugepages-%llukB/%s",
			 daemon_sysfs(d), (unsigned long long)page_bytes >> 10, rows[i].file);
		n = file_read_at(AT_FDCWD, path, text, sizeof(text));
		r = n < 0 ? (int)n : parse_u64(text, UINT64_MAX, rows[i].to);
		if (r < 0)
			return r;
	}
	out->unreserved = free_pages > reserved ? free_pages - reserved : 0;
	return 0;
}
