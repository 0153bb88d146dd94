/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port's policy as the switch uses it: POLICY of pmd_msg.h, checked once.
 */
#ifndef VIADUCT_PMD_BACKENDS_POLICY_H
#define VIADUCT_PMD_BACKENDS_POLICY_H

#include "pmd_msg.h"

#include "base/json.h"

enum policy_vlan {
	POLICY_VLAN_NONE, /* untagged; with trust promisc any tag, as it is */
	POLICY_VLAN_ACCESS, /* untagged in the guest, tagged on the wire */
	POLICY_VLAN_TRUNK, /* tagged in the guest, as on the wire */
	POLICY_VLAN_QINQ, /* whatever in the guest, one more tag around it on the wire */
	POLICY_VLANS
};

enum policy_trust {
	POLICY_TRUST_NONE,
	POLICY_TRUST_MULTICAST,
	POLICY_TRUST_PROMISC,
	POLICY_TRUSTS
};
enum policy_link { POLICY_LINK_AUTO, POLICY_LINK_UP, POLICY_LINK_DOWN, POLICY_LINKS };

struct policy {
	uint8_t macs[1 + PMD_MAX_MACS][6]; /* the port's own first; all unicast, none twice */
	unsigned int mac_count;

	enum policy_vlan vlan;
	uint16_t vlan_ids[PMD_MAX_VLANS]; /* 1-4094, ascending; one of access and qinq */
	unsigned int vlan_count;
	uint16_t vlan_tpid; /* 0x8100 or 0x88a8, host byte order */
	uint8_t vlan_qos; /* priority bits of the tag that access and qinq put on */

	uint16_t mtu; /* 68-9000 */
	uint64_t rate_bps; /* bits of frames (no FCS, preamble, gap) per second, each way; 0: no limit */
	uint64_t min_rate_bps; /* share of a full uplink that the guest's frames have for sure; 0: none */
	uint32_t storm_fps; /* broadcast and multicast frames per second from the guest; 0: no limit */
	enum policy_trust trust;
	enum policy_link link;
	bool spoofchk;
	bool loss_propagate; /* uplink_loss; viaductd acts on it, by the VMM: the switch does not */
};

/*
 * Reads POLICY. "mac" must be there; what else is missing has its default: no VLAN, MTU 1500, no rate, no limit of
 * storms, trust none, spoofchk on, link auto, uplink_loss propagate. -EINVAL, code "bad-policy", with the member's name.
 */
int policy_parse(const json_t *in, struct policy *out, struct err *e);

#endif
