// SPDX-License-Identifier: BSD-3-Clause
#include "image/image_format.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* A file of so many bytes that begins, and whose last sector begins, like this. */
static struct image_ends ends_of(const char *head, size_t len, const char *tail)
{
	struct image_ends ends = { .head_bytes = IMAGE_HEAD,
				   .tail_bytes = IMAGE_TAIL,
				   .file_bytes = MIB(1) };

	memcpy(ends.head, head, len);
	memcpy(ends.tail, tail, strlen(tail));
	return ends;
}

static void each_format_is_known_by_its_magic(void **state)
{
	static const struct {
		const char *head, *tail;
		enum image_format format;
	} rows[] = {
		{ "QFI\xfb", "", IMAGE_QCOW2 },
		{ "KDMV", "", IMAGE_VMDK },
		{ "# Disk DescriptorFile", "", IMAGE_VMDK },
		{ "vhdxfile", "", IMAGE_VHDX },
		{ "conectix", "conectix", IMAGE_VPC },
		{ "", "conectix", IMAGE_VPC },
		{ "", "", IMAGE_RAW },
		{ "QFI", "", IMAGE_RAW },
	};
	struct image_ends ends;
	enum image_format format;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ends = ends_of(rows[i].head, strlen(rows[i].head), rows[i].tail);
		assert_int_equal(image_format_probe(&ends, &format, &e), 0);
		assert_int_equal(format, rows[i].format);
	}
	ends = ends_of("", 0, "");
	memcpy(ends.head + 64, "\x7f\x10\xda\xbe", 4);
	assert_int_equal(image_format_probe(&ends, &format, &e), 0);
	assert_int_equal(format, IMAGE_VDI);
}

static void archives_and_old_formats_are_named(void **state)
{
	static const struct {
		const char *head;
		size_t len;
		const char *what;
	} rows[] = { { "\x1f\x8b", 2, "gzip" },
		     { "\xfd"
		       "7zXZ\0",
		       6, "xz" },
		     { "PK\3\4", 4, "zip" },
		     { "LUKS\xba\xbe", 6, "LUKS" },
		     { "COWD", 4, "VMDK" } };
	enum image_format format;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct image_ends ends = ends_of(rows[i].head, rows[i].len, "");

		assert_int_equal(image_format_probe(&ends, &format, &e), -EOPNOTSUPP);
		assert_string_equal(e.code, "image-format");
		assert_non_null(strstr(e.text, rows[i].what));
		assert_true(e.hint[0] != '\0');
		/* The operator's word goes before. */
		assert_int_equal(image_format_check(&ends, IMAGE_RAW, &e), 0);
	}
}

static void put_be32(uint8_t *p, uint32_t v)
{
	put_le32(p, __builtin_bswap32(v));
}

static struct image_ends qcow2(uint32_t version)
{
	struct image_ends ends = ends_of("QFI\xfb", 4, "");

	put_be32(ends.head + 4, version);
	put_be32(ends.head + 28, 0x40000000); /* the size's lower half: 1 GiB */
	return ends;
}

static void a_qcow2_names_no_other_file(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
		const char *code; /* of version 3 */
		bool is_new; /* version 2 has no such field */
	} rows[] = {
		{ 8, 1, "image-names-files", false },
		{ 12, 0x100, "image-names-files", false },
		{ 32, 1, "image-encrypted", false },
		{ 32, 2, "image-encrypted", false },
		{ 76, 1 << 2, "image-names-files", true },
	};
	struct err e = { 0 };

	for (uint32_t version = 2; version <= 3; version++) {
		struct image_ends ends = qcow2(version);

		assert_int_equal(image_format_check(&ends, IMAGE_QCOW2, &e), 0);
		assert_int_equal(image_virtual_bytes(&ends, IMAGE_QCOW2), GIB(1));
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			ends = qcow2(version);
			put_be32(ends.head + rows[i].at, rows[i].value);
			if (rows[i].is_new && version == 2) {
				assert_int_equal(image_format_check(&ends, IMAGE_QCOW2, &e), 0);
				continue;
			}
			assert_true(image_format_check(&ends, IMAGE_QCOW2, &e) < 0);
			assert_string_equal(e.code, rows[i].code);
		}
	}
	for (uint32_t version = 0; version <= 9; version++) {
		struct image_ends ends = qcow2(version);

		assert_int_equal(image_format_check(&ends, IMAGE_QCOW2, &e) == 0,
				 version == 2 || version == 3);
	}
}

static void a_vmdk_is_one_file(void **state)
{
	struct image_ends ends = ends_of("KDMV", 4, "");
	struct err e = { 0 };

	/* Its descriptor says where the disk is: anywhere. */
	assert_true(image_format_check(&ends, IMAGE_VMDK, &e) < 0);
	assert_string_equal(e.code, "image-names-files");
	put_le64(ends.head + 12, 0x20000);
	assert_int_equal(image_format_check(&ends, IMAGE_VMDK, &e), 0);
	assert_int_equal(image_virtual_bytes(&ends, IMAGE_VMDK), MIB(64));
	put_le64(ends.head + 12, UINT64_MAX);
	assert_int_equal(image_virtual_bytes(&ends, IMAGE_VMDK), 0);
	ends = ends_of("# Disk DescriptorFile", 21, "");
	assert_true(image_format_check(&ends, IMAGE_VMDK, &e) < 0);
	assert_string_equal(e.code, "image-names-files");
}

static void what_is_cut_short_is_said(void **state)
{
	struct image_ends two = qcow2(2), three = qcow2(3);
	struct err e = { 0 };

	for (size_t bytes = 4; bytes < 120; bytes++) {
		two.head_bytes = three.head_bytes = bytes;
		two.tail_bytes = three.tail_bytes = bytes;
		assert_int_equal(image_format_check(&two, IMAGE_QCOW2, &e) == 0, bytes >= 72);
		assert_int_equal(image_format_check(&three, IMAGE_QCOW2, &e) == 0, bytes >= 104);
	}
}

static void the_operators_word_must_fit(void **state)
{
	struct image_ends ends = qcow2(3);
	struct err e = { 0 };

	for (unsigned int f = 0; f < IMAGE_FORMATS; f++) {
		enum image_format again;

		assert_int_equal(image_format_check(&ends, f, &e) == 0,
				 f == IMAGE_RAW || f == IMAGE_QCOW2);
		assert_int_equal(image_format_parse(image_format_word(f), &again), 0);
		assert_int_equal(again, f);
	}
	assert_true(image_format_check(&ends, IMAGE_VDI, &e) < 0);
	assert_string_equal(e.code, "image-format");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_format_is_known_by_its_magic),
		cmocka_unit_test(archives_and_old_formats_are_named),
		cmocka_unit_test(a_qcow2_names_no_other_file),
		cmocka_unit_test(a_vmdk_is_one_file),
		cmocka_unit_test(what_is_cut_short_is_said),
		cmocka_unit_test(the_operators_word_must_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
