// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/extras.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define DEVICE 0x1F /* of which the LPC bridge is function 0 */

static const struct extra_kind *const kinds[] = {
	&virtio_rng_extra,
	&virtio_console_extra,
	&virtio_vsock_extra,
};

struct extras {
	struct extra {
		const struct extra_kind *kind;
		struct virtio_pci *vp;
	} items[ARRAY_SIZE(kinds)];
	unsigned int count;
};

static int extra_create(struct extras *x, const struct extra_kind *kind,
			const struct vmm_spec *spec, const struct extras_env *env, struct err *e)
{
	struct virtio_pci *vp = NULL;
	int r = kind->create(env, spec, &vp, e);

	if (r < 0)
		return r;
	/* From here on it goes with the others, plugged or not. */
	x->items[x->count++] = (struct extra){ kind, vp };
	return pci_host_plug(env->pci, (uint8_t)(DEVICE << 3 | kind->function), &vp->pci, e);
}

int extras_create(const struct vmm_spec *spec, const struct extras_env *env, struct extras **out,
		  struct err *e)
{
	struct extras *x;
	int r = 0;

	*out = NULL;
	x = calloc(1, sizeof(*x));
	if (x == NULL)
		return err_set(e, ENOMEM, "virtio devices: out of memory");
	/* What is plugged when one fails is the root complex's: machine_destroy() knows the order. */
	*out = x;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++)
		if (kinds[i]->is_wanted(spec))
			r = extra_create(x, kinds[i], spec, env, e);
	return r;
}

void extras_close(struct extras *x)
{
	for (unsigned int i = 0; x != NULL && i < x->count; i++)
		x->items[i].kind->close(x->items[i].vp);
}

void extras_destroy(struct extras *x)
{
	if (x == NULL)
		return;
	extras_close(x);
	for (unsigned int i = 0; i < x->count; i++)
		x->items[i].kind->destroy(x->items[i].vp);
	free(x);
}

void extras_pause(struct extras *x, bool paused)
{
	for (unsigned int i = 0; x != NULL && i < x->count; i++)
		x->items[i].kind->pause(x->items[i].vp, paused);
}

static json_t *extra_status(const struct extra *it)
{
	struct extra_status s = { .error = "" };
	char features[24];
	json_t *j;

	it->kind->status(it->vp, &s);
	snprintf(features, sizeof(features), "0x%llx", (unsigned long long)it->vp->features);
	j = json_pack("{s:s, s:b, s:s, s:I, s:I, s:s}", "device", it->kind->name, "driver_active",
		      (int)virtio_pci_runs(it->vp), "features", features, "to_guest",
		      (json_int_t)s.to_guest, "from_guest", (json_int_t)s.from_guest, "error",
		      s.error);
	if (s.cid != 0)
		json_object_set_new(j, "cid", json_integer(s.cid));
	return j;
}

json_t *extras_status(const struct extras *x)
{
	json_t *list = json_array();

	for (unsigned int i = 0; x != NULL && i < x->count; i++)
		if (json_array_append_new(list, extra_status(&x->items[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}
