// SPDX-License-Identifier: BSD-3-Clause
/* Which status an error of a handler is. */
#include "vf-manager/http.h"

#include <microhttpd.h>

#include <errno.h>

/* What a code says beats what its errno would. */
static const struct status_row {
	const char *code;
	unsigned int status;
} code_rows[] = {
	{ "no-such-vm", MHD_HTTP_NOT_FOUND },
	{ "no-such-vf", MHD_HTTP_NOT_FOUND },
	{ "no-such-pf", MHD_HTTP_NOT_FOUND },
	{ "no-such-function", MHD_HTTP_NOT_FOUND },
	{ "no-such-network", MHD_HTTP_NOT_FOUND },
	{ "no-such-path", MHD_HTTP_NOT_FOUND },
	{ "vf-index", MHD_HTTP_NOT_FOUND },
	{ "no-sriov", MHD_HTTP_BAD_REQUEST },
	{ "method", MHD_HTTP_METHOD_NOT_ALLOWED },
	{ "not-allowed", MHD_HTTP_FORBIDDEN },
	{ "not-owner", MHD_HTTP_FORBIDDEN },
	{ "no-such-user", MHD_HTTP_BAD_REQUEST },
	{ "no-such-cpu", MHD_HTTP_BAD_REQUEST },
	{ "no-such-node", MHD_HTTP_BAD_REQUEST },
	{ "numa-short", MHD_HTTP_CONFLICT },
	{ "dedicated-unsupported", MHD_HTTP_CONFLICT },
	{ "memory-short", MHD_HTTP_CONFLICT },
	{ "hugepages-short", MHD_HTTP_CONFLICT },
	{ "kvm-unusable", MHD_HTTP_CONFLICT },
	{ "kvm-vcpus", MHD_HTTP_CONFLICT },
	{ "phys-bits-short", MHD_HTTP_CONFLICT },
	{ "autostart-unknown", MHD_HTTP_CONFLICT },
	{ "autostart-cycle", MHD_HTTP_CONFLICT },
	{ "creator-gone", MHD_HTTP_CONFLICT },
	{ "run-path-lost", MHD_HTTP_CONFLICT },
	{ "state-locked", MHD_HTTP_SERVICE_UNAVAILABLE },
	{ "user-lookup", MHD_HTTP_SERVICE_UNAVAILABLE },
	{ "start-cancelled", MHD_HTTP_CONFLICT },
	{ "vm-silent", MHD_HTTP_CONFLICT },
	{ "vmm-stuck", MHD_HTTP_CONFLICT },
	{ "vmm-too-old", MHD_HTTP_CONFLICT },
	{ "bad-config", MHD_HTTP_CONFLICT },
	{ "no-such-operation", MHD_HTTP_NOT_FOUND },
	{ "cursor-lost", MHD_HTTP_GONE },
	{ "no-such-port", MHD_HTTP_NOT_FOUND },
	{ "vmm-killed", MHD_HTTP_CONFLICT },
	{ "no-such-uplink", MHD_HTTP_NOT_FOUND },
	{ "backend-down", MHD_HTTP_SERVICE_UNAVAILABLE },
	{ "uplink-failed", MHD_HTTP_CONFLICT },
	{ "port-exists", MHD_HTTP_CONFLICT },
	{ "cursor-ahead", MHD_HTTP_BAD_REQUEST },
	{ "no-such-unit", MHD_HTTP_NOT_FOUND },
	{ "no-firmware", MHD_HTTP_CONFLICT },
	{ "firmware-unfit", MHD_HTTP_CONFLICT },
	{ "firmware-vars-broken", MHD_HTTP_CONFLICT },
	{ "firmware-vars-full", MHD_HTTP_CONFLICT },
	{ "no-vsock", MHD_HTTP_CONFLICT },
	{ "vsock-cid-in-use", MHD_HTTP_CONFLICT },
	{ "no-virtio-console", MHD_HTTP_NOT_FOUND },
};

static const struct errno_row {
	int errnum;
	unsigned int status;
	bool is_of_request; /* the row holds only while the request itself is in question */
} errno_rows[] = {
	{ EINVAL, MHD_HTTP_BAD_REQUEST, true },	  { ERANGE, MHD_HTTP_BAD_REQUEST, true },
	{ EBADMSG, MHD_HTTP_BAD_REQUEST, true },  { ENOENT, MHD_HTTP_BAD_REQUEST, true },
	{ ELOOP, MHD_HTTP_BAD_REQUEST, true },	  { EACCES, MHD_HTTP_FORBIDDEN, true },
	{ EPERM, MHD_HTTP_FORBIDDEN, true },	  { EBUSY, MHD_HTTP_CONFLICT, false },
	{ EEXIST, MHD_HTTP_CONFLICT, false },	  { ESTALE, MHD_HTTP_CONFLICT, false },
	{ ENODEV, MHD_HTTP_CONFLICT, false }, /* what the host lacks */
	{ EOPNOTSUPP, MHD_HTTP_CONFLICT, false }, { EAGAIN, MHD_HTTP_SERVICE_UNAVAILABLE, false },
};

unsigned int http_status(const struct request *req, const struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(code_rows); i++)
		if (strcmp(code_rows[i].code, e->code) == 0)
			return code_rows[i].status;
	for (size_t i = 0; i < ARRAY_SIZE(errno_rows); i++)
		if (errno_rows[i].errnum == e->errnum &&
		    !(errno_rows[i].is_of_request && req->is_valid))
			return errno_rows[i].status;
	return MHD_HTTP_INTERNAL_SERVER_ERROR;
}
