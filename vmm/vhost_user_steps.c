// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vhost_user_steps.h"

#include "base/fd.h"

#include <errno.h>
#include <sys/socket.h>

#define INFLIGHT_MAX MIB(16)

static const struct {
	unsigned int bit;
	const char *name;
} protocol_names[] = {
	{ VHOST_USER_PROTOCOL_F_REPLY_ACK, "REPLY_ACK" },
	{ VHOST_USER_PROTOCOL_F_CONFIG, "CONFIG" },
	{ VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD, "INFLIGHT_SHMFD" },
};

static bool speaks(const struct vhost_front *f, unsigned int protocol_bit)
{
	return (f->protocol & BIT_ULL(protocol_bit)) != 0;
}

static int protocol_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	m->payload.number = f->protocol;
	return 0;
}

static int queue_num_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	return speaks(f, VHOST_USER_PROTOCOL_F_MQ) ? 0 : VHOST_SKIP;
}

static int features_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	m->payload.number = (f->rings.features & f->features) |
			    BIT_ULL(VHOST_USER_F_PROTOCOL_FEATURES);
	return 0;
}

static int memory_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	const struct gmem *gm = f->env.gmem;
	struct vhost_user_memory *t = &m->payload.memory;

	t->count = gm->slot_count;
	for (unsigned int i = 0; i < gm->slot_count; i++) {
		const struct gmem_slot *s = &gm->slots[i];

		t->regions[i] = (struct vhost_user_region){ s->gpa, s->size, s->gpa, s->offset };
		m->fds[m->fd_count++] = gm->memfd;
	}
	m->size = (uint32_t)(offsetof(struct vhost_user_memory, regions) +
			     gm->slot_count * sizeof(t->regions[0]));
	return 0;
}

static int mtu_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	m->payload.number = f->env.mtu;
	return speaks(f, VHOST_USER_PROTOCOL_F_NET_MTU) ? 0 : VHOST_SKIP;
}

static int num_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	m->payload.state = (struct vhost_user_vring_state){ ring, f->rings.rings[ring].size };
	return 0;
}

static int base_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	m->payload.state = (struct vhost_user_vring_state){ ring, f->rings.rings[ring].base };
	return 0;
}

static int addr_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	const struct vhost_ring *r = &f->rings.rings[ring];

	m->payload.addr = (struct vhost_user_vring_addr){
		.index = ring, .desc = r->desc, .used = r->used, .avail = r->avail
	};
	return 0;
}

static int kick_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	m->payload.number = ring;
	m->fds[m->fd_count++] = f->rings.rings[ring].kick_fd;
	return 0;
}

static int call_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	m->payload.number = ring;
	m->fds[m->fd_count++] = f->rings.rings[ring].call_fd;
	return 0;
}

static int enable_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	m->payload.state = (struct vhost_user_vring_state){ ring, ring < f->rings.enabled };
	return 0;
}

static int index_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	m->payload.state = (struct vhost_user_vring_state){ ring, 0 };
	return 0;
}

static uint16_t ring_size_largest(const struct vhost_rings *rings)
{
	uint16_t size = 0;

	for (unsigned int i = 0; i < rings->count; i++)
		if (rings->rings[i].is_set && rings->rings[i].size > size)
			size = rings->rings[i].size;
	return size;
}

static int inflight_get_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	m->payload.inflight =
		(struct vhost_user_inflight){ .num_queues = (uint16_t)f->rings.count,
					      .queue_size = ring_size_largest(&f->rings) };
	return speaks(f, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) && f->inflight_fd < 0 ? 0
										     : VHOST_SKIP;
}

static int inflight_set_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	if (!speaks(f, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) || f->inflight_fd < 0)
		return VHOST_SKIP;
	m->payload.inflight = f->inflight;
	m->fds[m->fd_count++] = f->inflight_fd;
	return 0;
}

static int features_take(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m,
			 struct err *e)
{
	f->features = m->payload.number;
	if ((f->features & BIT_ULL(VHOST_USER_F_PROTOCOL_FEATURES)) == 0)
		return err_set(e, EPROTO, "it lacks the feature PROTOCOL_FEATURES");
	return 0;
}

static int protocol_take(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m,
			 struct err *e)
{
	const struct vhost_front_kind *kind = f->env.kind;

	f->protocol = m->payload.number & kind->protocol;
	for (size_t i = 0; i < ARRAY_SIZE(protocol_names); i++)
		if ((kind->must & ~f->protocol & BIT_ULL(protocol_names[i].bit)) != 0)
			return err_set(e, EPROTO, "it lacks the protocol feature %s",
				       protocol_names[i].name);
	if (f->env.queues > 1 && !speaks(f, VHOST_USER_PROTOCOL_F_MQ))
		return err_set(e, EPROTO, "it has 1 %s, the %s %u", kind->unit, kind->noun,
			       f->env.queues);
	return 0;
}

static int queue_num_take(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m,
			  struct err *e)
{
	if (m->payload.number < f->env.queues)
		return err_set(e, EPROTO, "it has %llu %ss, the %s %u",
			       (unsigned long long)m->payload.number, f->env.kind->unit,
			       f->env.kind->noun, f->env.queues);
	return 0;
}

static int config_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	m->payload.config = (struct vhost_user_config){ .size = VHOST_USER_CONFIG_BYTES };
	return speaks(f, VHOST_USER_PROTOCOL_F_CONFIG) ? 0 : VHOST_SKIP;
}

static int config_take(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m,
		       struct err *e)
{
	const struct vhost_user_config *c = &m->payload.config;

	if (c->offset != 0 || c->size != VHOST_USER_CONFIG_BYTES)
		return err_set(e, EBADMSG, "GET_CONFIG: the answer is %u bytes from %u on", c->size,
			       c->offset);
	return f->env.kind->config(f->env.arg, c->bytes, e);
}

static int channel_fill(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m)
{
	int pair[2];

	if (!speaks(f, VHOST_USER_PROTOCOL_F_BACKEND_REQ))
		return VHOST_SKIP;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return VHOST_SKIP; /* then it cannot say that something has changed */
	f->channel_fd = pair[0];
	f->channel_peer_fd = pair[1];
	m->fds[m->fd_count++] = pair[1];
	return 0;
}

static int channel_take(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m,
			struct err *e)
{
	fd_close(&f->channel_peer_fd);
	return 0;
}

/* Both places of a packed ring lie in it. Some back ends say one only, since they have nothing in flight when they stop. */
static bool packed_base_read(const struct vhost_ring *r, uint32_t *base)
{
	if (*base >> 16 == 0)
		*base |= *base << 16;
	return (*base & 0x7FFF) < r->size && (*base >> 16 & 0x7FFF) < r->size;
}

/* Where it stopped. A split ring goes on at the guest's used index, so of that it is told as a check only. */
static int base_take(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m,
		     struct err *e)
{
	struct vhost_ring *r = &f->rings.rings[ring];
	uint32_t base = m->payload.state.num;

	if (m->payload.state.index != ring ||
	    (f->rings.is_packed ? !packed_base_read(r, &base) : base > UINT16_MAX))
		return err_set(e, EBADMSG,
			       "GET_VRING_BASE: the answer is of ring %u at 0x%x, not ring %u",
			       m->payload.state.index, m->payload.state.num, ring);
	r->base = base;
	r->is_told = true;
	return 0;
}

/* The region is never mapped here: it is kept for the next back end. */
static int inflight_take(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m,
			 struct err *e)
{
	const struct vhost_user_inflight *i = &m->payload.inflight;

	if (i->mmap_size == 0 || i->mmap_size > INFLIGHT_MAX || i->mmap_offset > INFLIGHT_MAX)
		return err_set(e, EBADMSG, "GET_INFLIGHT_FD: a region of %llu bytes",
			       (unsigned long long)i->mmap_size);
	f->inflight = *i;
	f->inflight.num_queues = (uint16_t)f->rings.count;
	f->inflight.queue_size = ring_size_largest(&f->rings);
	f->inflight_fd = fd_take(&m->fds[0]);
	m->fd_count = 0;
	return 0;
}

#define NUMBER	 sizeof(uint64_t)
#define STATE	 sizeof(struct vhost_user_vring_state)
#define ADDR	 sizeof(struct vhost_user_vring_addr)
#define INFLIGHT sizeof(struct vhost_user_inflight)
#define CONFIG	 sizeof(struct vhost_user_config)

static const struct vhost_row rows[] = {
	{ VHOST_USER_GET_FEATURES, 0, VHOST_ANSWER_VALUE, NUMBER, 0, NULL, features_take },
	{ VHOST_USER_GET_PROTOCOL_FEATURES, 0, VHOST_ANSWER_VALUE, NUMBER, 0, NULL, protocol_take },
	/* From here on REPLY_ACK is on, but not for this one. */
	{ VHOST_USER_SET_PROTOCOL_FEATURES, NUMBER, VHOST_ANSWER_NONE, 0, 0, protocol_fill },
	{ VHOST_USER_GET_QUEUE_NUM, 0, VHOST_ANSWER_VALUE, NUMBER, 0, queue_num_fill,
	  queue_num_take },
	{ VHOST_USER_SET_OWNER, 0, VHOST_ANSWER_ACK },
	{ VHOST_USER_GET_CONFIG, CONFIG, VHOST_ANSWER_VALUE, CONFIG, 0, config_fill, config_take },
	{ VHOST_USER_SET_BACKEND_REQ_FD, 0, VHOST_ANSWER_ACK, 0, 0, channel_fill, channel_take },
	{ VHOST_USER_SET_MEM_TABLE, 0, VHOST_ANSWER_ACK, 0, 0, memory_fill },
	{ VHOST_USER_SET_FEATURES, NUMBER, VHOST_ANSWER_ACK, 0, 0, features_fill },
	{ VHOST_USER_NET_SET_MTU, NUMBER, VHOST_ANSWER_ACK, 0, 0, mtu_fill },
	{ VHOST_USER_SET_VRING_NUM, STATE, VHOST_ANSWER_ACK, 0, 0, num_fill },
	{ VHOST_USER_SET_VRING_BASE, STATE, VHOST_ANSWER_ACK, 0, 0, base_fill },
	{ VHOST_USER_SET_VRING_ADDR, ADDR, VHOST_ANSWER_ACK, 0, 0, addr_fill },
	{ VHOST_USER_GET_INFLIGHT_FD, INFLIGHT, VHOST_ANSWER_VALUE, INFLIGHT, 1, inflight_get_fill,
	  inflight_take },
	{ VHOST_USER_SET_INFLIGHT_FD, INFLIGHT, VHOST_ANSWER_ACK, 0, 0, inflight_set_fill },
	{ VHOST_USER_SET_VRING_CALL, NUMBER, VHOST_ANSWER_ACK, 0, 0, call_fill },
	{ VHOST_USER_SET_VRING_KICK, NUMBER, VHOST_ANSWER_ACK, 0, 0, kick_fill },
	{ VHOST_USER_SET_VRING_ENABLE, STATE, VHOST_ANSWER_ACK, 0, 0, enable_fill },
	{ VHOST_USER_GET_VRING_BASE, STATE, VHOST_ANSWER_VALUE, STATE, 0, index_fill, base_take },
};

const struct vhost_row *vhost_row_find(uint32_t request)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].request == request)
			return &rows[i];
	return NULL;
}
