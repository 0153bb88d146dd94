// SPDX-License-Identifier: BSD-3-Clause
/* Addresses of ports in a reserved VF whose driver takes several: what viaduct-pmd is asked, and what of its answer is told. */
#include "vf-manager/backend_core.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>

static struct daemon d;
static struct backend b;
static struct reach_mac list[3];
static struct reach_wish w;
static struct err err;

static json_t *asked; /* the last request */
static json_t *answer; /* NULL: it does not answer */
static unsigned int requests;

int __wrap_pmd_call(const struct daemon *of, const struct pmd_peer *peer, json_t *body,
		    json_t **result, struct err *e);
int __wrap_pmd_call(const struct daemon *of, const struct pmd_peer *peer, json_t *body,
		    json_t **result, struct err *e)
{
	requests++;
	json_decref(asked);
	asked = json_deep_copy(body);
	if (answer == NULL) {
		err_set(e, ECONNRESET, "it is gone");
		return err_code(e, "backend-down");
	}
	*result = json_incref(answer);
	return 0;
}

/* An uplink with two ports, of which the VF has `in` addresses. */
static int setup(void **state)
{
	memset(&d, 0, sizeof(d));
	memset(&b, 0, sizeof(b));
	memset(&w, 0, sizeof(w));
	memset(list, 0, sizeof(list));
	b.d = &d;
	d.config.uplink_count = 1;
	strcpy(d.config.uplinks[0].name, "up0");
	assert_int_equal(backend_reach_create(&b, &err), 0);
	b.status.uplink_count = 1;
	strcpy(b.status.uplinks[0].name, "up0");
	b.p.has_status = true;
	for (uint8_t i = 0; i < 3; i++)
		memcpy(list[i].mac, (uint8_t[]){ 2, 0, 0, 0, 0, i }, 6);
	list[2].uplink = 1; /* another's */
	w.list = list;
	w.count = 3;
	requests = 0;
	return 0;
}

static int teardown(void **state)
{
	backend_reach_destroy(&b);
	json_decref(asked);
	json_decref(answer);
	asked = answer = NULL;
	return 0;
}

static void all_go_in(void **state)
{
	answer = json_pack("{s:{s:b, s:i, s:[s, s]}}", "uplink", "promisc", 0, "mac_room", 7,
			   "macs", "02:00:00:00:00:01", "02:00:00:00:00:00");
	reach_driver_fill(&b, &w, 0);
	assert_string_equal(json_string_value(json_object_get(asked, "op")), "uplink-macs");
	assert_string_equal(json_string_value(json_object_get(asked, "name")), "up0");
	assert_int_equal(json_array_size(json_object_get(asked, "macs")), 2);
	assert_int_equal(list[0].state, REACH_OURS);
	assert_int_equal(list[1].state, REACH_OURS);
	assert_int_equal(list[2].state, REACH_OUT);
	assert_int_equal(w.uplinks[0].used, 2);
	assert_int_equal(w.uplinks[0].why.errnum, 0);
}

static void what_has_no_room_is_told(void **state)
{
	answer = json_pack("{s:{s:[s]}}", "uplink", "macs", "02:00:00:00:00:01");
	reach_driver_fill(&b, &w, 0);
	assert_int_equal(list[0].state, REACH_OUT);
	assert_int_equal(list[1].state, REACH_OURS);
}

static void what_is_there_is_not_asked_for(void **state)
{
	for (unsigned int i = 0; i < 2; i++)
		memcpy(b.status.uplinks[0].macs[i], list[i].mac, 6);
	b.status.uplinks[0].mac_count = 2;
	reach_driver_fill(&b, &w, 0);
	assert_int_equal(requests, 0);
	assert_int_equal(list[0].state, REACH_OURS);
	/* One too many is: it goes. */
	w.count = 1;
	answer = json_pack("{s:{s:[s]}}", "uplink", "macs", "02:00:00:00:00:00");
	reach_driver_fill(&b, &w, 0);
	assert_int_equal(requests, 1);
	assert_int_equal(json_array_size(json_object_get(asked, "macs")), 1);
}

static void lies_and_silence_are_no_address(void **state)
{
	static const char *const lies[] = { "{\"uplink\":{\"macs\":[\"02:00:00:00:00\"]}}",
					    "{\"uplink\":{\"macs\":[7]}}",
					    "{\"uplink\":{\"macs\":{}}}",
					    "{\"uplink\":{\"mac_room\":-1}}", "{}" };

	reach_driver_fill(&b, &w, 0);
	assert_int_equal(list[0].state, REACH_OUT);
	assert_string_equal(w.uplinks[0].why.text, "it is gone");
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		json_decref(answer);
		answer = json_loads(lies[i], 0, NULL);
		w.uplinks[0].why = (struct err){ 0 };
		reach_driver_fill(&b, &w, 0);
		assert_int_equal(list[0].state, REACH_OUT);
		assert_int_equal(list[1].state, REACH_OUT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_go_in, setup, teardown),
		cmocka_unit_test_setup_teardown(what_has_no_room_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_there_is_not_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(lies_and_silence_are_no_address, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
