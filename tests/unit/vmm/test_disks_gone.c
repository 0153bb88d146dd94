// SPDX-License-Identifier: BSD-3-Clause
/*
 * A disk whose back end has died, or was refused, while locks on its image say whose I/O has not ended (tests/fake/net_board.h):
 * when the guest's memory is the guest's again, and when a successor gets the rings.
 */
#include "tests/fake/net_look.h"

#include "base/fd.h"
#include "base/log.h"
#include "pmd-backends/pmd_msg.h"
#include "vmm/virtio_blk.h"

#include <fcntl.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define QUICK_MS 4

static struct net_board board;

static void connect_and_look(struct net_board *b)
{
	fake_backend_connect(b);
	net_board_step(b, QUICK_MS);
}

static void drive(struct net_board *b)
{
	net_board_step(b, QUICK_MS);
	assert_true(net_driver_start(b, UINT64_MAX));
	net_board_step(b, QUICK_MS);
	assert_true(b->backend.enabled[0]);
}

/* From a process of its own, which is gone then: its pid. */
static pid_t connect_from_another(struct net_board *b)
{
	struct fake_backend *k = &b->backend;
	int status = 1;
	pid_t pid;

	k->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid = fork();
	if (pid == 0)
		_exit(connect(k->sock, (struct sockaddr *)&b->address, b->address_len) != 0);
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	assert_int_equal(status, 0);
	return pid;
}

static void image_lock(int fd, short type, off_t at)
{
	const struct flock lock = { .l_type = type, .l_start = at, .l_len = 1 };

	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
}

/* As each viaduct-pmd has an image that is only read. */
static int image_open(const char *path, pid_t pid)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	image_lock(fd, F_RDLCK, PMD_LOCK_BUSY);
	image_lock(fd, F_RDLCK, PMD_LOCK_PROCESS + pid);
	return fd;
}

/* An image that others read, too; the back end that has the rings is another process. Its description of the image. */
static int start_reader(struct net_board *b, int image, char path[64])
{
	pid_t pid;

	snprintf(path, 64, "/proc/self/fd/%d", image);
	disk_board_init_image(b, &(struct vmm_disk_spec){ .queues = 2 }, image);
	pid = connect_from_another(b);
	drive(b);
	return image_open(path, pid);
}

static void reset_ask(struct net_board *b)
{
	net_write(b, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	net_board_step(b, 60);
}

static bool is_reset(struct net_board *b)
{
	return net_read(b, VIRTIO_PCI_COMMON_STATUS, 1) == 0;
}

/* What it left to the kernel when it died still lands in the guest's memory: its lock on the image says so, whoever else has
 * the image, and whoever connects. */
static void a_dead_backends_io_is_waited_for(void **state)
{
	auto_fd int image = memfd_create("image", MFD_CLOEXEC);
	struct net_board *b = &board;
	char path[64];

	for (int comes = 0; comes < 2; comes++) {
		auto_fd int theirs = start_reader(b, image, path);
		auto_fd int ours = image_open(path, getpid());

		fake_backend_close(b);
		net_board_step(b, QUICK_MS);
		reset_ask(b);
		assert_false(is_reset(b));
		assert_false(disks_pause(b->disks, true));
		if (comes) {
			connect_and_look(b);
			expect_word(b, "backend", "connected");
			net_board_step(b, 60);
			assert_false(is_reset(b));
			assert_false(disks_pause(b->disks, true));
		}
		fd_close(&theirs);
		net_board_step(b, 60);
		assert_true(is_reset(b));
		assert_true(disks_pause(b->disks, true));
		net_board_fini(b);
		fake_kvm_reset();
	}
}

static void a_successor_has_the_rings_when_that_has_ended(void **state)
{
	auto_fd int image = memfd_create("image", MFD_CLOEXEC);
	struct net_board *b = &board;
	char path[64];
	auto_fd int theirs = start_reader(b, image, path);
	auto_fd int ours = image_open(path, getpid());

	fake_backend_close(b);
	connect_and_look(b);
	net_board_step(b, 60);
	expect_word(b, "backend", "connected");
	assert_false(b->backend.enabled[0]);
	fd_close(&theirs);
	net_board_step(b, 60);
	assert_true(b->backend.enabled[0] && b->backend.enabled[1]);
	net_board_fini(b);
	fake_kvm_reset();
}

/* One that lives and is not taken has the image's lock for good: nobody waits for that. */
static void a_successor_that_is_refused_holds_no_reset_up(void **state)
{
	auto_fd int image = memfd_create("image", MFD_CLOEXEC);
	struct net_board *b = &board;
	char path[64];
	auto_fd int theirs = start_reader(b, image, path);
	auto_fd int ours = image_open(path, getpid());

	fake_backend_close(b);
	fd_close(&theirs);
	fake_disk_config(&b->backend)->capacity--;
	connect_and_look(b);
	expect_word(b, "error", "fewer than");
	reset_ask(b);
	assert_true(is_reset(b));
	net_board_fini(b);
	fake_kvm_reset();
}

/* The same process, whose lock stays: it has waited for its own I/O. */
static void a_backend_that_comes_back_and_is_refused_holds_no_reset_up(void **state)
{
	auto_fd int image = memfd_create("image", MFD_CLOEXEC);
	struct net_board *b = &board;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", image);
	disk_board_init_image(b, &(struct vmm_disk_spec){ .queues = 2 }, image);
	connect_and_look(b);
	drive(b);
	{
		auto_fd int ours = image_open(path, getpid());

		fake_backend_close(b);
		net_board_step(b, QUICK_MS);
		reset_ask(b);
		assert_false(is_reset(b));
		fake_disk_config(&b->backend)->capacity--;
		connect_and_look(b);
		expect_word(b, "error", "fewer than");
		assert_true(is_reset(b));
	}
	net_board_fini(b);
	fake_kvm_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dead_backends_io_is_waited_for),
		cmocka_unit_test(a_successor_has_the_rings_when_that_has_ended),
		cmocka_unit_test(a_successor_that_is_refused_holds_no_reset_up),
		cmocka_unit_test(a_backend_that_comes_back_and_is_refused_holds_no_reset_up),
	};

	log_init("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("vmm-disks-gone", tests, NULL, NULL);
}
