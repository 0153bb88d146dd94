// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/spec.h"

#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* Without "kvm", which must be the real device: every message here ends in an error or stops there. */
#define SPEC                                                                                      \
	"{\"name\":\"fw1\",\"memory\":{\"size\":268435456},\"cpus\":{\"count\":2,\"pin\":[0,1]}," \
	"\"boot\":{\"cmdline\":\"console=ttyS0\"},\"devices\":[]}"

enum kind { FILE_RW, FILE_R, LISTEN_SEQ, LISTEN_STREAM, NULL_DEV };

static int fd_make(enum kind kind)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	switch (kind) {
	case FILE_RW:
		return memfd_create("f", MFD_CLOEXEC);
	case FILE_R:
		return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	case LISTEN_SEQ:
	case LISTEN_STREAM:
		fd = socket(AF_UNIX, kind == LISTEN_SEQ ? SOCK_SEQPACKET : SOCK_STREAM, 0);
		/* Autobind: an abstract address of the kernel's choice. */
		assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa.sun_family)), 0);
		assert_int_equal(listen(fd, 1), 0);
		return fd;
	case NULL_DEV:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	return -1;
}

/* Parses a message with these fds; checks the error. */
static void expect(const char *names, const enum kind *kinds, size_t count, const char *spec_text,
		   const char *text)
{
	char body[4096];
	struct seqmsg m = { 0 };
	struct vmm_spec spec;
	struct err e = { 0 };
	int r;

	snprintf(body, sizeof(body), "{\"v\":1,\"op\":\"launch\",\"fds\":%s,\"spec\":%s}", names,
		 spec_text);
	m.body = json_loads(body, 0, NULL);
	assert_non_null(m.body);
	for (size_t i = 0; i < count; i++)
		m.fds[m.fd_count++] = fd_make(kinds[i]);
	vmm_spec_init(&spec);
	r = vmm_spec_parse(&spec, &m, &e);
	assert_true(r < 0);
	if (strstr(e.text, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, e.text);
	vmm_spec_fini(&spec);
	seqmsg_fini(&m);
}

static void fds_are_checked_by_type(void **state)
{
	expect("[\"kvm\"]", (enum kind[]){ FILE_RW }, 1, SPEC, "no character device");
	expect("[\"kvm\"]", (enum kind[]){ NULL_DEV }, 1, SPEC, "is not /dev/kvm");
	expect("[\"listener\"]", (enum kind[]){ LISTEN_STREAM }, 1, SPEC,
	       "socket of the right type");
	expect("[\"console\"]", (enum kind[]){ LISTEN_SEQ }, 1, SPEC, "socket of the right type");
	expect("[\"listener\"]", (enum kind[]){ FILE_RW }, 1, SPEC, "no socket");
	expect("[\"exit_record\"]", (enum kind[]){ FILE_R }, 1, SPEC, "not open for writing");
	expect("[\"exit_record\"]", (enum kind[]){ NULL_DEV }, 1, SPEC, "no regular file");
	expect("[\"kernel\"]", (enum kind[]){ NULL_DEV }, 1, SPEC, "no regular file");
	expect("[\"container\"]", (enum kind[]){ FILE_R }, 1, SPEC, "no character device");
	expect("[\"group:7\"]", (enum kind[]){ FILE_R }, 1, SPEC, "no character device");
}

static void fds_are_matched_with_their_names(void **state)
{
	expect("[]", NULL, 0, SPEC, "fd \"kvm\" is missing");
	expect("[\"kernel\"]", NULL, 0, SPEC, "0 fds came and 1 are named");
	expect("[]", (enum kind[]){ FILE_R }, 1, SPEC, "1 fds came and 0 are named");
	expect("[\"kernel\",\"kernel\"]", (enum kind[]){ FILE_R, FILE_R }, 2, SPEC, "there twice");
	expect("[\"disk\"]", (enum kind[]){ FILE_R }, 1, SPEC, "\"disk\" is unknown");
	expect("[7]", (enum kind[]){ FILE_R }, 1, SPEC, "item 0 is no string");
	expect("[\"group:x\"]", (enum kind[]){ NULL_DEV }, 1, SPEC, "no group number");
	expect("[\"group:1\",\"group:1\"]", (enum kind[]){ NULL_DEV, NULL_DEV }, 2, SPEC,
	       "there twice");
	expect("[\"cdev:x\"]", (enum kind[]){ NULL_DEV }, 1, SPEC, "no PCI address");
	expect("[\"cdev:01:10.0\",\"cdev:0000:01:10.0\"]", (enum kind[]){ NULL_DEV, NULL_DEV }, 2,
	       SPEC, "there twice");
	expect("{}", NULL, 0, SPEC, "fds");
}

#define WITH_WAN                                                                             \
	"{\"name\":\"a\",\"memory\":{\"size\":67108864},\"cpus\":{\"count\":1},\"boot\":{}," \
	"\"devices\":[{\"port\":\"wan\",\"address\":\"0000:01:10.0\",\"group\":7}]}"

/* One DMA space, and what joins it of the same kind. */
static void kinds_of_dma_space_do_not_mix(void **state)
{
	static const struct {
		const char *names, *text;
		size_t count;
	} rows[] = {
		{ "[\"container\",\"iommufd\"]", "exclude each other", 2 },
		{ "[\"container\",\"cdev:0000:01:10.0\"]", "takes \"group:\" ones", 2 },
		{ "[\"iommufd\",\"group:7\"]", "takes \"cdev:\" ones", 2 },
		{ "[\"iommufd\"]", "fd \"cdev:0000:01:10.0\" is missing", 1 },
		{ "[\"iommufd\",\"cdev:0000:01:10.2\"]", "fd \"cdev:0000:01:10.0\" is missing", 2 },
		{ "[\"container\",\"group:8\"]", "fd \"group:7\" is missing", 2 },
		{ "[\"group:7\"]", "fd \"container\" is missing", 1 },
		{ "[\"cdev:0000:01:10.0\"]", "takes \"group:\" ones", 1 },
		{ "[\"container\",\"group:7\"]", "fd \"kvm\" is missing", 2 },
		{ "[\"iommufd\",\"cdev:0000:01:10.0\"]", "fd \"kvm\" is missing", 2 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect(rows[i].names, (enum kind[]){ NULL_DEV, NULL_DEV }, rows[i].count, WITH_WAN,
		       rows[i].text);
	expect("[\"iommufd\"]", (enum kind[]){ FILE_R }, 1, SPEC, "no character device");
	expect("[\"cdev:0000:01:10.0\"]", (enum kind[]){ FILE_R }, 1, SPEC, "no character device");
}

#define WITH(more)                                                                                \
	"{\"name\":\"a\",\"memory\":{\"size\":67108864},\"cpus\":{\"count\":1},\"boot\":{}," more \
	"}"

static void small_devices_have_what_they_need(void **state)
{
	static const struct {
		const char *names, *spec, *text;
		enum kind kind;
	} rows[] = {
		{ "[]", WITH("\"rng\":1"), "rng", NULL_DEV },
		{ "[]", WITH("\"rng\":true"), "fd \"kvm\" is missing", NULL_DEV },
		{ "[]", WITH("\"virtio_console\":true"), "fd \"hvc0\" is missing", NULL_DEV },
		{ "[\"hvc0\"]", WITH("\"rng\":true"), "without \"virtio_console\"", LISTEN_STREAM },
		{ "[\"hvc0\"]", WITH("\"virtio_console\":true"), "socket of the right type",
		  LISTEN_SEQ },
		{ "[\"hvc0\"]", WITH("\"virtio_console\":true"), "fd \"kvm\" is missing",
		  LISTEN_STREAM },
		{ "[]", WITH("\"vsock\":{\"cid\":3}"), "fd \"vhost_vsock\" is missing", NULL_DEV },
		{ "[]", WITH("\"vsock\":{\"cid\":2}"), "is no guest's", NULL_DEV },
		{ "[]", WITH("\"vsock\":{\"cid\":4294967295}"), "cid", NULL_DEV },
		{ "[]", WITH("\"vsock\":{\"cid\":3,\"x\":1}"), "x", NULL_DEV },
		{ "[]", WITH("\"vsock\":true"), "vsock", NULL_DEV },
		{ "[\"vhost_vsock\"]", SPEC, "without \"vsock\"", NULL_DEV },
		{ "[\"vhost_vsock\"]", SPEC, "no character device", FILE_RW },
		{ "[\"vhost_vsock\"]", WITH("\"vsock\":{\"cid\":3}"), "fd \"kvm\" is missing",
		  NULL_DEV },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect(rows[i].names, &rows[i].kind, strcmp(rows[i].names, "[]") != 0, rows[i].spec,
		       rows[i].text);
}

static void nets_are_checked(void **state)
{
#define MGT "\"port\":\"mgt\",\"mac\":\"02:00:00:00:00:01\""
	static const struct {
		const char *nets, *text;
	} rows[] = {
		{ "{" MGT "}", "fd \"kvm\" is missing" }, /* nothing wrong with it */
		{ "{" MGT ",\"mtu\":9000,\"queues\":8,\"queue_size\":1024,\"link\":\"down\","
		  "\"grace_ms\":0,\"backend_uid\":64999}",
		  "fd \"kvm\" is missing" },
		{ "{" MGT "},{" MGT "}", "nets: item 1: port mgt is there twice" },
		{ "{\"port\":\"lan\",\"mac\":\"02:00:00:00:00:01\"}",
		  "fd \"vhost:lan\" is missing" },
		{ "{\"port\":\"a/b\",\"mac\":\"02:00:00:00:00:01\"}", "is no name" },
		{ "{\"port\":\"mgt\"}", "mac" },
		{ "{\"port\":\"mgt\",\"mac\":\"03:00:00:00:00:01\"}", "no MAC address of one" },
		{ "{" MGT ",\"mtu\":67}", "mtu: 67 is less than 68" },
		{ "{" MGT ",\"mtu\":65536}", "mtu" },
		{ "{" MGT ",\"queues\":0}", "queues: 1 to 8" },
		{ "{" MGT ",\"queues\":9}", "queues" },
		{ "{" MGT ",\"queue_size\":100}", "a power of two from 64 to 1024" },
		{ "{" MGT ",\"queue_size\":32}", "a power of two from 64 to 1024" },
		{ "{" MGT ",\"queue_size\":2048}", "queue_size" },
		{ "{" MGT ",\"link\":\"on\"}", "link: \"on\" is unknown" },
		{ "{" MGT ",\"speed\":1}", "speed" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char spec[1024];

		snprintf(spec, sizeof(spec),
			 "{\"name\":\"a\",\"memory\":{\"size\":67108864},\"cpus\":{\"count\":1},"
			 "\"boot\":{},\"nets\":[%s]}",
			 rows[i].nets);
		expect("[\"vhost:mgt\"]", (enum kind[]){ LISTEN_STREAM }, 1, spec, rows[i].text);
	}
	expect("[\"vhost:mgt\"]", (enum kind[]){ LISTEN_SEQ }, 1, SPEC, "socket of the right type");
	expect("[\"vhost:\"]", (enum kind[]){ LISTEN_STREAM }, 1, SPEC, "no name of a port");
	expect("[\"vhost:a\",\"vhost:a\"]", (enum kind[]){ LISTEN_STREAM, LISTEN_STREAM }, 2, SPEC,
	       "there twice");
}

static void disks_are_checked(void **state)
{
#define ROOT "\"disk\":\"root\""
	static const struct {
		const char *disks, *text;
	} rows[] = {
		{ "{" ROOT "}", "fd \"kvm\" is missing" }, /* nothing wrong with it */
		{ "{" ROOT ",\"queues\":16,\"queue_size\":1024,\"backend_uid\":64999,\"boot\":255}",
		  "fd \"kvm\" is missing" },
		{ "{" ROOT "},{" ROOT "}", "disks: item 1: disk root is there twice" },
		{ "{" ROOT ",\"boot\":1},{\"disk\":\"data\",\"boot\":1}",
		  "boot: place 1 is that of disk root" },
		{ "{" ROOT "},{\"disk\":\"data\",\"boot\":1}", "fd \"disk:data\" is missing" },
		{ "{\"disk\":\"log\"}", "fd \"disk:log\" is missing" },
		{ "{\"disk\":\"a/b\"}", "is no name" },
		{ "{}", "disk" },
		{ "{" ROOT ",\"boot\":0}", "boot: 1 to 255" },
		{ "{" ROOT ",\"boot\":256}", "boot" },
		{ "{" ROOT ",\"queues\":0}", "queues: 1 to 16" },
		{ "{" ROOT ",\"queues\":17}", "queues" },
		{ "{" ROOT ",\"queue_size\":100}", "a power of two from 64 to 1024" },
		{ "{" ROOT ",\"queue_size\":32}", "a power of two from 64 to 1024" },
		{ "{" ROOT ",\"queue_size\":2048}", "queue_size" },
		{ "{" ROOT ",\"path\":\"/x\"}", "path" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char spec[1024];

		snprintf(spec, sizeof(spec),
			 "{\"name\":\"a\",\"memory\":{\"size\":67108864},\"cpus\":{\"count\":1},"
			 "\"boot\":{},\"disks\":[%s]}",
			 rows[i].disks);
		/* An image alone is no disk. */
		expect("[\"disk:root\",\"image:root\",\"image:log\"]",
		       (enum kind[]){ LISTEN_STREAM, FILE_R, FILE_R }, 3, spec, rows[i].text);
	}
	expect("[\"disk:root\"]", (enum kind[]){ LISTEN_SEQ }, 1, SPEC, "socket of the right type");
	expect("[\"disk:\"]", (enum kind[]){ LISTEN_STREAM }, 1, SPEC, "no name of a disk");
	expect("[\"disk:a\",\"disk:a\"]", (enum kind[]){ LISTEN_STREAM, LISTEN_STREAM }, 2, SPEC,
	       "there twice");
	expect("[\"image:a\",\"image:a\"]", (enum kind[]){ FILE_R, FILE_R }, 2, SPEC,
	       "there twice");
}

static void cpus_and_nodes_are_checked(void **state)
{
	static const struct {
		const char *memory, *cpus, *text;
	} rows[] = {
		{ "\"numa\":{\"node\":1,\"strict\":true,\"cpus\":\"4-7\"}",
		  "\"count\":2,\"pin\":[4,5],\"dedicated\":true,\"own\":\"0-3\"", "is missing" },
		{ "\"numa\":7", "\"count\":1", "memory: numa" },
		{ "\"numa\":{}", "\"count\":1", "node" },
		{ "\"numa\":{\"node\":-1}", "\"count\":1", "memory: numa: node" },
		{ "\"numa\":{\"node\":1024}", "\"count\":1", "memory: numa: node" },
		{ "\"numa\":{\"node\":1,\"cpus\":\"4-\"}", "\"count\":1", "'4-' is no list" },
		{ "\"numa\":{\"node\":1,\"far\":1}", "\"count\":1", "far" },
		{ "\"hugepage\":0", "\"count\":0", "count of 0 vCPUs" },
		{ "\"hugepage\":0", "\"count\":255", "must be 1 to 254" },
		{ "\"hugepage\":0", "\"count\":2,\"pin\":[0]", "1 host CPUs for 2" },
		{ "\"hugepage\":0", "\"count\":1,\"pin\":[1024]", "is no host CPU" },
		{ "\"hugepage\":0", "\"count\":1,\"dedicated\":true", "vCPU 0 is not pinned" },
		{ "\"hugepage\":0", "\"count\":1,\"dedicated\":1", "dedicated" },
		{ "\"hugepage\":0", "\"count\":2,\"pin\":[3,3],\"dedicated\":true",
		  "host CPU 3 has two vCPUs" },
		{ "\"hugepage\":0", "\"count\":1,\"pin\":[3],\"dedicated\":true,\"own\":\"2-3\"",
		  "own: host CPU 3 is that of vCPU 0" },
		{ "\"hugepage\":0", "\"count\":1,\"own\":\"2000\"", "own: '2000' is no list" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char spec[512];

		snprintf(spec, sizeof(spec),
			 "{\"name\":\"a\",\"memory\":{\"size\":268435456,%s},\"cpus\":{%s},"
			 "\"boot\":{}}",
			 rows[i].memory, rows[i].cpus);
		expect("[]", NULL, 0, spec, rows[i].text);
	}
}

static void listening_socket_must_listen(void **state)
{
	int pair[2];
	struct seqmsg m = { .fd_count = 1 };
	struct vmm_spec spec;
	struct err e = { 0 };

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	m.fds[0] = pair[0];
	m.body = json_loads("{\"fds\":[\"listener\"]}", 0, NULL);
	vmm_spec_init(&spec);
	assert_true(vmm_spec_parse(&spec, &m, &e) < 0);
	assert_non_null(strstr(e.text, "no listening socket"));
	vmm_spec_fini(&spec);
	seqmsg_fini(&m);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fds_are_checked_by_type),
		cmocka_unit_test(fds_are_matched_with_their_names),
		cmocka_unit_test(kinds_of_dma_space_do_not_mix),
		cmocka_unit_test(small_devices_have_what_they_need),
		cmocka_unit_test(nets_are_checked),
		cmocka_unit_test(disks_are_checked),
		cmocka_unit_test(cpus_and_nodes_are_checked),
		cmocka_unit_test(listening_socket_must_listen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
