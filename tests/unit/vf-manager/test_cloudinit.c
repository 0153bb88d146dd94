// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/cloudinit.h"
#include "vf-manager/vmspec.h"

#include "base/fd.h"
#include "base/json.h"
#include "image/fat.h"
#include "image/seed.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static const struct cloud_who vm = { "web_1", "0b5d9bd6-6f2c-4d3f-8a36-1f3a0a3b6c11" };

/* NULL and e filled where it is refused. */
static char *meta(const char *text, const char *hostname, struct err *e)
{
	struct cloud_text file = { (char *)text, text != NULL ? strlen(text) : 0 }, out = { 0 };
	char *copy;

	memset(e, 0, sizeof(*e));
	if (cloud_meta_make(&file, hostname, &vm, &out, e) < 0) {
		assert_null(out.data);
		return NULL;
	}
	copy = strndup(out.data, out.len);
	cloud_text_free(&out);
	return copy;
}

static void what_is_missing_is_added(void **state)
{
	static const struct {
		const char *text, *hostname, *made;
	} rows[] = {
		{ NULL, "",
		  "{instance-id: \"0b5d9bd6-6f2c-4d3f-8a36-1f3a0a3b6c11\", local-hostname: \"web-1\"}\n" },
		{ "# nothing\n", "www.example.org",
		  "instance-id: \"0b5d9bd6-6f2c-4d3f-8a36-1f3a0a3b6c11\"\nlocal-hostname: \"www.example.org\"\n" },
		{ "  local-hostname: db\n  tags: [a, b]\n", "",
		  "local-hostname: db\ntags: [a, b]\ninstance-id: \"0b5d9bd6-6f2c-4d3f-8a36-1f3a0a3b6c11\"\n" },
		{ "{\"instance-id\": \"i-1\"}", "",
		  "{\"instance-id\": \"i-1\", local-hostname: \"web-1\"}\n" },
		/* What lacks nothing is kept as it is. */
		{ "# mine\ninstance-id:   i-1\nlocal-hostname: 'x'\n", "",
		  "# mine\ninstance-id:   i-1\nlocal-hostname: 'x'\n" },
		/* Not those of a mapping further in. */
		{ "a: {instance-id: x, local-hostname: y}\n", "",
		  "a: {instance-id: x, local-hostname: y}\ninstance-id: \"0b5d9bd6-6f2c-4d3f-8a36-1f3a0a3b6c11\"\nlocal-hostname: \"web-1\"\n" },
	};
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_free char *made = meta(rows[i].text, rows[i].hostname, &e);

		assert_non_null(made);
		assert_string_equal(made, rows[i].made);
	}
}

static void what_is_no_mapping_is_refused(void **state)
{
	static const char *const bad[] = { "text",
					   "- a\n- b\n",
					   "a: [",
					   "a: 1\n---\nb: 2\n",
					   "a: 1\n--- [",
					   "\xff\xfe"
					   "a",
					   "a: *nobody\n",
					   "\t\ta: b" };
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_null(meta(bad[i], "", &e));
		assert_string_equal(e.code, "cloud-init-meta");
	}
	assert_null(meta("local-hostname: a\n", "b", &e));
	assert_non_null(strstr(e.text, "cloud_init.hostname"));
}

static void what_never_ends_ends(void **state)
{
	struct err e;
	char *text = malloc(300 << 10);

	/* Deep, and a mapping that contains itself. */
	memset(text, '[', 200 << 10);
	text[200 << 10] = '\0';
	assert_null(meta(text, "", &e));
	assert_non_null(strstr(e.text, "deeper than 32"));
	memset(text, 'a', 299 << 10);
	text[299 << 10] = '\0';
	assert_null(meta(text, "", &e));
	assert_non_null(strstr(e.text, "256 KiB"));
	free(text);
	text = meta("&a {b: *a}", "", &e);
	assert_non_null(text);
	assert_non_null(strstr(text, "instance-id"));
	free(text);
}

static int parse(struct vmfile_cloud_init in, struct cloud_init *out, struct err *e)
{
	memset(e, 0, sizeof(*e));
	return cloud_init_parse(&in, "/vms", out, e);
}

static void paths_start_at_the_folder_of_the_file(void **state)
{
	struct cloud_init *c = malloc(sizeof(*c));
	struct err e;

	assert_int_equal(cloud_init_parse(NULL, "/vms", c, &e), 0);
	assert_false(c->is_set);
	assert_null(cloud_init_json(c));
	assert_int_equal(parse((struct vmfile_cloud_init){ .user_data = "u.yaml",
							   .network_config = "/etc/n.yaml",
							   .hostname = "a-1.b" },
			       c, &e),
			 0);
	assert_string_equal(c->files[CLOUD_USER_DATA], "/vms/u.yaml");
	assert_string_equal(c->files[CLOUD_META_DATA], "");
	assert_string_equal(c->files[CLOUD_NETWORK_CONFIG], "/etc/n.yaml");
	assert_string_equal(c->hostname, "a-1.b");
	free(c);
}

static void host_names_are_host_names(void **state)
{
	static const char *const bad[] = { "-a",  "a-",	 "a..b", ".a",	     "a.",
					   "a b", "a_b", "a-.b", "\xc3\xa4", "a\n" };
	struct cloud_init *c = malloc(sizeof(*c));
	char longer[256];
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(parse((struct vmfile_cloud_init){ .hostname = (char *)bad[i] }, c,
				       &e),
				 -EINVAL);
		assert_non_null(strstr(e.text, "cloud_init.hostname"));
	}
	memset(longer, 'a', 254);
	longer[254] = '\0';
	assert_int_equal(parse((struct vmfile_cloud_init){ .hostname = longer }, c, &e), -EINVAL);
	free(c);
}

static int file_of(const char *text)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	return fd;
}

static void a_seed_is_for_reading_alone(void **state)
{
	struct cloud_init *c = calloc(1, sizeof(*c));
	int fds[CLOUD_FILES] = { file_of("#cloud-config\npassword: secret\n"), -1, -1 };
	auto_fd int seed = -1;
	auto_free uint8_t *bytes = malloc(FAT_BYTES);
	struct stat st;

	c->is_set = true;
	assert_int_equal(cloud_init_seed(c, fds, &vm, &seed, NULL), 0);
	assert_int_equal(fstat(seed, &st), 0);
	assert_int_equal(st.st_size, FAT_BYTES);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fcntl(seed, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(fcntl(seed, F_GET_SEALS),
			 F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	assert_int_equal(pread(seed, bytes, FAT_BYTES, 0), FAT_BYTES);
	assert_non_null(memmem(bytes, FAT_BYTES, "password: secret", 16));
	assert_non_null(memmem(bytes, FAT_BYTES, vm.uuid, strlen(vm.uuid)));
	cloud_init_close(fds);
	free(c);
}

static void a_file_that_has_become_too_large_is_refused(void **state)
{
	struct cloud_init *c = calloc(1, sizeof(*c));
	int fds[CLOUD_FILES] = { -1, -1, memfd_create("large", MFD_CLOEXEC) };
	struct err e = { 0 };
	int seed = -1;

	c->is_set = true;
	assert_int_equal(ftruncate(fds[2], SEED_FILE_MAX), 0);
	assert_int_equal(cloud_init_seed(c, fds, &vm, &seed, &e), 0);
	fd_close(&seed);
	assert_int_equal(ftruncate(fds[2], SEED_FILE_MAX + 1), 0);
	assert_int_equal(cloud_init_seed(c, fds, &vm, &seed, &e), -EFBIG);
	assert_string_equal(e.code, "cloud-init-file");
	assert_int_equal(seed, -1);
	cloud_init_close(fds);
	free(c);
}

static int spec_of(const char *more, struct vm_spec *spec, struct err *e)
{
	auto_json json_t *warnings = json_array();
	char yaml[2048];

	snprintf(yaml, sizeof(yaml), "name: web\nmemory: {size: 256M}\nboot: {firmware: ovmf}\n%s",
		 more);
	return vm_spec_parse(&(struct vm_text){ yaml, "/vms" }, spec, warnings, e);
}

static void the_seed_is_the_last_disk(void **state)
{
	struct vm_spec *spec = malloc(sizeof(*spec));
	struct err e = { 0 };
	json_t *json;

	assert_int_equal(spec_of("disks: [{path: a.img}]\ncloud_init: {user_data: u}\n", spec, &e),
			 0);
	assert_int_equal(spec->disk_count, 2);
	assert_string_equal(spec->disks[1].name, "cidata");
	assert_true(spec->disks[1].is_readonly && spec->disks[1].is_seed);
	assert_int_equal(spec->disks[0].boot, 1);
	assert_int_equal(spec->disks[1].boot, 0);
	json = vm_spec_json(spec);
	assert_string_equal(json_string_value(json_object_get(json_object_get(json, "cloud_init"),
							      "user_data")),
			    "/vms/u");
	json_decref(json);
	assert_true(spec_of("disks: [{path: a.img, name: cidata}]\ncloud_init: {}\n", spec, &e) <
		    0);
	assert_non_null(strstr(e.text, "cidata"));
	assert_true(spec_of("cloud_init: {userdata: u}\n", spec, &e) < 0);
	assert_string_equal(e.code, "unknown-key");
	free(spec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_missing_is_added),
		cmocka_unit_test(what_is_no_mapping_is_refused),
		cmocka_unit_test(what_never_ends_ends),
		cmocka_unit_test(paths_start_at_the_folder_of_the_file),
		cmocka_unit_test(host_names_are_host_names),
		cmocka_unit_test(a_seed_is_for_reading_alone),
		cmocka_unit_test(a_file_that_has_become_too_large_is_refused),
		cmocka_unit_test(the_seed_is_the_last_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
