// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/delivery.h"

#include "base/fd.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define VF "0000:01:10.0"

static void file_put(int root, const char *path, const char *text)
{
	char part[256];
	int fd;

	for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		(void)mkdirat(root, part, 0755);
	}
	fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

/* What /sys says; NULL leaves the file out. */
struct host {
	const char *parameter, *setting; /* of KVM's module */
	const char *attribute, *value; /* of the IOMMU */
};

static void expect(const struct host *h, const char *kind, const char *said)
{
	char dir[] = "/tmp/viaduct-delivery-XXXXXX", path[128], why[128] = "";
	enum delivery got;
	int root;

	assert_non_null(mkdtemp(dir));
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (h->parameter != NULL) {
		snprintf(path, sizeof(path), "module/%s", h->parameter);
		file_put(root, path, h->setting);
	}
	if (h->attribute != NULL) {
		snprintf(path, sizeof(path), "bus/pci/devices/" VF "/iommu/%s", h->attribute);
		file_put(root, path, h->value);
	}
	got = delivery_read(root, VF, why);
	close(root);
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	assert_string_equal(delivery_name(got), kind);
	if (strstr(why, said) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", said, why);
}

#define INTEL "kvm_intel/parameters/enable_apicv"
#define AMD   "kvm_amd/parameters/avic"
#define CAP   "intel-iommu/cap"
#define EFR   "amd-iommu/features"

static void posture_is_what_kvm_and_the_iommu_say(void **state)
{
	static const struct {
		struct host host;
		const char *kind, *said;
	} rows[] = {
		{ { INTEL, "Y\n", CAP, "8d2078c106f0466\n" }, "posted", "can post" },
		{ { INTEL, "Y\n", CAP, "d2078c106f0466\n" }, "remapped", "cannot post" },
		{ { INTEL, "N\n", CAP, "8d2078c106f0466\n" },
		  "remapped",
		  "kvm_intel.enable_apicv is off" },
		{ { AMD, "1\n", EFR, "246577efa2254afa\n" }, "posted", "can post" },
		{ { AMD, "Y\n", EFR, "10:246577efa2254afa\n" }, "posted", "can post" },
		{ { AMD, "Y\n", EFR, "10:80\n" }, "remapped", "cannot post" },
		{ { AMD, "0\n", CAP, "0\n" }, "remapped", "kvm_amd.avic is off" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect(&rows[i].host, rows[i].kind, rows[i].said);
}

static void what_cannot_be_read_is_unknown(void **state)
{
	expect(&(struct host){ NULL }, "unknown", "no parameter");
	expect(&(struct host){ INTEL, "Y\n" }, "unknown", "cannot be read");
	expect(&(struct host){ INTEL, "Y\n", CAP, "none\n" }, "unknown", "cannot be read");
	expect(&(struct host){ AMD, "Y\n", EFR, "1:\n" }, "unknown", "cannot be read");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(posture_is_what_kvm_and_the_iommu_say),
		cmocka_unit_test(what_cannot_be_read_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
