// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/spec_extras.h"

#include "base/json.h"

#include <errno.h>

#define CID_HOST 2 /* and below: not a guest's (linux/vm_sockets.h) */

static int vsock_parse(struct vmm_spec *spec, const json_t *obj, struct err *e)
{
	static const char *const keys[] = { "cid", NULL };
	uint64_t cid = 0;
	json_t *vsock;
	int r = 0;

	if (json_object_get(obj, "vsock") != NULL) {
		r = json_get_obj(obj, "vsock", &vsock, e);
		if (r == 0)
			r = json_check_keys(vsock, keys, e);
		if (r == 0)
			r = json_get_u64(vsock, "cid", UINT32_MAX - 1, &cid, e);
		if (r == 0 && cid <= CID_HOST)
			r = err_set(e, ERANGE, "cid: %llu is no guest's", (unsigned long long)cid);
	}
	spec->vsock_cid = (uint32_t)cid;
	return r < 0 ? err_wrap(e, "vsock") : 0;
}

/* Both or neither. */
static int fd_check(bool is_wanted, int fd, const char *name, const char *key, struct err *e)
{
	if (is_wanted && fd < 0)
		return err_set(e, ENOENT, "fd \"%s\" is missing", name);
	if (!is_wanted && fd >= 0)
		return err_set(e, EINVAL, "fd \"%s\" without \"%s\"", name, key);
	return 0;
}

int spec_extras_parse(struct vmm_spec *spec, const json_t *obj, struct err *e)
{
	int r = json_get_bool_opt(obj, "rng", &spec->has_rng, e);

	if (r == 0)
		r = json_get_bool_opt(obj, "virtio_console", &spec->has_virtio_console, e);
	if (r == 0)
		r = vsock_parse(spec, obj, e);
	if (r == 0)
		r = fd_check(spec->has_virtio_console, spec->hvc0_fd, "hvc0", "virtio_console", e);
	if (r == 0)
		r = fd_check(spec->vsock_cid != 0, spec->vhost_vsock_fd, "vhost_vsock", "vsock", e);
	return r;
}
