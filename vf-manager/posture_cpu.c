// SPDX-License-Identifier: BSD-3-Clause
/* What the CPU does for guests: its flags in /proc/cpuinfo, and whether KVM uses them (its modules' parameters). */
#include "vf-manager/posture.h"

#include "base/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CPUINFO_BYTES 16384 /* the first CPU's part, flags and all */

static void cpuinfo_read(int root, char *buf)
{
	auto_fd int fd = openat(root, "proc/cpuinfo", O_RDONLY | O_CLOEXEC);
	size_t n = 0;

	while (fd >= 0 && n < CPUINFO_BYTES - 1) {
		ssize_t got = read(fd, buf + n, CPUINFO_BYTES - 1 - n);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	buf[n] = '\0';
}

/* A whole word of the text. */
static bool has_flag(const char *text, const char *flag)
{
	size_t len = strlen(flag);

	for (const char *at = strstr(text, flag); at != NULL; at = strstr(at + len, flag)) {
		bool begins = at == text || at[-1] == ' ' || at[-1] == '\t';

		if (begins && (at[len] == ' ' || at[len] == '\n' || at[len] == '\0'))
			return true;
	}
	return false;
}

/* A parameter that is not there says nothing against it. */
static bool kvm_uses(int root, const char *parameter)
{
	char path[96], text[8];

	snprintf(path, sizeof(path), "sys/module/%s", parameter);
	if (file_read_at(root, path, text, sizeof(text)) <= 0)
		return true;
	return text[0] == 'Y' || text[0] == '1';
}

static void vtx_read(int root, const char *text, struct posture_cpu *c)
{
	c->kind = "VT-x";
	c->has_nested_paging = has_flag(text, "ept") && kvm_uses(root, "kvm_intel/parameters/ept");
	c->has_tags = has_flag(text, "vpid") && kvm_uses(root, "kvm_intel/parameters/vpid");
	c->has_posted = has_flag(text, "posted_intr") &&
			kvm_uses(root, "kvm_intel/parameters/enable_apicv");
	snprintf(c->text, sizeof(c->text), "VT-x with%s EPT, with%s VPID, with%s posted interrupts",
		 c->has_nested_paging ? "" : "out", c->has_tags ? "" : "out",
		 c->has_posted ? "" : "out");
}

static void svm_read(int root, const char *text, struct posture_cpu *c)
{
	c->kind = "SVM";
	c->has_nested_paging = has_flag(text, "npt") && kvm_uses(root, "kvm_amd/parameters/npt");
	c->has_tags = true;
	c->has_posted = has_flag(text, "avic") && kvm_uses(root, "kvm_amd/parameters/avic");
	snprintf(c->text, sizeof(c->text), "SVM with%s NPT, with%s AVIC",
		 c->has_nested_paging ? "" : "out", c->has_posted ? "" : "out");
}

void posture_cpu_read(int root_fd, struct posture_cpu *out)
{
	auto_fd int root = root_fd >= 0 ? dup(root_fd)
					: open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_free char *text = malloc(CPUINFO_BYTES);

	*out = (struct posture_cpu){ .kind = "" };
	if (text == NULL || root < 0)
		return;
	cpuinfo_read(root, text);
	if (has_flag(text, "vmx"))
		vtx_read(root, text, out);
	else if (has_flag(text, "svm"))
		svm_read(root, text, out);
	else
		snprintf(out->text, sizeof(out->text), "neither VT-x nor SVM in /proc/cpuinfo");
}
