// SPDX-License-Identifier: BSD-3-Clause
#include "image/image_facts.h"

#include "base/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define QCOW2 "\"format\":\"qcow2\",\"virtual-size\":1048576"

static void one_file_that_is_whole_is_taken(void **state)
{
	static const struct {
		const char *text;
		enum image_format format;
	} rows[] = {
		{ "{" QCOW2 "}", IMAGE_QCOW2 },
		{ "{" QCOW2 ",\"children\":[{\"name\":\"file\"}],\"dirty-flag\":false,"
		  "\"format-specific\":{\"type\":\"qcow2\",\"data\":{\"corrupt\":false}}}",
		  IMAGE_QCOW2 },
		{ "{\"format\":\"vmdk\",\"virtual-size\":1048576,\"format-specific\":{\"data\":"
		  "{\"create-type\":\"streamOptimized\",\"extents\":[{}]}}}",
		  IMAGE_VMDK },
		{ "{\"format\":\"raw\",\"virtual-size\":1048576}", IMAGE_RAW },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *info = json_loads(rows[i].text, 0, NULL);
		struct err e = { 0 };
		uint64_t bytes = 0;

		assert_int_equal(image_facts_check(info, rows[i].format, &bytes, &e), 0);
		assert_int_equal(bytes, MIB(1));
	}
}

static void all_else_is_refused_by_name(void **state)
{
	static const struct {
		const char *text, *code;
	} rows[] = {
		{ "{" QCOW2 ",\"backing-filename\":\"/etc/shadow\"}", "image-names-files" },
		{ "{" QCOW2 ",\"full-backing-filename\":\"json:{}\"}", "image-names-files" },
		{ "{" QCOW2 ",\"format-specific\":{\"data\":{\"data-file\":\"/etc/shadow\"}}}",
		  "image-names-files" },
		{ "{" QCOW2 ",\"children\":[{\"name\":\"file\"},{\"name\":\"data-file\"}]}",
		  "image-names-files" },
		{ "{" QCOW2 ",\"encrypted\":true}", "image-encrypted" },
		{ "{" QCOW2 ",\"format-specific\":{\"data\":{\"corrupt\":true}}}", "image-broken" },
		{ "{\"format\":\"qcow2\",\"virtual-size\":9223372036854775807}",
		  "image-too-large" },
		{ "{\"format\":\"raw\",\"virtual-size\":1}", "" },
		{ "{\"format\":\"qcow2\",\"virtual-size\":-1}", "" },
		{ "{\"format\":\"qcow2\"}", "" },
		{ "{\"format\":7,\"virtual-size\":1}", "" },
		{ "[]", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *info = json_loads(rows[i].text, 0, NULL);
		struct err e = { 0 };
		uint64_t bytes = 7;

		assert_true(image_facts_check(info, IMAGE_QCOW2, &bytes, &e) < 0);
		assert_string_equal(e.code, rows[i].code);
		assert_int_equal(bytes, 7);
	}
	assert_int_equal(image_facts_check(NULL, IMAGE_QCOW2, &(uint64_t){ 0 }, NULL), -EBADMSG);
}

static void a_vmdk_of_several_files_is_refused(void **state)
{
	static const char *const data[] = {
		"{\"create-type\":\"monolithicFlat\",\"extents\":[{}]}",
		"{\"create-type\":\"twoGbMaxExtentSparse\",\"extents\":[{},{}]}",
		"{\"create-type\":\"monolithicSparse\",\"extents\":[{},{}]}",
		"{\"create-type\":7}",
		"{}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
		auto_json json_t *info = json_pack("{s:s, s:i, s:{s:o}}", "format", "vmdk",
						   "virtual-size", 512, "format-specific", "data",
						   json_loads(data[i], 0, NULL));
		struct err e = { 0 };
		uint64_t bytes;

		assert_true(image_facts_check(info, IMAGE_VMDK, &bytes, &e) < 0);
		assert_string_equal(e.code, "image-names-files");
	}
}

static void progress_is_the_last_whole_one(void **state)
{
	static const struct {
		const char *text;
		int percent;
	} rows[] = { { "    (0.00/100%)\r    (12.34/100%)\r", 12 },
		     { "    (100.00/100%)\n", 100 },
		     { "(7/100%)", 7 },
		     { "(12.34/100%)\r    (13.", 12 },
		     { "(101.00/100%)", -1 },
		     { "(9999/100%)", -1 },
		     { "(/100%)", -1 },
		     { "(1", -1 },
		     { "", -1 } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(image_progress_parse(rows[i].text, strlen(rows[i].text)),
				 rows[i].percent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_file_that_is_whole_is_taken),
		cmocka_unit_test(all_else_is_refused_by_name),
		cmocka_unit_test(a_vmdk_of_several_files_is_refused),
		cmocka_unit_test(progress_is_the_last_whole_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
