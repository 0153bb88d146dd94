// SPDX-License-Identifier: BSD-3-Clause
#include "fake_kvm.h"

#include "base/seqmsg.h"
#include "vmm/chipset_console.h"
#include "vmm/chipset_console_log.h"
#include "vmm/chipset_uart.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	pthread_mutex_t lock;
	struct loop *loop;
	struct irq_router *irq;
	struct uart uart;
	struct console *console;
	char folder[32], path[64];
	int listener, log, log_old;
};

static void tx(void *arg, uint8_t byte)
{
	console_put(((struct fixture *)arg)->console, &byte, 1);
}

static size_t receive(void *arg, const uint8_t *data, size_t len)
{
	return uart_receive(arg, data, len);
}

static void rx_ready(void *arg)
{
	console_refill(((struct fixture *)arg)->console);
}

static int setup(void **state)
{
	static struct fixture f;
	struct console_env env;
	char log_path[80];
	pthread_mutexattr_t fair;

	memset(&f, 0, sizeof(f));
	memset(&fake_kvm, 0, sizeof(fake_kvm));
	strcpy(f.folder, "/tmp/viaduct-con-XXXXXX");
	assert_non_null(mkdtemp(f.folder));
	snprintf(f.path, sizeof(f.path), "%s/console", f.folder);
	snprintf(log_path, sizeof(log_path), "%s/log", f.folder);
	assert_int_equal(unix_listen(f.path, SOCK_STREAM, 0600, &f.listener, NULL), 0);
	f.log = open(log_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	strcat(log_path, ".1");
	f.log_old = open(log_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	pthread_mutexattr_init(&fair); /* as the machine's lock is */
	pthread_mutexattr_setprotocol(&fair, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&f.lock, &fair);
	pthread_mutexattr_destroy(&fair);
	assert_int_equal(loop_create(&f.loop, NULL), 0);
	assert_int_equal(irq_router_create(3, &f.irq, NULL), 0);
	f.uart = (struct uart){ .irq = f.irq, .gsi = 4, .tx = tx, .rx_ready = rx_ready, .arg = &f };
	env = (struct console_env){ .loop = f.loop,
				    .lock = &f.lock,
				    .receive = receive,
				    .arg = &f.uart,
				    .listener_fd = f.listener,
				    .log_fd = f.log,
				    .log_old_fd = f.log_old };
	assert_int_equal(console_create(&env, &f.console, NULL), 0);
	uart_reset(&f.uart);
	uart_ops.write(&f.uart, 2, 1, 1);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[64];

	console_destroy(f->console);
	loop_destroy(f->loop);
	irq_router_destroy(f->irq);
	close(f->listener);
	close(f->log);
	close(f->log_old);
	snprintf(command, sizeof(command), "rm -r %s", f->folder);
	return system(command);
}

static int client(struct fixture *f)
{
	int fd = -1;

	assert_int_equal(unix_connect(f->path, SOCK_STREAM, &fd, NULL), 0);
	return fd;
}

/* Lets the main thread work until it has nothing to do. */
static void settle(struct fixture *f)
{
	usleep(6000); /* longer than output is held back */
	for (int i = 0; i < 16; i++)
		assert_int_equal(loop_step(f->loop, 0), 0);
}

static void guest_prints(struct fixture *f, const char *text)
{
	pthread_mutex_lock(&f->lock);
	for (; *text != '\0'; text++)
		uart_ops.write(&f->uart, 0, 1, (uint8_t)*text);
	pthread_mutex_unlock(&f->lock);
}

static size_t read_some(int fd, char *buf, size_t cap)
{
	ssize_t n = recv(fd, buf, cap - 1, MSG_DONTWAIT);

	buf[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static void all_clients_see_and_type(void **state)
{
	struct fixture *f = *state;
	char buf[256];
	int a, b;

	guest_prints(f, "before ");
	a = client(f);
	settle(f);
	read_some(a, buf, sizeof(buf));
	assert_string_equal(buf, "before "); /* scrollback */
	b = client(f);
	guest_prints(f, "after");
	settle(f);
	read_some(a, buf, sizeof(buf));
	assert_string_equal(buf, "after");
	read_some(b, buf, sizeof(buf));
	assert_string_equal(buf, "before after");
	assert_int_equal(console_bytes(f->console), 12);

	assert_int_equal(write(a, "x", 1), 1);
	assert_int_equal(write(b, "y", 1), 1);
	settle(f);
	assert_int_equal(uart_ops.read(&f->uart, 0, 1) ^ uart_ops.read(&f->uart, 0, 1), 'x' ^ 'y');
	close(a);
	settle(f);
	guest_prints(f, "!");
	settle(f);
	read_some(b, buf, sizeof(buf));
	assert_string_equal(buf, "!");
	close(b);
}

static void scrollback_is_16_kib(void **state)
{
	struct fixture *f = *state;
	static char buf[40000];
	size_t got = 0, n;
	int fd;

	for (int i = 0; i < 20000; i++)
		guest_prints(f, i < 20000 - 16384 ? "o" : "n");
	fd = client(f);
	settle(f);
	while ((n = read_some(fd, buf + got, sizeof(buf) - got)) != 0)
		got += n;
	assert_int_equal(got, 16384);
	assert_null(strchr(buf, 'o'));
	close(fd);
}

/* Who does not read neither stops the guest nor the others, and is told what it missed. */
static void stuck_client_loses_its_own_output(void **state)
{
	struct fixture *f = *state;
	static char buf[4 * CONSOLE_RING];
	int stuck = client(f), live = client(f);
	size_t seen_live = 0, n;

	settle(f);
	for (int i = 0; i < 400; i++) {
		for (int k = 0; k < 16; k++)
			guest_prints(
				f,
				"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n");
		settle(f);
		while ((n = read_some(live, buf, sizeof(buf))) != 0)
			seen_live += n;
	}
	assert_int_equal(seen_live, 400 * 16 * 64);
	n = 0;
	for (int i = 0; i < 100; i++) {
		n += read_some(stuck, buf + n, sizeof(buf) - n);
		settle(f);
	}
	assert_non_null(strstr(buf, "bytes of console output lost]"));
	assert_memory_equal(buf + n - 5, "bcde\n", 5); /* and the end is there */
	close(stuck);
	close(live);
}

static void input_waits_for_the_guest(void **state)
{
	struct fixture *f = *state;
	int fd = client(f);
	size_t sent = 0, got = 0;
	char text[1024];

	fcntl(fd, F_SETFL, O_NONBLOCK);
	settle(f);
	for (int i = 0; i < 32; i++) {
		ssize_t n;

		memset(text, 'a' + i % 26, sizeof(text));
		n = write(fd, text, sizeof(text));
		sent += n > 0 ? (size_t)n : 0;
		settle(f);
	}
	assert_int_equal(sent, 32768); /* in the socket and here; nothing is dropped */
	for (size_t idle = 0; got < sent && idle < 100; idle++) {
		while ((uart_ops.read(&f->uart, 5, 1) & 1) != 0) {
			assert_int_equal(uart_ops.read(&f->uart, 0, 1), 'a' + got / 1024 % 26);
			got++;
			idle = 0;
		}
		settle(f);
	}
	assert_int_equal(got, sent);
	close(fd);
}

static size_t guest_reads(struct fixture *f, size_t max)
{
	size_t n = 0;

	while (n < max && (uart_ops.read(&f->uart, 5, 1) & 1) != 0) {
		(void)uart_ops.read(&f->uart, 0, 1);
		n++;
	}
	return n;
}

/* One client waits because the guest's input is full; what another one types must not make it forgotten. */
static void client_that_waits_is_not_forgotten(void **state)
{
	struct fixture *f = *state;
	int first = client(f), second = client(f);
	char text[CONSOLE_INPUT + 100];
	size_t got = 0;

	memset(text, 'x', sizeof(text));
	settle(f);
	assert_int_equal(write(first, text, sizeof(text)), sizeof(text));
	settle(f); /* the queue and the FIFO are full, some of it is left in the socket */
	got += guest_reads(f, 16); /* the FIFO: the queue has a little room now */
	assert_int_equal(write(second, "y", 1), 1);
	settle(f);
	for (int i = 0; i < 40; i++) {
		got += guest_reads(f, sizeof(text));
		settle(f);
	}
	assert_int_equal(got, sizeof(text) + 1);
	close(first);
	close(second);
}

static void half_closed_client_still_reads(void **state)
{
	struct fixture *f = *state;
	int fd = client(f);
	char buf[64];

	assert_int_equal(write(fd, "q", 1), 1);
	shutdown(fd, SHUT_WR);
	settle(f);
	assert_int_equal(uart_ops.read(&f->uart, 0, 1), 'q');
	guest_prints(f, "still");
	settle(f);
	read_some(fd, buf, sizeof(buf));
	assert_string_equal(buf, "still");
	close(fd);
}

static void clients_are_limited(void **state)
{
	struct fixture *f = *state;
	int fds[CONSOLE_CLIENTS + 1];
	char buf[64];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = client(f);
		settle(f);
	}
	read_some(fds[CONSOLE_CLIENTS], buf, sizeof(buf));
	assert_non_null(strstr(buf, "too many"));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	settle(f);
	fds[0] = client(f);
	guest_prints(f, "room again");
	settle(f);
	read_some(fds[0], buf, sizeof(buf));
	assert_string_equal(buf, "room again");
	close(fds[0]);
}

static void guest_prints_numbers(struct fixture *f, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++) {
		char line[16];

		snprintf(line, sizeof(line), "%07u\n", i);
		guest_prints(f, line);
		if (i % 4096 == 4095)
			settle(f);
	}
	settle(f);
}

static unsigned int number_at(int fd, off_t at)
{
	char line[9] = "";

	assert_int_equal(pread(fd, line, 8, at), 8);
	return (unsigned int)atoi(line);
}

/* Two files, bounded, and together the newest output without a gap. */
static void log_keeps_the_newest_and_never_ends(void **state)
{
	const unsigned int lines = 3 * CONSOLE_LOG_MAX / 8 + 1000;
	struct fixture *f = *state;
	struct stat st, old;

	guest_prints_numbers(f, 0, 10);
	assert_int_equal(fstat(f->log_old, &old), 0);
	assert_int_equal(old.st_size, 0);
	guest_prints_numbers(f, 10, lines);
	assert_int_equal(fstat(f->log, &st), 0);
	assert_int_equal(fstat(f->log_old, &old), 0);
	assert_int_equal(old.st_size, CONSOLE_LOG_MAX);
	assert_int_equal(st.st_size, 8000);
	assert_int_equal(number_at(f->log, st.st_size - 8), lines - 1);
	assert_int_equal(number_at(f->log, 0), number_at(f->log_old, old.st_size - 8) + 1);
	assert_int_equal(number_at(f->log_old, 0), lines - 1000 - CONSOLE_LOG_MAX / 8);
}

/* A file system that is full for a while: what was lost is said, what comes after is there. */
static void log_goes_on_when_there_is_room_again(void **state)
{
	struct fixture *f = *state;
	const struct rlimit none = { 16, RLIM_INFINITY }, all = { RLIM_INFINITY, RLIM_INFINITY };
	char text[256] = "";

	signal(SIGXFSZ, SIG_IGN);
	guest_prints(f, "the first 16 byt");
	settle(f);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	for (int i = 0; i < 1100; i++)
		guest_prints(f, "................................................................");
	settle(f);
	guest_prints(f, "newest\n");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
	settle(f);
	assert_true(pread(f->log, text, 100, 0) > 80);
	assert_memory_equal(text, "the first 16 byt\r\n[4871 bytes of console output lost]", 52);
	assert_true(pread(f->log, text, 7, lseek(f->log, 0, SEEK_END) - 7) == 7);
	assert_memory_equal(text, "newest\n", 7);
}

struct storm {
	struct fixture *f;
	_Atomic bool may_end;
};

static void *storm_run(void *arg)
{
	struct storm *s = arg;

	while (!atomic_load(&s->may_end)) {
		pthread_mutex_lock(&s->f->lock);
		for (unsigned int i = 0; i < CONSOLE_RING; i++)
			console_put(s->f->console, (const uint8_t *)".", 1);
		pthread_mutex_unlock(&s->f->lock);
	}
	return NULL;
}

/* However fast the guest prints, the main thread comes back to whoever asks for something. */
static void storm_of_output_does_not_keep_the_main_thread(void **state)
{
	struct storm s = { .f = *state };
	struct stat st;
	pthread_t vcpus[4]; /* so that one always stands before the main thread */

	for (size_t i = 0; i < ARRAY_SIZE(vcpus); i++)
		assert_int_equal(pthread_create(&vcpus[i], NULL, storm_run, &s), 0);
	usleep(20000);
	assert_int_equal(loop_step(s.f->loop, 0), 0);
	assert_int_equal(fstat(s.f->log, &st), 0);
	atomic_store(&s.may_end, true);
	for (size_t i = 0; i < ARRAY_SIZE(vcpus); i++)
		pthread_join(vcpus[i], NULL);
	assert_in_range(st.st_size, 1, 2 * CONSOLE_RING);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(all_clients_see_and_type),
		CASE(scrollback_is_16_kib),
		CASE(stuck_client_loses_its_own_output),
		CASE(input_waits_for_the_guest),
		CASE(client_that_waits_is_not_forgotten),
		CASE(half_closed_client_still_reads),
		CASE(clients_are_limited),
		CASE(log_keeps_the_newest_and_never_ends),
		CASE(log_goes_on_when_there_is_room_again),
		CASE(storm_of_output_does_not_keep_the_main_thread),
	};

	return cmocka_run_group_tests_name("vmm-chipset_console", tests, NULL, NULL);
}
