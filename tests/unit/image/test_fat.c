// SPDX-License-Identifier: BSD-3-Clause
/* What other programs make of it is a component test's affair: mtools, blkid, fsck and cloud-init itself. */
#include "image/fat.h"
#include "image/seed.h"

#include "base/fd.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static uint8_t *image_new(void)
{
	uint8_t *image = calloc(1, FAT_BYTES);

	assert_non_null(image);
	return image;
}

static void a_boot_sector_says_what_follows(void **state)
{
	static const struct fat_file files[] = { { "user-data", "x", 1 } };
	const struct fat_volume volume = { "cidata", files, 1 };
	auto_free uint8_t *image = image_new();
	size_t used;

	assert_int_equal(fat_make(&volume, image, &used, NULL), 0);
	assert_int_equal(get_le16(image + 11), 512);
	assert_int_equal(get_le16(image + 19) * 512U, FAT_BYTES);
	assert_int_equal(get_le16(image + 510), 0xaa55);
	assert_memory_equal(image + 43, "cidata     FAT12   ", 19);
	/* Media, end of chain, and the one cluster of the file. */
	assert_memory_equal(image + 512, "\xf8\xff\xff\xff\x0f", 5);
	assert_memory_equal(image + 512, image + 7 * 512, 6 * 512);
	assert_true(used < FAT_BYTES && image[used - 2048] == 'x');
}

static void what_does_not_fit_is_refused(void **state)
{
	static const uint8_t data[FAT_BYTES];
	struct fat_file files[FAT_FILES + 1];
	struct fat_volume volume = { "cidata", files, 1 };
	auto_free uint8_t *image = image_new();
	struct err e = { 0 };
	size_t used;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		files[i] = (struct fat_file){ "name", data, MIB(1) };
	volume.count = 3;
	assert_int_equal(fat_make(&volume, image, &used, &e), 0);
	volume.count = 4;
	assert_int_equal(fat_make(&volume, image, &used, &e), -EFBIG);
	volume.count = FAT_FILES + 1;
	assert_int_equal(fat_make(&volume, image, &used, &e), -EFBIG);
	volume.count = 1;
	files[0].len = FAT_BYTES;
	assert_int_equal(fat_make(&volume, image, &used, &e), -EFBIG);
	files[0] = (struct fat_file){ "a-name-of-twenty-seven-char", data, 1 };
	assert_int_equal(fat_make(&volume, image, &used, &e), -EFBIG);
}

static void a_seed_of_the_largest_files_fits(void **state)
{
	static const char big[SEED_FILE_MAX];
	struct seed seed = { { big, sizeof(big) }, { big, sizeof(big) }, { big, sizeof(big) } };
	auto_fd int fd = memfd_create("seed", MFD_CLOEXEC);
	struct stat st;

	assert_int_equal(seed_write(fd, &seed, NULL), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, FAT_BYTES);
}

static void a_small_seed_is_mostly_a_hole(void **state)
{
	struct seed seed = { .meta_data = { "instance-id: x\n", 15 } };
	auto_fd int fd = memfd_create("seed", MFD_CLOEXEC);
	struct stat st;

	assert_int_equal(seed_write(fd, &seed, NULL), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, FAT_BYTES);
	assert_true(st.st_blocks * 512 <= 32768);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_boot_sector_says_what_follows),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(a_seed_of_the_largest_files_fits),
		cmocka_unit_test(a_small_seed_is_mostly_a_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
