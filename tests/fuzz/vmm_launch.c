// SPDX-License-Identifier: BSD-3-Clause
/*
 * Fuzz target: the launch message and control requests (vmm/spec.h, vmm/control.h). The fds that come
 * with it are of every kind but the right one for "kvm", so that no VM is ever made.
 */
#include "base/json.h"
#include "vmm/control.h"
#include "vmm/spec.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seqmsg m = { .body = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES,
					       NULL) };
	struct vmm_spec spec;
	struct err e = { 0 };
	char op[32];

	if (!json_is_object(m.body)) {
		json_decref(m.body);
		return 0;
	}
	if (control_head_parse(m.body, op, &e) < 0 && e.text[0] == '\0')
		abort();
	for (size_t n = json_array_size(json_object_get(m.body, "fds")); m.fd_count < n % 8;)
		m.fds[m.fd_count++] = m.fd_count % 2 != 0 ? open("/dev/null", O_RDWR | O_CLOEXEC)
							  : memfd_create("fuzz", MFD_CLOEXEC);
	vmm_spec_init(&spec);
	e = (struct err){ 0 };
	if (vmm_spec_parse(&spec, &m, &e) == 0)
		abort(); /* there was no /dev/kvm among the fds */
	if (e.text[0] == '\0')
		abort();
	vmm_spec_fini(&spec);
	seqmsg_fini(&m);
	return 0;
}
