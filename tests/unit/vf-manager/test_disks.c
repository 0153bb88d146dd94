// SPDX-License-Identifier: BSD-3-Clause
/* Disks: what a VM file may say, which image is which and who has it, and the backend's word. */
#include "vf-manager/pmd_disks.h"
#include "vf-manager/vmimage.h"
#include "vf-manager/vmspec.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HEAD "name: fw1\nmemory: {size: 128M}\ncpus: {count: 8}\n"

static struct vm_spec *parse(const char *yaml, int *r, struct err *e)
{
	const struct vm_text text = { .base_dir = "/srv", .yaml = yaml };
	struct vm_spec *s = calloc(1, sizeof(*s));
	auto_json json_t *warnings = json_array();

	assert_non_null(s);
	*r = vm_spec_parse(&text, s, warnings, e);
	return s;
}

static void a_disk_has_defaults_and_a_place_in_the_boot_order(void **state)
{
	struct err e = { 0 };
	int r;
	struct vm_spec *s = parse(HEAD
				  "boot: {firmware: ovmf}\n"
				  "disks: [{path: a.img}, {path: /b.img, name: data, readonly: yes,"
				  " serial: x1, queues: 2, queue_size: 64, cache: buffered,"
				  " iops: 10, bandwidth: 2M}]\n",
				  &r, &e);

	assert_int_equal(r, 0);
	assert_int_equal(s->disk_count, 2);
	assert_string_equal(s->disks[0].name, "disk0");
	assert_string_equal(s->disks[0].path, "/srv/a.img");
	assert_string_equal(s->disks[0].serial, "disk0");
	assert_int_equal(s->disks[0].queues, 4);
	assert_int_equal(s->disks[0].queue_size, 256);
	assert_false(s->disks[0].is_readonly || s->disks[0].is_buffered);
	assert_int_equal(s->disks[0].boot, 1);
	assert_int_equal(s->disks[1].boot, 2);
	assert_true(s->disks[1].is_readonly && s->disks[1].is_buffered);
	assert_int_equal(s->disks[1].bandwidth, MIB(2));
	free(s);
	s = parse(HEAD "boot: {firmware: ovmf, order: [disk1]}\ndisks: [{path: a}, {path: b}]\n",
		  &r, &e);
	assert_int_equal(r, 0);
	assert_int_equal(s->disks[0].boot, 0);
	assert_int_equal(s->disks[1].boot, 1);
	free(s);
}

static void what_a_disk_may_not_be_is_said_by_name_key_and_value(void **state)
{
	static const char *const rows[][2] = {
		{ "disks: [{path: a, queues: 0}]", "disk disk0: queues: 0 is not between 1" },
		{ "disks: [{path: a, queue_size: 32}]", "queue_size: 32 is no power of two" },
		{ "disks: [{path: a, queue_size: 2048}]", "queue_size: 2048 is no power" },
		{ "disks: [{path: a, name: x}, {path: b, name: x}]", "disk x: the name is there" },
		{ "disks: [{path: a, iops: 10000001}]", "iops: 10000001 is more than" },
		{ "disks: [{path: a, bandwidth: 9E}]", "bandwidth: '9E' is no size" },
		{ "disks: [{path: a, serial: '123456789012345678901'}]", "more than 20" },
		{ "disks: [{path: a, cache: none}]", "cache: 'none' is neither" },
		{ "disks: [{path: a, format: qcow2}]", "format: 'qcow2' is not raw" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err e = { 0 };
		char yaml[512];
		int r;

		snprintf(yaml, sizeof(yaml), HEAD "boot: {kernel: k}\n%s\n", rows[i][0]);
		free(parse(yaml, &r, &e));
		assert_true(r < 0);
		assert_non_null(strstr(e.text, rows[i][1]));
	}
}

static char *file_make(char path[64], const char *text)
{
	int fd;

	strcpy(path, "/tmp/test_disks.XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

static void an_image_is_found_by_its_inode_and_not_by_its_name(void **state)
{
	const struct image_open how = { .is_readonly = false };
	auto_fd int fd = -1, handle = -1, again = -1;
	char path[64], moved[80], text[8] = "";
	struct image_id id;
	struct err e = { 0 };

	fd = open(file_make(path, "first"), O_RDWR | O_CLOEXEC);
	assert_int_equal(image_id_read(fd, &id), 0);
	snprintf(moved, sizeof(moved), "%s.moved", path);
	assert_int_equal(rename(path, moved), 0);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(image_find(getpid(), &id, &handle), 0);
	assert_int_equal(image_reopen(handle, &id, &how, &again, &e), 0);
	assert_int_equal(pread(again, text, 5, 0), 5);
	assert_string_equal(text, "first");
	id.ino++;
	fd_close(&again);
	assert_int_equal(image_reopen(handle, &id, &how, &again, &e), -ESTALE);
	fd_close(&handle);
	assert_int_equal(image_find(getpid(), &id, &handle), -ENOENT);
	unlink(path);
	unlink(moved);
}

static void one_writes_or_all_read(void **state)
{
	static const struct {
		bool first, second; /* readonly */
		int r;
	} rows[] = { { false, false, -EAGAIN },
		     { false, true, -EAGAIN },
		     { true, false, -EAGAIN },
		     { true, true, 0 } };
	char path[64];

	file_make(path, "x");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_fd int one = open(path, O_RDWR | O_CLOEXEC);
		auto_fd int two = open(path, O_RDWR | O_CLOEXEC);

		assert_int_equal(vm_image_lock(one, rows[i].first), 0);
		assert_int_equal(vm_image_lock(two, rows[i].second), rows[i].r);
		/* It is the description's: gone with it. */
		fd_close(&one);
		assert_int_equal(vm_image_lock(two, rows[i].second), 0);
	}
	unlink(path);
}

#define DISK                                                                                      \
	"'disk':'%s','state':'%s','pid':1,'queues':%d,'size':512,'block_size':512,'features':''," \
	"'error':'','io_error':''"
#define COUNTS                                                                                 \
	"'in_flight':0,'kicks':0,'calls':0,'bad_chains':0,'errors':2,'no_space':%d,'reads':0," \
	"'writes':0,'flushes':0,'discards':0,'zeroes':0,'read_bytes':0,'written_bytes':0"

static int read_as(const char *name, const char *word, int queues, int no_space,
		   struct pmd_disks *out)
{
	auto_json json_t *said = NULL;
	char text[1024];

	snprintf(text, sizeof(text), "{'disks':[{" DISK "," COUNTS "}]}", name, word, queues,
		 no_space);
	for (char *c = text; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	said = json_loads(text, 0, NULL);
	assert_non_null(said);
	return pmd_disks_read(said, said, out, NULL);
}

static void the_backends_word_is_checked(void **state)
{
	static struct pmd_disks s;

	assert_int_equal(read_as("fw1/root", "running", 2, 1, &s), 0);
	assert_int_equal(s.count, 1);
	assert_int_equal(s.disks[0].state, PMD_DISK_RUNNING);
	assert_int_equal(pmd_disk_find(&s, "fw1/root")->counts[PMD_DISK_NO_SPACE], 1);
	assert_null(pmd_disk_find(&s, "fw1/other"));
	assert_int_equal(read_as("fw1/root", "walking", 2, 1, &s), -EBADMSG);
	assert_int_equal(read_as("fw1/root", "running", 17, 1, &s), -EBADMSG);
	assert_int_equal(read_as("fw1/root", "running", 1, -1, &s), -EBADMSG);
	/* Names go into metrics as they are. */
	assert_int_equal(read_as("fw1", "running", 1, 1, &s), -EBADMSG);
	assert_int_equal(read_as("fw1/", "running", 1, 1, &s), -EBADMSG);
	assert_int_equal(read_as("fw1/a b", "running", 1, 1, &s), -EBADMSG);
	assert_int_equal(read_as("fw1/a}x/y", "running", 1, 1, &s), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_disk_has_defaults_and_a_place_in_the_boot_order),
		cmocka_unit_test(what_a_disk_may_not_be_is_said_by_name_key_and_value),
		cmocka_unit_test(an_image_is_found_by_its_inode_and_not_by_its_name),
		cmocka_unit_test(one_writes_or_all_read),
		cmocka_unit_test(the_backends_word_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
