// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/spec_nets.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>

#define RING_MIN     64
#define MTU_MIN	     68 /* virtio 1.2, 5.1.4.1 */
#define MTU_MAX	     65535
#define GRACE_MAX_MS 3600000
#define MAC_GROUP    0x01

static const char *const link_words[VMM_LINKS] = VMM_LINK_WORDS;

int spec_vhost_take(struct vmm_spec *spec, const char *port, int *fd, struct err *e)
{
	struct vmm_vhost_spec *v = &spec->vhosts[spec->vhost_count];

	if (parse_name(port) < 0)
		return err_set(e, EINVAL, "fd \"vhost:%.64s\": no name of a port", port);
	for (unsigned int i = 0; i < spec->vhost_count; i++)
		if (strcmp(spec->vhosts[i].port, port) == 0)
			return err_set(e, EINVAL, "fd \"vhost:%s\" is there twice", port);
	if (spec->vhost_count == VMM_MAX_NETS)
		return err_set(e, ERANGE, "more than %d vhost sockets", VMM_MAX_NETS);
	snprintf(v->port, sizeof(v->port), "%s", port);
	v->fd = fd_take(fd);
	spec->vhost_count++;
	return 0;
}

int spec_link_parse(const char *word, enum vmm_link *out, struct err *e)
{
	for (unsigned int i = 0; i < VMM_LINKS; i++) {
		if (strcmp(link_words[i], word) != 0)
			continue;
		*out = i;
		return 0;
	}
	return err_set(e, EINVAL, "link: \"%s\" is unknown to this version", word);
}

/* Members that are numbers, with their limits. */
static int numbers_parse(struct vmm_net_spec *net, const json_t *obj, struct err *e)
{
	uint64_t mtu = 1500, pairs = 1, size = 256, grace = 3000, uid = 0;
	int r = json_get_u64_opt(obj, "mtu", MTU_MAX, &mtu, e);

	if (r == 0)
		r = json_get_u64_opt(obj, "queues", VMM_MAX_PAIRS, &pairs, e);
	if (r == 0)
		r = json_get_u64_opt(obj, "queue_size", VMM_MAX_RING, &size, e);
	if (r == 0)
		r = json_get_u64_opt(obj, "grace_ms", GRACE_MAX_MS, &grace, e);
	if (r == 0)
		r = json_get_u64_opt(obj, "backend_uid", UINT32_MAX - 1, &uid, e);
	if (r < 0)
		return r;
	if (mtu < MTU_MIN)
		return err_set(e, ERANGE, "mtu: %llu is less than %d", (unsigned long long)mtu,
			       MTU_MIN);
	if (pairs == 0)
		return err_set(e, ERANGE, "queues: 1 to %d", VMM_MAX_PAIRS);
	if (!is_pow2(size) || size < RING_MIN)
		return err_set(e, ERANGE, "queue_size: a power of two from %d to %d", RING_MIN,
			       VMM_MAX_RING);
	net->mtu = (uint16_t)mtu;
	net->pairs = (unsigned int)pairs;
	net->ring_size = (unsigned int)size;
	net->grace_ms = (unsigned int)grace;
	net->backend_uid = (uid_t)uid;
	return 0;
}

static int words_parse(struct vmm_net_spec *net, const json_t *obj, struct err *e)
{
	char mac[MAC_TEXT], link[16] = "auto";
	int r = json_get_str(obj, "port", net->port, sizeof(net->port), e);

	if (r == 0)
		r = json_get_str(obj, "mac", mac, sizeof(mac), e);
	if (r == 0)
		r = json_get_str_opt(obj, "link", link, sizeof(link), e);
	if (r < 0)
		return r;
	if (parse_name(net->port) < 0)
		return err_set(e, EINVAL, "port \"%s\" is no name", net->port);
	if (parse_mac(mac, net->mac) < 0 || (net->mac[0] & MAC_GROUP) != 0)
		return err_set(e, EINVAL, "mac \"%s\" is no MAC address of one interface", mac);
	return spec_link_parse(link, &net->link, e);
}

static int port_check(const struct vmm_spec *spec, struct vmm_net_spec *net, struct err *e)
{
	bool is_there = false;

	for (unsigned int i = 0; i < spec->device_count; i++)
		is_there |= strcmp(spec->devices[i].port, net->port) == 0;
	for (unsigned int i = 0; i < spec->net_count; i++)
		is_there |= strcmp(spec->nets[i].port, net->port) == 0;
	if (is_there)
		return err_set(e, EINVAL, "port %s is there twice", net->port);
	for (net->socket = 0; net->socket < spec->vhost_count; net->socket++)
		if (strcmp(spec->vhosts[net->socket].port, net->port) == 0)
			return 0;
	return err_set(e, ENOENT, "fd \"vhost:%s\" is missing", net->port);
}

static int net_parse(struct vmm_spec *spec, const json_t *obj, struct err *e)
{
	static const char *const keys[] = { "port",	"mac",	       "mtu",
					    "queues",	"queue_size",  "link",
					    "grace_ms", "backend_uid", NULL };
	struct vmm_net_spec *net = &spec->nets[spec->net_count];
	int r = json_check_keys(obj, keys, e);

	if (r == 0)
		r = words_parse(net, obj, e);
	if (r == 0)
		r = numbers_parse(net, obj, e);
	if (r == 0)
		r = port_check(spec, net, e);
	if (r == 0)
		spec->net_count++;
	return r;
}

int spec_nets_parse(struct vmm_spec *spec, const json_t *obj, struct err *e)
{
	json_t *list, *item;
	size_t i;
	int r;

	if (json_object_get(obj, "nets") == NULL)
		return 0;
	r = json_get_array(obj, "nets", VMM_MAX_NETS, &list, e);
	if (r < 0)
		return r;
	json_array_foreach(list, i, item) {
		r = net_parse(spec, item, e);
		if (r < 0)
			return err_wrap(e, "nets: item %zu", i);
	}
	return 0;
}
