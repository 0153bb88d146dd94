// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/portfit.h"

#include "sriov/pfquirk.h"

#include <errno.h>

typedef bool word_fn(const struct vm_port *port, const struct pf_quirk *quirk);

static bool cannot(const struct vm_port *port, const struct pf_quirk *quirk, enum vf_attr attr)
{
	return quirk != NULL && (port->attrs.mask & quirk->cannot & BIT(attr)) != 0;
}

static bool loss_word(const struct vm_port *port, const struct pf_quirk *quirk)
{
	return port->uplink_loss != UPLINK_LOSS_UNSAID && cannot(port, quirk, VF_ATTR_LINK_STATE);
}

static bool link_word(const struct vm_port *port, const struct pf_quirk *quirk)
{
	return cannot(port, quirk, VF_ATTR_LINK_STATE);
}

static bool trust_word(const struct vm_port *port, const struct pf_quirk *quirk)
{
	return cannot(port, quirk, VF_ATTR_TRUST);
}

static bool spoofchk_word(const struct vm_port *port, const struct pf_quirk *quirk)
{
	return cannot(port, quirk, VF_ATTR_SPOOFCHK);
}

static bool rate_word(const struct vm_port *port, const struct pf_quirk *quirk)
{
	return cannot(port, quirk, VF_ATTR_RATE);
}

static bool min_rate_word(const struct vm_port *port, const struct pf_quirk *quirk)
{
	return quirk != NULL && quirk->no_min_rate && port->attrs.min_mbps != 0;
}

/* Linux has no operation for these: whatever the driver. */
static bool trunk_word(const struct vm_port *port, const struct pf_quirk *quirk)
{
	return port->trunk_count != 0;
}

static bool macs_word(const struct vm_port *port, const struct pf_quirk *quirk)
{
	return port->mac_count != 0;
}

static bool queues_word(const struct vm_port *port, const struct pf_quirk *quirk)
{
	return port->queues != 0;
}

static bool queue_size_word(const struct vm_port *port, const struct pf_quirk *quirk)
{
	return port->queue_size != 0;
}

static bool storm_word(const struct vm_port *port, const struct pf_quirk *quirk)
{
	return port->storm != 0;
}

static bool grace_word(const struct vm_port *port, const struct pf_quirk *quirk)
{
	return port->has_grace && port->engine == PORT_VF;
}

static const struct {
	const char *word;
	word_fn *is_refused;
	const char *why, *hint; /* after "driver D of PF P" */
} words[] = {
	{ "uplink_loss", loss_word, "has no link state of a VF",
	  "leave uplink_loss out: then the VF does what the driver does" },
	{ "link", link_word, "has no link state of a VF", "leave link out" },
	{ "trust", trust_word, "has no trust of a VF", "leave trust out" },
	{ "spoofchk", spoofchk_word, "has no spoof check of a VF", "leave spoofchk out" },
	{ "rate", rate_word, "has no rate of a VF", "leave rate out" },
	{ "min_rate", min_rate_word, "has no min_rate of a VF, only rate", "leave min_rate out" },
	{ "vlan.mode", trunk_word, "cannot limit a VF to a list of VLANs: a VF has one or none",
	  "mode: access and a port for each VLAN; or no vlan: then the guest may tag with any" },
	{ "macs", macs_word, "cannot give a VF further MAC addresses",
	  "trust: multicast or promisc lets the guest's driver add them itself, any it likes" },
	{ "queues", queues_word, "has no operation for the number of a VF's queues",
	  "leave queues out; the guest's driver chooses among those of the VF (ethtool -L)" },
	{ "queue_size", queue_size_word,
	  "has nothing to do with the rings of a VF: they are its guest's",
	  "leave queue_size out; in the guest: ethtool -G" },
	{ "storm", storm_word, "has no limit of a VF's broadcasts", "leave storm out" },
	{ "backend_grace", grace_word, "has a VF of its own for the guest, and no backend",
	  "leave backend_grace out, or write engine: polled" },
};

int port_fit_check(const struct vm_port *port, const struct port_pf *pf, struct err *e)
{
	const struct pf_quirk *quirk = pf_quirk_find(pf->driver);

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!words[i].is_refused(port, quirk))
			continue;
		err_set(e, EOPNOTSUPP, "%s: driver %s of PF %s %s", words[i].word,
			pf->driver[0] != '\0' ? pf->driver : "(none)", pf->name, words[i].why);
		err_code(e, "attr-unsupported");
		return err_hint(e, "%s", words[i].hint);
	}
	if (port->mtu != 0 && pf->mtu != 0 && port->mtu > pf->mtu) {
		err_set(e, EINVAL, "mtu: %u is more than the %u of PF %s", port->mtu, pf->mtu,
			pf->name);
		err_code(e, "mtu-too-large");
		return err_hint(e, "ip link set %s mtu %u", pf->name, port->mtu);
	}
	return 0;
}
