// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/crash_uplink.h"

#include "tests/fake/crash_ops.h"

#include "vf-manager/backend_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>

/* Of the polled engine, what has to do with VFs. */
static struct backend *engine(struct daemon *d, unsigned int uplinks)
{
	static struct backend b;

	memset(&b, 0, sizeof(b));
	b.d = d;
	b.p.pidfd = -1;
	d->config.uplink_count = uplinks;
	d->config.uplinks[0] = (struct config_uplink){
		.name = "up0", .kind = PMD_UPLINK_VF, .device = HOST_PF, .mtu = 1500
	};
	return &b;
}

void reserve(struct daemon *d)
{
	struct backend *b = engine(d, 1);
	struct err e = { 0 };

	host_must(backend_vf_take(b, 0, &e), &e);
	assert_string_not_equal(b->uplinks[0].device, "");
	assert_false(backend_vfs_are_left(b));
}

void unreserve(struct daemon *d)
{
	struct backend *b = engine(d, 0);

	backend_vfs_return(b);
	assert_false(backend_vfs_are_left(b));
}

static unsigned int reserved_count(struct daemon *d)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < VFS; i++)
		n += host_row(d, i) != NULL && host_row(d, i)->state == VF_ASSIGNED &&
		     strcmp(host_row(d, i)->owner, "uplink up0") == 0;
	return n;
}

void uplink_gets_its_vf(struct daemon *d)
{
	struct err e = { 0 };
	const struct vf_want want = { .source = PORT_FROM_PF, .target = HOST_PF, .numa_node = -1 };
	struct vf_hold hold;
	unsigned int vf;

	reserve(d);
	assert_int_equal(reserved_count(d), 1);
	vf = host_row(d, 0) != NULL && host_row(d, 0)->state == VF_ASSIGNED ? 0 : 1;
	assert_true(host_attrs(vf).trust);
	assert_false(host_attrs(vf).spoofchk);
	assert_int_equal(pool_lease(d, &want, &hold, &e), 0);
	assert_int_not_equal(hold.index, vf);
	assert_int_equal(pool_lease(d, &want, &hold, &e), -EBUSY);
	unreserve(d);
	assert_int_equal(host_row(d, vf)->state, VF_FREE);
	assert_false(host_attrs(vf).trust);
	assert_true(host_attrs(vf).spoofchk);
}

void uplink_has_no_vf(struct daemon *d)
{
	unreserve(d);
	assert_int_equal(reserved_count(d), 0);
	assert_int_equal(host_vf_count(), VFS);
}
