// SPDX-License-Identifier: BSD-3-Clause
/* Wiping a VF, step by step, with what each step read back. */
#include "vf-manager/privops.h"

#include "base/json.h"
#include "sriov/bind.h"
#include "sriov/reset.h"

#include <errno.h>
#include <stdio.h>

#define RESET_DEADLINE_NS 5000000000ULL
#define GONE_TRIES	  20
#define GONE_PAUSE_NS	  100000000L

#define READ_TEXT 192

struct scrub {
	struct daemon *d;
	const struct sysfs *sys;
	const struct pci_addr *vf;
	char driver[DRIVER_NAME]; /* at its start */
	char read[READ_TEXT]; /* by the step under way; "": nothing */
};

static int group_step(struct scrub *s, struct err *e)
{
	if (s->driver[0] == '\0') {
		snprintf(s->read, sizeof(s->read), "no driver has it");
		return 0;
	}
	if (strcmp(s->driver, DRIVER_VFIO) != 0)
		return err_set(e, EBUSY, "the driver %s has taken it", s->driver);
	snprintf(s->read, sizeof(s->read), "the VFIO group opens: nobody else has it");
	return priv_fn_idle_wait(s->d, s->vf, e);
}

static int master_step(struct scrub *s, struct err *e)
{
	return fn_dma_stop(s->sys, s->vf, e);
}

static int reset_step(struct scrub *s, struct err *e)
{
	char methods[64] = "";
	uint64_t began_ns = now_ns();
	int r;

	(void)sysfs_fn_read(s->sys, s->vf, "reset_method", methods, sizeof(methods));
	methods[strcspn(methods, " \n")] = '\0';
	r = fn_reset(s->sys, s->vf, now_ns() + RESET_DEADLINE_NS, e);
	snprintf(s->read, sizeof(s->read), "%s; it answers after %llu ms, bus mastering is off",
		 methods, (unsigned long long)((now_ns() - began_ns) / 1000000));
	return r;
}

static void attrs_text(const struct vf_attrs *a, char out[READ_TEXT])
{
	char one[VF_ATTR_TEXT];
	size_t len = 0;

	snprintf(out, READ_TEXT, "the PF's driver reports none");
	for (unsigned int i = 0; i < VF_ATTR_COUNT; i++)
		if ((a->mask & BIT(i)) != 0 && len < READ_TEXT)
			len += (size_t)snprintf(out + len, READ_TEXT - len, "%s%s",
						len > 0 ? ", " : "",
						vf_attr_text(a, (enum vf_attr)i, one));
}

/* Attributes are kept by the PF's network driver. A PF without one (vfio-pci, pci-pf-stub) keeps
 * none; one whose network device is in another namespace keeps them, out of our reach. */
static int attrs_reset(struct scrub *s, const struct pci_fn *fn, struct err *e)
{
	struct vf_attrs now = { 0 };
	int r;

	snprintf(s->read, sizeof(s->read), "the PF has no network driver that could keep any");
	if (fn->kind != FN_NETWORK)
		return 0;
	if (fn->pf->ifindex == 0 && !sysfs_fn_has(s->sys, &fn->pf->addr, "net"))
		return 0;
	r = vf_attrs_reset(s->d->nl, fn, &now, e);
	attrs_text(&now, s->read);
	return r;
}

static int attrs_step(struct scrub *s, struct err *e)
{
	const struct pci_fn *fn;
	int r;

	state_lock(s->d);
	r = priv_vf_now(s->d, s->vf, &fn, e);
	if (r == 0)
		r = attrs_reset(s, fn, e);
	state_unlock(s->d);
	return r;
}

static int driver_step(struct scrub *s, struct err *e)
{
	char driver[DRIVER_NAME] = "";
	int r = fn_unbind(s->sys, s->vf, e);

	if (r == 0 && fn_driver(s->sys, s->vf, driver) == 0)
		snprintf(s->read, sizeof(s->read), "%s", driver[0] != '\0' ? driver : "none");
	return r;
}

/* In this order: nothing may do DMA once attributes are gone, and no driver comes before the end. */
static const struct {
	const char *name;
	int (*run)(struct scrub *s, struct err *e);
} steps[] = {
	{ "group", group_step },      { "bus mastering off", master_step }, { "reset", reset_step },
	{ "attributes", attrs_step }, { "no driver", driver_step },
};

/* A VF that is being taken away fails any step of the wiping; a moment later it is gone, and with it
 * all it held. */
static bool vf_goes_away(const struct sysfs *sys, const struct pci_addr *vf)
{
	const struct timespec pause = { .tv_nsec = GONE_PAUSE_NS };

	for (int i = 0; i < GONE_TRIES; i++) {
		if (!sysfs_fn_has(sys, vf, "config"))
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static void step_tell(json_t *evidence, const char *name, bool is_ok, const char *read)
{
	if (evidence != NULL)
		json_array_append_new(evidence,
				      json_pack("{s:s, s:b, s:s?}", "step", name, "ok", is_ok,
						"read", *read != '\0' ? read : NULL));
}

int priv_vf_scrub(struct daemon *d, const struct pci_addr *vf, json_t *evidence, struct err *e)
{
	struct scrub s = { .d = d, .sys = inventory_sysfs(d->inv), .vf = vf };
	struct err why = { 0 };
	int r = fn_driver(s.sys, vf, s.driver);

	if (r == -ENODEV)
		return 0;
	if (r < 0)
		err_set(&why, r, "read its driver: %s", strerror(-r));
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++) {
		s.read[0] = '\0';
		r = steps[i].run(&s, &why);
		step_tell(evidence, steps[i].name, r == 0, r == 0 ? s.read : why.text);
	}
	/* Not by the errno: the PF's network device may be what is gone (-ENODEV), and the VF dirty. */
	if (r == 0 || vf_goes_away(s.sys, vf))
		return 0;
	if (e != NULL)
		*e = why;
	return err_wrap(e, "wipe the VF");
}
