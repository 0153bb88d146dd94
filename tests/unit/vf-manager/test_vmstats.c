// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmstats.h"

#include "base/json.h"
#include "vmm/vmm_msg.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char interrupts[] =
	"            CPU0       CPU1\n"
	"  57:         10         32  IR-PCI-MSIX-0000:01:10.0    0-edge      vfio-msix[0](0000:01:10.0)\n"
	"  58:          0          5  IR-PCI-MSIX-0000:01:10.0    1-edge      vfio-msix[1](0000:01:10.0)\n";

#define EXITS "{\"io\":1,\"mmio\":2,\"hlt\":0,\"other\":3}"
#define KVM                                                                                \
	"{\"vm_names\":[\"pages_4k\"],\"vm\":[9],\"vcpu_names\":[\"exits\",\"io_exits\"]," \
	"\"vcpus\":[[10,2],[20,3]]}"
#define REGION "{\"space\":\"pio\",\"name\":\"COM1\",\"reads\":3,\"writes\":4}"
#define DEVICE                                                                               \
	"{\"port\":\"wan\",\"address\":\"0000:01:10.0\",\"bar\":{\"reads\":5,\"writes\":6}," \
	"\"config\":{\"reads\":7,\"writes\":8}}"

static const char good[] = "{\"name\":\"liar\",\"uptime_ns\":77,\"vcpus\":[" EXITS "," EXITS
			   "],\"kvm\":" KVM ",\"regions\":[" REGION "],\"devices\":[" DEVICE "]}";

static int build(const char *reply_text, json_t **out, struct err *e)
{
	auto_json json_t *reply = json_loads(reply_text, JSON_REJECT_DUPLICATES, NULL);
	auto_json json_t *ports = json_loads("[{\"name\":\"wan\",\"vf\":\"0000:01:10.0\"},"
					     "{\"name\":\"lan\",\"vf\":\"0000:01:10.2\"}]",
					     0, NULL);
	const struct stats_source src = {
		.reply = reply, .ports = ports, .interrupts = interrupts, .sysfs_fd = -1
	};

	assert_non_null(reply);
	assert_non_null(ports);
	return stats_build(&src, out, e);
}

static json_int_t number_at(const json_t *j, const char *a, const char *b, const char *c)
{
	j = json_object_get(j, a);
	j = b != NULL ? json_object_get(j, b) : j;
	j = c != NULL ? json_object_get(j, c) : j;
	assert_true(json_is_integer(j));
	return json_integer_value(j);
}

static void a_sound_reply_is_summed_and_joined(void **state)
{
	auto_json json_t *j = NULL;
	const json_t *wan, *lan;
	struct err e = { 0 };

	if (build(good, &j, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(number_at(j, "kvm", "total", "exits"), 30);
	assert_int_equal(number_at(j, "kvm", "total", "io_exits"), 5);
	assert_int_equal(number_at(j, "kvm", "vm", "pages_4k"), 9);
	assert_int_equal(number_at(j, "returns", "total", "other"), 6);
	assert_int_equal(number_at(j, "uptime_ns", NULL, NULL), 77);
	assert_null(json_object_get(j, "name")); /* that is for the daemon to say */
	wan = json_array_get(json_object_get(j, "ports"), 0);
	assert_int_equal(number_at(wan, "bar", "writes", NULL), 6);
	assert_int_equal(number_at(wan, "config", "reads", NULL), 7);
	assert_int_equal(number_at(wan, "interrupts", NULL, NULL), 47);
	assert_int_equal(json_array_size(json_object_get(wan, "vectors")), 2);
	assert_int_equal(number_at(json_array_get(json_object_get(wan, "vectors"), 1), "vector",
				   NULL, NULL),
			 1);
	/* The VMM has no such device: the host took it back. */
	lan = json_array_get(json_object_get(j, "ports"), 1);
	assert_true(json_is_null(json_object_get(lan, "bar")));
	assert_int_equal(number_at(lan, "interrupts", NULL, NULL), 0);
}

static void without_kvms_numbers_it_says_why(void **state)
{
	auto_json json_t *j = NULL;
	struct err e = { 0 };

	assert_int_equal(build("{\"uptime_ns\":1,\"vcpus\":[" EXITS "],\"kvm_absent\":\"too old\","
			       "\"regions\":[],\"devices\":[]}",
			       &j, &e),
			 0);
	assert_true(json_is_null(json_object_get(j, "kvm")));
	assert_string_equal(json_string_value(json_object_get(j, "kvm_absent")), "too old");
	assert_int_equal(number_at(j, "returns", "total", "mmio"), 2);
}

/* `good` with one part replaced must be refused with these words. */
static void refused(const char *part, const char *by, const char *said)
{
	const char *at = strstr(good, part);
	json_t *j = NULL;
	struct err e = { 0 };
	char text[4096];

	assert_non_null(at);
	assert_true((size_t)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, by,
				     at + strlen(part)) < sizeof(text));
	assert_true(build(text, &j, &e) < 0);
	assert_null(j);
	if (strstr(e.text, said) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", said, e.text);
}

static void lies_are_refused_by_name(void **state)
{
	refused("\"uptime_ns\":77", "\"uptime_ns\":-1", "uptime_ns");
	refused("\"vcpus\":[" EXITS "," EXITS "]", "\"vcpus\":{}", "vcpus is not a list");
	refused("\"vcpus\":[" EXITS "," EXITS "]", "\"vcpus\":[3]", "vCPU 0: io is missing");
	refused("\"hlt\":0", "\"hlt\":\"0\"", "hlt");
	refused("[[10,2],[20,3]]", "[[10,2]]", "kvm: 1 vCPUs here, 2 there");
	refused("[[10,2],[20,3]]", "[[10,2],[20]]", "kvm: vCPU 1: 1 values for 2 names");
	refused("[[10,2],[20,3]]", "[[10,2],7]", "kvm: vCPU 1: 0 values for 2 names");
	refused("[[10,2],[20,3]]", "[[10,-2],[20,3]]", "io_exits is not a number");
	refused("\"exits\",\"io_exits\"", "\"exits\",\"\\u001b[2J\"", "name 1 is no name");
	refused("\"exits\",\"io_exits\"", "\"exits\",\"\"", "name 1 is no name");
	refused("\"exits\",\"io_exits\"", "\"exits\",[]", "name 1 is no name");
	refused("\"vm\":[9]", "\"vm\":[9,9]", "kvm: 2 values for 1 names");
	refused("\"kvm\":" KVM, "\"kvm\":[]", "kvm is not an object");
	refused("\"kvm\":" KVM, "\"kvm_absent\":7", "kvm_absent is not a text");
	refused("\"kvm\":" KVM, "\"x\":0", "kvm_absent is missing");
	refused("\"pio\"", "\"ram\"", "region 0: there is no space 'ram'");
	refused("\"COM1\"", "\"a\\nb\"", "region 0: name holds a control character");
	refused("\"regions\":[" REGION "]", "\"regions\":0", "regions is not a list");
	refused("\"bar\":{\"reads\":5,\"writes\":6}", "\"bar\":5", "devices: bar is not an object");
	refused("\"config\":{\"reads\":7,", "\"config\":{", "devices: reads is missing");
}

static void sums_do_not_wrap(void **state)
{
	auto_json json_t *j = NULL;
	struct err e = { 0 };

	assert_int_equal(build("{\"uptime_ns\":1,\"vcpus\":[" EXITS "," EXITS "],\"kvm\":"
			       "{\"vm_names\":[],\"vm\":[],\"vcpu_names\":[\"exits\"],\"vcpus\":"
			       "[[9223372036854775807],[9223372036854775807]]},"
			       "\"regions\":[],\"devices\":[]}",
			       &j, &e),
			 0);
	assert_int_equal(number_at(j, "kvm", "total", "exits"), INT64_MAX);
}

static void lists_without_end_are_refused(void **state)
{
	static char text[64 << 10];
	struct err e = { 0 };
	json_t *j = NULL;
	size_t n = 0;

	n += (size_t)snprintf(text, sizeof(text), "{\"uptime_ns\":1,\"vcpus\":[");
	for (int i = 0; i < VMM_MAX_CPUS + 1; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s" EXITS, i > 0 ? "," : "");
	snprintf(text + n, sizeof(text) - n,
		 "],\"kvm_absent\":\"\",\"regions\":[],\"devices\":[]}");
	assert_true(build(text, &j, &e) < 0);
	assert_non_null(strstr(e.text, "vcpus has 255 items"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sound_reply_is_summed_and_joined),
		cmocka_unit_test(without_kvms_numbers_it_says_why),
		cmocka_unit_test(lies_are_refused_by_name),
		cmocka_unit_test(sums_do_not_wrap),
		cmocka_unit_test(lists_without_end_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
