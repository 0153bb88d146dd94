// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/virtio_msix.h"

#include "base/fd.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <sys/eventfd.h>

#define ENTRY_ADDR    0
#define ENTRY_DATA    8
#define ENTRY_CONTROL 12
#define ENTRY_MASKED  0x1

int virtio_msix_init(struct virtio_msix *m, struct irq_router *irq, unsigned int count,
		     struct err *e)
{
	*m = (struct virtio_msix){ .irq = irq, .count = count };
	for (unsigned int i = 0; i < VIRTIO_SOURCES_MAX; i++)
		m->sources[i] = (struct virtio_source){ .eventfd = -1 };
	if (count > VIRTIO_SOURCES_MAX)
		return err_set(e, ERANGE, "more than %d interrupt vectors", VIRTIO_SOURCES_MAX);
	for (unsigned int i = 0; i < count; i++) {
		m->sources[i].eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (m->sources[i].eventfd < 0) {
			int r = err_set(e, errno, "eventfd: %s", strerror(errno));

			virtio_msix_fini(m);
			return r;
		}
	}
	virtio_msix_reset(m);
	return 0;
}

static void source_silence(struct virtio_msix *m, struct virtio_source *s)
{
	if (s->live)
		(void)irq_fd_detach(m->irq, s->gsi, s->eventfd);
	s->live = false;
}

static void source_release(struct virtio_msix *m, struct virtio_source *s)
{
	source_silence(m, s);
	if (s->gsi != 0)
		irq_msi_free(m->irq, s->gsi);
	s->gsi = 0;
}

void virtio_msix_fini(struct virtio_msix *m)
{
	for (unsigned int i = 0; i < m->count && i < VIRTIO_SOURCES_MAX; i++) {
		source_release(m, &m->sources[i]);
		fd_close(&m->sources[i].eventfd);
	}
	m->count = 0;
}

void virtio_msix_reset(struct virtio_msix *m)
{
	m->enabled = m->masked = false;
	memset(m->table, 0, sizeof(m->table));
	for (unsigned int i = 0; i < m->count; i++) {
		m->table[i * VIRTIO_MSIX_ENTRY + ENTRY_CONTROL] = ENTRY_MASKED;
		source_release(m, &m->sources[i]);
		fd_event_drain(m->sources[i].eventfd);
		m->sources[i].is_pending = false;
		m->sources[i].vector = VIRTIO_NO_VECTOR;
	}
}

static bool vector_is_masked(const struct virtio_msix *m, unsigned int vector)
{
	return m->masked ||
	       (m->table[vector * VIRTIO_MSIX_ENTRY + ENTRY_CONTROL] & ENTRY_MASKED) != 0;
}

static void source_send(const struct virtio_msix *m, const struct virtio_source *s)
{
	const uint8_t *entry = m->table + s->vector * VIRTIO_MSIX_ENTRY;

	(void)irq_msi_send(m->irq, get_le64(entry + ENTRY_ADDR), get_le32(entry + ENTRY_DATA));
}

/* Brings one source in line with its vector, the entry, the function mask and the enable bit. What KVM does
 * not take costs the guest this interrupt and nothing else. */
static void source_update(struct virtio_msix *m, struct virtio_source *s)
{
	const uint8_t *entry;

	if (!m->enabled || s->vector >= m->count || vector_is_masked(m, s->vector)) {
		source_silence(m, s);
		return;
	}
	entry = m->table + s->vector * VIRTIO_MSIX_ENTRY;
	if (s->gsi == 0 && irq_msi_alloc(m->irq, &s->gsi) < 0) {
		s->gsi = 0;
		return;
	}
	/* Route first: KVM injects at once what was signalled while the vector was masked. */
	if (irq_msi_set(m->irq, s->gsi, get_le64(entry + ENTRY_ADDR),
			get_le32(entry + ENTRY_DATA)) < 0 ||
	    s->live || irq_fd_attach(m->irq, s->gsi, s->eventfd) < 0)
		return;
	s->live = true;
	/* KVM injects what was signalled before it listened, but leaves it in the eventfd. */
	fd_event_drain(s->eventfd);
	if (s->is_pending)
		source_send(m, s);
	s->is_pending = false;
}

static void vector_update(struct virtio_msix *m, unsigned int vector)
{
	for (unsigned int i = 0; i < m->count; i++)
		if (m->sources[i].vector == vector)
			source_update(m, &m->sources[i]);
}

void virtio_msix_control(struct virtio_msix *m, uint16_t control)
{
	bool enabled = (control & PCI_MSIX_FLAGS_ENABLE) != 0;
	bool masked = (control & PCI_MSIX_FLAGS_MASKALL) != 0;

	if (enabled == m->enabled && masked == m->masked)
		return;
	m->enabled = enabled;
	m->masked = masked;
	for (unsigned int i = 0; i < m->count; i++)
		source_update(m, &m->sources[i]);
}

uint64_t virtio_msix_table_read(const struct virtio_msix *m, uint64_t off, unsigned int len)
{
	if (!range_fits(off, len, m->count * VIRTIO_MSIX_ENTRY))
		return UINT64_MAX;
	return get_le(m->table + off, len);
}

void virtio_msix_table_write(struct virtio_msix *m, uint64_t off, unsigned int len, uint64_t value)
{
	if (len == 0 || !range_fits(off, len, m->count * VIRTIO_MSIX_ENTRY))
		return;
	for (uint64_t i = off; i < off + len; i++, value >>= 8) {
		/* Vector control has one bit, the others read 0. */
		if (i % VIRTIO_MSIX_ENTRY < ENTRY_CONTROL)
			m->table[i] = (uint8_t)value;
		else if (i % VIRTIO_MSIX_ENTRY == ENTRY_CONTROL)
			m->table[i] = value & ENTRY_MASKED;
	}
	for (uint64_t v = off / VIRTIO_MSIX_ENTRY; v <= (off + len - 1) / VIRTIO_MSIX_ENTRY; v++)
		vector_update(m, (unsigned int)v);
}

static bool source_is_pending(const struct virtio_source *s)
{
	struct pollfd p = { .fd = s->eventfd, .events = POLLIN };

	return !s->live && (s->is_pending || (poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0));
}

uint64_t virtio_msix_pending_read(const struct virtio_msix *m, uint64_t off, unsigned int len)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < m->count; i++) {
		const struct virtio_source *s = &m->sources[i];

		if (s->vector < m->count && s->vector >= off * 8 && s->vector < off * 8 + len * 8 &&
		    source_is_pending(s))
			bits |= BIT_ULL(s->vector - off * 8);
	}
	return bits;
}

void virtio_msix_vector_set(struct virtio_msix *m, unsigned int source, uint16_t vector)
{
	if (source >= m->count)
		return;
	m->sources[source].vector = vector < m->count ? vector : VIRTIO_NO_VECTOR;
	source_update(m, &m->sources[source]);
}

void virtio_msix_raise(struct virtio_msix *m, unsigned int source)
{
	if (source >= m->count)
		return;
	if (m->sources[source].live)
		source_send(m, &m->sources[source]);
	else
		m->sources[source].is_pending = true;
}
