/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An uplink "up0" of kind vf on the host of crash_host.h: what the daemon does for it, and what must hold after.
 */
#ifndef VIADUCT_TESTS_FAKE_CRASH_UPLINK_H
#define VIADUCT_TESTS_FAKE_CRASH_UPLINK_H

#include "tests/fake/crash_host.h"

void reserve(struct daemon *d); /* it is in the configuration, and gets its VF */
void unreserve(struct daemon *d); /* it is not any more */

/* It gets one, whatever became of the first try, nobody else gets that, and it goes back as it came. */
void uplink_gets_its_vf(struct daemon *d);
void uplink_has_no_vf(struct daemon *d);

#endif
