// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/flash.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SIZE (4 * FLASH_BLOCK)

struct fixture {
	uint8_t image[SIZE];
	struct flash flash;
	bool slot; /* the guest reads the image without us */
	unsigned int moves, settled;
};

static void show(void *arg, bool array)
{
	struct fixture *f = arg;

	assert_int_not_equal(f->slot, array);
	f->slot = array;
	f->moves++;
}

static void settled(void *arg)
{
	((struct fixture *)arg)->settled++;
}

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	for (unsigned int i = 0; i < SIZE; i++)
		f.image[i] = (uint8_t)(i / FLASH_BLOCK + 1);
	assert_int_equal(flash_init(&f.flash, f.image, SIZE), 0);
	f.flash.show = show;
	f.flash.settled = settled;
	f.flash.arg = &f;
	f.slot = true;
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	flash_fini(&f->flash);
	return 0;
}

static void put(struct fixture *f, uint64_t off, uint8_t value)
{
	flash_ops.write(&f->flash, off, 1, value);
}

/* As the guest sees it. */
static uint8_t get(struct fixture *f, uint64_t off)
{
	return f->slot ? f->image[off] : (uint8_t)flash_ops.read(&f->flash, off, 1);
}

/* What OVMF does to find out that this is flash and no RAM, no ROM and not write-protected. */
static void ovmf_finds_flash(void **state)
{
	struct fixture *f = *state;
	uint8_t before = get(f, 0x10);

	put(f, 0x10, FLASH_CLEAR_STATUS);
	assert_int_equal(get(f, 0x10), before);
	put(f, 0x10, FLASH_READ_STATUS);
	assert_int_equal(get(f, 0x10), 0);
	put(f, 0x10, FLASH_PROGRAM_ALT);
	put(f, 0x10, before);
	put(f, 0x10, FLASH_READ_STATUS);
	assert_int_equal(get(f, 0x10), FLASH_STATUS_READY);
	put(f, 0x10, FLASH_READ_ARRAY);
	assert_int_equal(get(f, 0x10), before);
	assert_true(f->slot);
}

/* A byte costs two exits and no change of the slot; the end of a write is told once. */
static void bytes_are_programmed(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 64; i++) {
		put(f, FLASH_BLOCK + i, i % 2 != 0 ? FLASH_PROGRAM : FLASH_PROGRAM_ALT);
		put(f, FLASH_BLOCK + i, (uint8_t)(0x80 + i));
	}
	assert_int_equal(f->settled, 0);
	put(f, FLASH_BLOCK, FLASH_READ_ARRAY);
	put(f, FLASH_BLOCK, FLASH_READ_ARRAY);
	assert_int_equal(f->settled, 1);
	assert_int_equal(f->moves, 0);
	for (unsigned int i = 0; i < 64; i++)
		assert_int_equal(get(f, FLASH_BLOCK + i), 0x80 + i);
	assert_int_equal(get(f, FLASH_BLOCK + 64), 2);
}

static void a_block_is_erased(void **state)
{
	struct fixture *f = *state;

	put(f, FLASH_BLOCK + 77, FLASH_ERASE);
	put(f, FLASH_BLOCK + 77, FLASH_ERASE_CONFIRM);
	assert_int_equal(get(f, 0), FLASH_STATUS_READY);
	put(f, 0, FLASH_READ_ARRAY);
	assert_int_equal(get(f, FLASH_BLOCK - 1), 1);
	for (unsigned int i = 0; i < FLASH_BLOCK; i++)
		assert_int_equal(get(f, FLASH_BLOCK + i), 0xFF);
	assert_int_equal(get(f, 2 * FLASH_BLOCK), 3);
	assert_int_equal(f->settled, 1);

	/* Without the second word nothing is erased, and the chip can be read. */
	put(f, 0, FLASH_ERASE);
	put(f, 0, FLASH_PROGRAM);
	assert_true(f->slot);
	assert_int_equal(get(f, 0), 1);
	/* And that word was no command of its own. */
	put(f, 0, 0x00);
	assert_int_equal(get(f, 0), 1);
}

static void every_other_byte_is_read_array(void **state)
{
	struct fixture *f = *state;

	for (unsigned int value = 0; value < 256; value++) {
		if (value == FLASH_PROGRAM || value == FLASH_PROGRAM_ALT || value == FLASH_ERASE ||
		    value == FLASH_READ_STATUS)
			continue;
		put(f, 5, FLASH_READ_STATUS);
		assert_false(f->slot);
		put(f, 5, (uint8_t)value);
		assert_true(f->slot);
	}
	assert_int_equal(f->settled, 0);
}

/* One byte wide: what a wider access does is what the bytes would do. */
static void wide_accesses_are_bytes(void **state)
{
	struct fixture *f = *state;

	flash_ops.write(&f->flash, 8, 4,
			0xFF2540FFU); /* read array, program 0x25 at 10, read array */
	assert_int_equal(get(f, 10), 0x25);
	assert_int_equal(f->settled, 1);
	put(f, 0, FLASH_READ_STATUS);
	assert_int_equal(flash_ops.read(&f->flash, 0, 8) & 0xFFFF, 0x8080);
}

static void a_reset_keeps_contents_and_forgets_the_command(void **state)
{
	struct fixture *f = *state;

	put(f, 3, FLASH_PROGRAM);
	put(f, 3, 0x77);
	put(f, 3, FLASH_READ_STATUS);
	put(f, 4, FLASH_PROGRAM);
	flash_reset(&f->flash);
	assert_true(f->slot);
	assert_int_equal(get(f, 3), 0x77);
	assert_int_equal(f->settled, 1);
	put(f, 4, FLASH_READ_STATUS);
	assert_int_equal(get(f, 4), 0);
	assert_int_equal(f->image[4], 1);
}

static void changes_are_taken_once(void **state)
{
	struct fixture *f = *state;
	uint8_t out[SIZE], again[2] = { 2, 0 };
	uint16_t blocks[FLASH_BLOCKS];

	assert_false(flash_is_changed(&f->flash));
	put(f, 3 * FLASH_BLOCK + 1, FLASH_PROGRAM);
	put(f, 3 * FLASH_BLOCK + 1, 0x31);
	put(f, 1, FLASH_PROGRAM);
	put(f, 1, 0x32);
	assert_true(flash_is_changed(&f->flash));
	assert_int_equal(flash_changes_take(&f->flash, out, blocks), 2);
	assert_int_equal(blocks[0], 0);
	assert_int_equal(blocks[1], 3);
	assert_int_equal(out[1], 0x32);
	assert_int_equal(out[FLASH_BLOCK + 1], 0x31);
	assert_int_equal(flash_changes_take(&f->flash, out, blocks), 0);
	flash_changes_add(&f->flash, again, 1);
	assert_int_equal(flash_changes_take(&f->flash, out, blocks), 1);
	assert_int_equal(blocks[0], 2);
}

static void sizes(void **state)
{
	struct flash flash;
	uint8_t image[1];

	assert_int_equal(flash_init(&flash, image, 0), -EINVAL);
	assert_int_equal(flash_init(&flash, image, FLASH_BLOCK + 1), -EINVAL);
	assert_int_equal(flash_init(&flash, image, (FLASH_BLOCKS + 1) * FLASH_BLOCK), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ovmf_finds_flash, setup, teardown),
		cmocka_unit_test_setup_teardown(bytes_are_programmed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_block_is_erased, setup, teardown),
		cmocka_unit_test_setup_teardown(every_other_byte_is_read_array, setup, teardown),
		cmocka_unit_test_setup_teardown(wide_accesses_are_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reset_keeps_contents_and_forgets_the_command,
						setup, teardown),
		cmocka_unit_test_setup_teardown(changes_are_taken_once, setup, teardown),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests_name("vmm-flash", tests, NULL, NULL);
}
