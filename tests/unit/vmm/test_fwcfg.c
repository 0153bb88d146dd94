// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/firmware_kernel.h"
#include "vmm/fwcfg.h"

#include "base/fd.h"

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define REQUEST 0x1000ULL /* where the guest keeps its DMA request */
#define BUFFER	0x100000ULL
#define RAM	MIB(64)

struct fixture {
	pthread_mutex_t lock;
	struct bus pio;
	struct gmem gm;
	struct fwcfg *fw;
	unsigned int refreshed;
};

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	pthread_mutex_init(&f.lock, NULL);
	assert_int_equal(bus_init(&f.pio, &f.lock), 0);
	assert_int_equal(gmem_create(&f.gm, RAM, 0, 0, NULL), 0);
	assert_int_equal(fwcfg_create(&f.gm, &f.pio, &f.fw, NULL), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fwcfg_destroy(f->fw);
	gmem_destroy(&f->gm);
	bus_fini(&f->pio);
	pthread_mutex_destroy(&f->lock);
	return 0;
}

static void out(struct fixture *f, uint16_t port, unsigned int len, uint32_t value)
{
	bus_write(&f->pio, 0, port, &value, len);
}

static uint32_t in(struct fixture *f, uint16_t port, unsigned int len)
{
	uint32_t value = 0;

	bus_read(&f->pio, 0, port, &value, len);
	return value;
}

/* Byte by byte, as early firmware does. */
static void item_bytes(struct fixture *f, uint16_t key, void *buf, size_t len)
{
	out(f, FWCFG_PORT, 2, key);
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)in(f, FWCFG_PORT + 1, 1);
}

/* One DMA request; what the guest then finds as its control word. */
static uint32_t dma(struct fixture *f, uint32_t control, uint32_t len, uint64_t addr)
{
	uint32_t words[2] = { htobe32(control), htobe32(len) };
	uint64_t target = htobe64(addr);
	uint32_t answer;

	assert_int_equal(gmem_write(&f->gm, REQUEST, words, 8), 0);
	assert_int_equal(gmem_write(&f->gm, REQUEST + 8, &target, 8), 0);
	out(f, FWCFG_PORT + 4, 4, 0);
	out(f, FWCFG_PORT + 8, 4, htobe32((uint32_t)REQUEST));
	assert_int_equal(gmem_read(&f->gm, REQUEST, &answer, 4), 0);
	return be32toh(answer);
}

static uint32_t select_key(uint16_t key, uint32_t what)
{
	return (uint32_t)key << 16 | FWCFG_DMA_SELECT | what;
}

static void the_device_is_found(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[6];

	item_bytes(f, FWCFG_SIGNATURE, bytes, 6);
	assert_memory_equal(bytes, "QEMU\0\0", 6); /* zeros behind the end */
	item_bytes(f, FWCFG_ID, bytes, 4);
	assert_int_equal(get_le32(bytes), 3);
	assert_int_equal(in(f, FWCFG_PORT + 4, 4), get_le32("QEMU"));
	assert_int_equal(in(f, FWCFG_PORT + 8, 4), get_le32(" CFG"));
	/* Accesses that the device does not have. */
	assert_int_equal(in(f, FWCFG_PORT, 2), 0xFFFF);
	assert_int_equal(in(f, FWCFG_PORT + 1, 2), 0xFFFF);
	item_bytes(f, 0x7777, bytes, 2);
	assert_int_equal(get_le16(bytes), 0);
}

static void files_are_in_the_directory(void **state)
{
	struct fixture *f = *state;
	uint8_t dir[4 + 2 * 64], bytes[5];

	assert_int_equal(fwcfg_add_bytes(f->fw, 0, "etc/one", "first", 5), 0);
	assert_int_equal(fwcfg_add_bytes(f->fw, 0, "opt/a-name", "second!", 7), 0);
	assert_int_equal(fwcfg_add_le(f->fw, FWCFG_CPUS, 2, 3), 0);
	item_bytes(f, FWCFG_DIRECTORY, dir, sizeof(dir));
	assert_memory_equal(dir, "\0\0\0\2", 4);
	assert_memory_equal(dir + 4, "\0\0\0\5\0\x20\0\0etc/one\0", 16);
	assert_memory_equal(dir + 68, "\0\0\0\7\0\x21\0\0opt/a-name\0", 19);
	item_bytes(f, FWCFG_FILE_FIRST, bytes, 5);
	assert_memory_equal(bytes, "first", 5);
	item_bytes(f, FWCFG_CPUS, bytes, 2);
	assert_int_equal(get_le16(bytes), 3);
}

static void items_come_by_dma(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[16];

	assert_int_equal(fwcfg_add_bytes(f->fw, 0, "x", "0123456789", 10), 0);
	assert_int_equal(dma(f, select_key(FWCFG_FILE_FIRST, FWCFG_DMA_READ), 4, BUFFER), 0);
	assert_int_equal(dma(f, FWCFG_DMA_SKIP, 2, 0), 0);
	assert_int_equal(dma(f, FWCFG_DMA_READ, 12, BUFFER + 4), 0);
	assert_int_equal(gmem_read(&f->gm, BUFFER, bytes, 16), 0);
	assert_memory_equal(bytes, "01236789\0\0\0\0\0\0\0\0", 16);
	/* Port and DMA share the place. */
	out(f, FWCFG_PORT, 2, FWCFG_FILE_FIRST);
	assert_int_equal(dma(f, FWCFG_DMA_SKIP, 3, 0), 0);
	assert_int_equal(in(f, FWCFG_PORT + 1, 1), '3');
	assert_int_equal(dma(f, FWCFG_DMA_SKIP, UINT32_MAX, 0), 0);
	assert_int_equal(in(f, FWCFG_PORT + 1, 1), 0);
}

static void bad_requests_are_errors(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fwcfg_add_bytes(f->fw, 0, "x", "0123456789", 10), 0);
	/* No RAM, or not all of it; longer than the item by more than a page; writing. */
	assert_int_equal(dma(f, select_key(FWCFG_FILE_FIRST, FWCFG_DMA_READ), 4, RAM), 1);
	assert_int_equal(dma(f, select_key(FWCFG_FILE_FIRST, FWCFG_DMA_READ), 4, RAM - 3), 1);
	assert_int_equal(dma(f, select_key(FWCFG_FILE_FIRST, FWCFG_DMA_READ), 4, UINT64_MAX - 1),
			 1);
	assert_int_equal(dma(f, select_key(FWCFG_FILE_FIRST, FWCFG_DMA_READ), 10 + FWCFG_SLACK + 1,
			     BUFFER),
			 1);
	assert_int_equal(dma(f, select_key(FWCFG_FILE_FIRST, FWCFG_DMA_READ), UINT32_MAX, BUFFER),
			 1);
	assert_int_equal(dma(f, select_key(FWCFG_FILE_FIRST, FWCFG_DMA_WRITE), 4, BUFFER), 1);
	assert_int_equal(dma(f, select_key(0x7777, FWCFG_DMA_READ), 4, BUFFER), 0);
	/* A request that is not in RAM: nobody can be told. */
	out(f, FWCFG_PORT + 4, 4, 0xFFFFFFFF);
	out(f, FWCFG_PORT + 8, 4, 0xF0FFFFFF);
}

static void a_reset_forgets_the_place(void **state)
{
	struct fixture *f = *state;

	out(f, FWCFG_PORT, 2, FWCFG_SIGNATURE);
	out(f, FWCFG_PORT + 4, 4, 0xFFFFFFFF);
	fwcfg_reset(f->fw);
	assert_int_equal(in(f, FWCFG_PORT + 1, 1), 0);
	/* The upper half of an address is gone, too. */
	assert_int_equal(dma(f, select_key(FWCFG_SIGNATURE, FWCFG_DMA_READ), 4, BUFFER), 0);
}

static void refresh(void *arg)
{
	((struct fixture *)arg)->refreshed++;
}

static void an_item_is_made_when_it_is_asked_for(void **state)
{
	struct fixture *f = *state;
	struct fwcfg_item item = { .name = "late",
				   .size = 1,
				   .data = (const uint8_t *)"L",
				   .refresh = refresh,
				   .arg = f };

	assert_int_equal(fwcfg_add(f->fw, &item), 0);
	assert_int_equal(f->refreshed, 0);
	out(f, FWCFG_PORT, 2, FWCFG_FILE_FIRST);
	assert_int_equal(f->refreshed, 1);
	assert_int_equal(in(f, FWCFG_PORT + 1, 1), 'L');
	assert_int_equal(f->refreshed, 1);
}

static void there_is_an_end_of_items(void **state)
{
	struct fixture *f = *state;
	unsigned int n = 0;

	while (fwcfg_add_bytes(f->fw, 0, "n", "x", 1) == 0)
		n++;
	assert_int_equal(n, FWCFG_ITEMS_MAX - 3);
	assert_int_equal(fwcfg_add_le(f->fw, 1, 4, 0), -ENOSPC);
}

/* --- a kernel -------------------------------------------------------------------------------- */

static int file_make(const uint8_t *data, size_t len)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	assert_int_equal(pwrite(fd, data, len, 0), (ssize_t)len);
	return fd;
}

/* Three sectors of set-up, then what differs byte by byte. */
static int kernel_make(size_t len)
{
	static uint8_t image[100000];

	for (size_t i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)(i / 512 + i);
	memcpy(image, "MZ", 2);
	image[0x1F1] = 2;
	memcpy(image + 0x202, "HdrS", 4);
	put_le16(image + 0x236, 0x0F);
	return file_make(image, len);
}

static uint32_t number(struct fixture *f, uint16_t key)
{
	uint8_t bytes[4];

	item_bytes(f, key, bytes, 4);
	return get_le32(bytes);
}

static void a_kernel_is_two_items_of_one_file(void **state)
{
	struct fixture *f = *state;
	struct vmm_spec spec = { .kernel_fd = kernel_make(100000),
				 .initrd_fd = file_make((const uint8_t *)"initrd", 6),
				 .cmdline = "quiet x=1" };
	static uint8_t found[100000], want[100000];
	char line[16];

	assert_int_equal(firmware_kernel_add(f->fw, &spec, NULL), 0);
	assert_int_equal(number(f, FWCFG_SETUP_SIZE), 1536);
	assert_int_equal(number(f, FWCFG_KERNEL_SIZE), 100000 - 1536);
	assert_int_equal(number(f, FWCFG_INITRD_SIZE), 6);
	assert_int_equal(number(f, FWCFG_CMDLINE_SIZE), 10);
	assert_int_equal(dma(f, select_key(FWCFG_SETUP, FWCFG_DMA_READ), 1536, BUFFER), 0);
	assert_int_equal(
		dma(f, select_key(FWCFG_KERNEL, FWCFG_DMA_READ), 100000 - 1536, BUFFER + 1536), 0);
	assert_int_equal(gmem_read(&f->gm, BUFFER, found, sizeof(found)), 0);
	assert_int_equal(pread(spec.kernel_fd, want, sizeof(want), 0), sizeof(want));
	assert_memory_equal(found, want, sizeof(want));
	item_bytes(f, FWCFG_CMDLINE, line, 10);
	assert_string_equal(line, "quiet x=1");
	/* What somebody cuts off meanwhile is zeros. */
	assert_int_equal(ftruncate(spec.kernel_fd, 2000), 0);
	assert_int_equal(dma(f, select_key(FWCFG_KERNEL, FWCFG_DMA_READ), 1000, BUFFER), 0);
	assert_int_equal(gmem_read(&f->gm, BUFFER, found, 1000), 0);
	assert_memory_equal(found, want + 1536, 2000 - 1536);
	for (unsigned int i = 2000 - 1536; i < 1000; i++)
		assert_int_equal(found[i], 0);
	fd_close(&spec.kernel_fd);
	fd_close(&spec.initrd_fd);
}

static void kernels_that_firmware_cannot_start(void **state)
{
	static const uint8_t elf[1024] = "\177ELF";
	struct fixture *f = *state;
	struct vmm_spec spec = { .kernel_fd = file_make(elf, sizeof(elf)), .initrd_fd = -1 };
	struct err e = { 0 };

	assert_int_equal(firmware_kernel_add(f->fw, &spec, &e), -ENOEXEC);
	assert_string_equal(e.code, "kernel-no-efi");
	fd_close(&spec.kernel_fd);
	spec.kernel_fd = kernel_make(1536);
	assert_int_equal(firmware_kernel_add(f->fw, &spec, &e), -ENOEXEC);
	assert_non_null(strstr(e.text, "truncated"));
	fd_close(&spec.kernel_fd);
	spec.kernel_fd = kernel_make(100);
	assert_int_equal(firmware_kernel_add(f->fw, &spec, &e), -ENOEXEC);
	fd_close(&spec.kernel_fd);
	spec.kernel_fd = file_make(elf, 0);
	assert_int_equal(firmware_kernel_add(f->fw, &spec, &e), -EFBIG);
	fd_close(&spec.kernel_fd);
	assert_int_equal(firmware_kernel_add(f->fw, &spec, &e), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(the_device_is_found),
		CASE(files_are_in_the_directory),
		CASE(items_come_by_dma),
		CASE(bad_requests_are_errors),
		CASE(a_reset_forgets_the_place),
		CASE(an_item_is_made_when_it_is_asked_for),
		CASE(there_is_an_end_of_items),
		CASE(a_kernel_is_two_items_of_one_file),
		CASE(kernels_that_firmware_cannot_start),
	};

	return cmocka_run_group_tests_name("vmm-fwcfg", tests, NULL, NULL);
}
