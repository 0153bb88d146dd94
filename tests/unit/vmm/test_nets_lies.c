// SPDX-License-Identifier: BSD-3-Clause
/*
 * A vhost-user back end that lies in one answer, for each message and each lie, that turns what it was given against the
 * VMM, or that says nothing: it costs its port, nothing else.
 */
#include "tests/fake/kvm_kernel.h"
#include "tests/fake/net_board.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"

#include <fcntl.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define ALL	 UINT64_MAX
#define QUICK_MS 4

static struct net_board board;

static const uint32_t questions[] = {
	VHOST_USER_GET_FEATURES,   VHOST_USER_GET_PROTOCOL_FEATURES, VHOST_USER_GET_QUEUE_NUM,
	VHOST_USER_SET_OWNER,	   VHOST_USER_SET_MEM_TABLE,	     VHOST_USER_SET_FEATURES,
	VHOST_USER_NET_SET_MTU,	   VHOST_USER_SET_VRING_NUM,	     VHOST_USER_SET_VRING_BASE,
	VHOST_USER_SET_VRING_ADDR, VHOST_USER_GET_INFLIGHT_FD,	     VHOST_USER_SET_INFLIGHT_FD,
	VHOST_USER_SET_VRING_CALL, VHOST_USER_SET_VRING_KICK,	     VHOST_USER_SET_VRING_ENABLE,
	VHOST_USER_GET_VRING_BASE,
};

/* From a connection to a reset, with one answer a lie. */
static void lie_try(uint32_t at, enum fake_lie lie)
{
	struct net_board *b = &board;

	net_board_init(b, &(struct vmm_net_spec){ .grace_ms = 0 });
	b->backend.lie = lie;
	b->backend.lie_at = at;
	assert_true(net_driver_start(b, ALL));
	fake_backend_connect(b);
	net_board_step(b, QUICK_MS);
	if (at == VHOST_USER_GET_VRING_BASE)
		assert_true(net_driver_reset(b)); /* whatever its answer is */
	net_board_step(b, QUICK_MS);
	if (b->backend.messages[at] == 0)
		fail_msg("%s was never said", vhost_user_request_name(at));
	{
		auto_json json_t *s = net_board_status(b);
		const char *error = json_string_value(json_object_get(s, "error"));

		if (error[0] == '\0' || json_is_true(json_object_get(s, "link")))
			fail_msg("%s: lie %u is taken", vhost_user_request_name(at), lie);
	}
	net_board_fini(b);
	fake_kvm_reset();
}

static void every_lie_costs_the_port_its_backend(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++)
		for (enum fake_lie lie = LIE_REQUEST; lie < LIE_SILENT; lie++)
			lie_try(questions[i], lie);
}

/* From now on any read or write of it in the usual way waits for ever. */
static void fd_poison(int fd, bool is_full)
{
	const uint64_t full = UINT64_MAX - 1;
	int flags = fcntl(fd, F_GETFL);

	fd_event_drain(fd);
	if (is_full)
		assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
	assert_true(flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0);
}

static void backend_poison(struct fake_backend *k, bool is_full)
{
	for (unsigned int i = 0; i < 8; i++) {
		fd_poison(k->kick[i], is_full);
		fd_poison(k->call[i], is_full);
	}
}

/* A doorbell past KVM: through the window of configuration space. */
static void doorbell_by_window(struct net_board *b, unsigned int queue)
{
	net_cfg_write(b, 0x98 + 4, 1, 0);
	net_cfg_write(b, 0x98 + 8, 4, NET_DOORBELL + 4 * queue);
	net_cfg_write(b, 0x98 + 12, 4, 2);
	net_cfg_write(b, 0x98 + 16, 2, queue);
}

static bool is_signalled(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) && count == 1;
}

/* A back end shares the eventfds of its rings with the VMM, and with them whether they block. */
static void poisoned_eventfds_block_nobody(void **state)
{
	static const uint8_t on[] = { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1 };
	struct net_board *b = &board;
	uint64_t begin;

	alarm(60);
	net_board_init(b, &(struct vmm_net_spec){ .pairs = 4, .grace_ms = 300 });
	for (int is_full = 0; is_full < 2; is_full++) {
		fake_backend_connect(b);
		assert_true(net_driver_start(b, ALL));
		net_board_step(b, QUICK_MS);
		assert_true(b->backend.enabled[0] && is_signalled(b->backend.kick[0]));
		begin = now_ns();
		backend_poison(&b->backend, is_full);

		/* Masks, and a kick that KVM does not see: the back end gets it with new eventfds. */
		net_write(b, NET_TABLE + 16 * 1 + 12, 4, 1);
		net_write(b, NET_TABLE + 16 * 1 + 12, 4, 0);
		b->backend.messages[VHOST_USER_SET_VRING_KICK] = 0;
		doorbell_by_window(b, 1);
		net_board_step(b, QUICK_MS);
		assert_int_equal(b->backend.messages[VHOST_USER_SET_VRING_KICK], 8);
		assert_true(is_signalled(b->backend.kick[1]));

		/* The next one has eventfds that nobody else has touched, and the guest is woken in between. */
		backend_poison(&b->backend, is_full);
		net_write(b, NET_TABLE + 16 * 1 + 12, 4, 1);
		fake_backend_close(b);
		net_board_step(b, QUICK_MS);
		assert_int_equal(net_read(b, NET_PENDING, 8) & 2, 2);
		net_write(b, NET_TABLE + 16 * 1 + 12, 4, 0);
		assert_int_equal(net_read(b, NET_PENDING, 8) & 2, 0);
		fake_backend_connect(b);
		net_board_step(b, QUICK_MS);
		assert_true(is_signalled(b->backend.kick[0]));

		/* A reset; then the guest's control queue is one that was the back end's. */
		backend_poison(&b->backend, is_full);
		assert_true(net_driver_start(b, ~BIT_ULL(VIRTIO_NET_F_MQ)));
		net_board_step(b, QUICK_MS);
		assert_int_equal(net_command(b, 2, on, sizeof(on)), VIRTIO_NET_OK);
		assert_true(now_ns() - begin < 2000000000);
		fake_backend_close(b);
		net_board_step(b, QUICK_MS);
	}
	alarm(0);
	net_board_fini(b);
	fake_kvm_reset();
}

/* One second for all of them. */
static void many_silent_backends_hold_a_pause_no_longer_than_one(void **state)
{
	struct net_board *b = &board;
	int socks[VMM_MAX_NETS];
	uint64_t begin;
	json_t *list;

	net_board_init_many(b, &(struct vmm_net_spec){ .grace_ms = 0 }, VMM_MAX_NETS);
	for (unsigned int i = 0; i < VMM_MAX_NETS; i++) {
		struct sockaddr_un sa;
		socklen_t len = sizeof(sa);

		assert_int_equal(getsockname(b->spec.vhosts[i].fd, (struct sockaddr *)&sa, &len),
				 0);
		socks[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(socks[i], (struct sockaddr *)&sa, len), 0);
	}
	net_board_step(b, QUICK_MS);
	begin = now_ns();
	nets_pause(b->nets, true);
	/* One after the other would take a second each. */
	assert_true(now_ns() - begin < VMM_MAX_NETS * 1000000000ULL / 2);
	list = nets_status(b->nets);
	assert_int_equal(json_array_size(list), VMM_MAX_NETS);
	for (unsigned int i = 0; i < VMM_MAX_NETS; i++) {
		const char *error =
			json_string_value(json_object_get(json_array_get(list, i), "error"));

		if (strstr(error, "within 1000 ms") == NULL)
			fail_msg("port %u: %s", i, error);
		fd_close(&socks[i]);
	}
	json_decref(list);
	net_board_fini(b);
	fake_kvm_reset();
}

static unsigned int lines_count(int fd, const char *what)
{
	char text[8192] = "";
	unsigned int n = 0;

	assert_true(pread(fd, text, sizeof(text) - 1, 0) >= 0);
	for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
		n++;
	return n;
}

/* It speaks as it should, and goes at once: what else the log has to say stays in it. */
static void a_backend_that_comes_and_goes_fills_no_log(void **state)
{
	int log = memfd_create("log", MFD_CLOEXEC), saved = dup(STDERR_FILENO);
	struct net_board *b = &board;
	uint64_t begin = now_ns(), later;

	net_board_init(b, &(struct vmm_net_spec){ .grace_ms = 0 });
	log_init("test", LOG_LEVEL_INFO);
	assert_true(dup2(log, STDERR_FILENO) >= 0);
	for (unsigned int i = 0; i < 50; i++) {
		fake_backend_connect(b);
		net_board_step(b, QUICK_MS);
		fake_backend_close(b);
		net_board_step(b, QUICK_MS);
	}
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	log_init("test", LOG_LEVEL_ERROR);
	/* On a slow machine some more each 10 s, with the number of those left out. */
	later = 2 * ((now_ns() - begin) / 10000000000);
	assert_true(lines_count(log, "a backend is connected") >= 5);
	assert_true(lines_count(log, ") is gone") >= 5);
	assert_in_range(lines_count(log, "\n"), 10, 10 + later);
	close(log);
	close(saved);
	net_board_fini(b);
	fake_kvm_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_lie_costs_the_port_its_backend),
		cmocka_unit_test(poisoned_eventfds_block_nobody),
		cmocka_unit_test(a_backend_that_comes_and_goes_fills_no_log),
		cmocka_unit_test(many_silent_backends_hold_a_pause_no_longer_than_one),
	};

	log_init("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("vmm-nets-lies", tests, NULL, NULL);
}
