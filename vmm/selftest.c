// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/selftest.h"

#include "vmm/sandbox.h"
#include "vmm/selftest_device.h"
#include "vmm/selftest_vcpu.h"

#include "base/fd.h"
#include "base/json.h"
#include "iommu/dma.h"
#include "iommu/vfio_device.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define DMA_BYTES     MIB(64)
#define DMA_IOVA      MIB(16)
#define MESSAGES      16 /* to the eventfd */
#define GUEST_EACH    32 /* to the guest: while it runs, and as many while it halts */
#define WAIT_MS	      1000
#define INTERRUPTS    (8U << 20) /* of /proc/interrupts */
#define HEADER_BYTES  64 /* PCI 3.0, 6.1 */
#define STATUS_OFFSET PCI_STATUS
#define CAPS_MAX      48 /* of one function: 192 bytes behind the header, four each */

/* What is known of the machinery while the steps run. */
struct selftest {
	const struct selftest_spec *spec;
	struct dma_space *space;
	struct vfio_device dev;
	struct selftest_vcpu vcpu;
	const struct selftest_device *known; /* NULL: what makes it send an interrupt is not known */
	int event; /* of vector 0 */
	void *bar; /* of `known`; NULL: not mapped */
	uint64_t bar_bytes;
	uint16_t vendor, device, status; /* as configuration space had them */
	struct err function_why, vcpu_why; /* of the set-up; errnum 0: it went well */
	unsigned int sent; /* messages that the function sent to the guest */
	int64_t host_counted; /* of those; -1: not known */
	char text[SELFTEST_TEXT]; /* of the step under way: what it saw, or why it was not run */
};

#define NOT_RUN 1

static int not_run(struct selftest *t, const char *why)
{
	snprintf(t->text, sizeof(t->text), "%s", why);
	return NOT_RUN;
}

static double ms_since(uint64_t began_ns)
{
	return (double)(now_ns() - began_ns) / 1e6;
}

/* Set-up: all that opens something or makes the VM. */

static int function_open(struct selftest *t, struct err *e)
{
	uint8_t header[8];
	int r = dma_space_create(DMA_TYPE1, t->spec->container, &t->space, e);
	char name[32];

	snprintf(name, sizeof(name), "IOMMU group %u", t->spec->group);
	if (r == 0)
		r = dma_space_attach(t->space, t->spec->group_fd, name, e);
	if (r == 0 && t->vcpu_why.errnum == 0)
		(void)selftest_vcpu_group(&t->vcpu, t->spec->group_fd, &t->vcpu_why);
	if (r == 0)
		r = vfio_device_open(&t->dev, t->spec->group_fd, &t->spec->address, e);
	if (r < 0)
		return r;
	r = vfio_device_read(&t->dev, VFIO_REGION_CONFIG, PCI_VENDOR_ID, header, sizeof(header));
	if (r < 0)
		return err_set(e, r, "read its configuration space: %s", strerror(-r));
	t->vendor = get_le16(header);
	t->device = get_le16(header + 2);
	t->status = get_le16(header + PCI_STATUS);
	t->known = selftest_device_find(t->vendor, t->device);
	return 0;
}

/* The registers as the guest shall see them. Without them the host writes them. */
static void bar_map(struct selftest *t)
{
	const struct vfio_region_desc *d;

	if (t->known == NULL)
		return;
	d = &t->dev.regions[t->known->bar];
	if (d->area_count == 0 || d->areas[0].offset != 0 ||
	    t->known->raise.offset >= d->areas[0].size)
		return;
	if (vfio_device_map(&t->dev, t->known->bar, &d->areas[0], &t->bar, NULL) == 0)
		t->bar_bytes = d->areas[0].size;
}

static int set_up(struct selftest *t, struct err *e)
{
	t->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (t->event < 0)
		return err_set(e, errno, "eventfd: %s", strerror(errno));
	(void)selftest_vcpu_make(&t->vcpu, t->spec->kvm, &t->vcpu_why);
	if (function_open(t, &t->function_why) == 0)
		bar_map(t);
	return sandbox_filter(SANDBOX_RUN, e);
}

/* Steps: 0, NOT_RUN, or a negative errno with the error filled. */

static int function_step(struct selftest *t, struct err *e)
{
	if (t->function_why.errnum != 0) {
		*e = t->function_why;
		return -e->errnum;
	}
	snprintf(t->text, sizeof(t->text),
		 "opened by VFIO in a container of its own: %04x:%04x, %u MSI-X vectors, %s",
		 t->vendor, t->device, t->dev.irqs[VFIO_IRQ_MSIX].count,
		 t->dev.can_reset ? "can be reset" : "cannot be reset");
	/* VFIO itself answers for a VF's ids; its status comes from the device. */
	if (t->vendor == 0xffff || t->status == 0xffff)
		return err_set(e, EIO, "its configuration space reads as ones: it is not there");
	return 0;
}

static int dma_step(struct selftest *t, struct err *e)
{
	void *host = mmap(NULL, DMA_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	const struct dma_range range = { .iova = DMA_IOVA, .size = DMA_BYTES, .host = host };
	uint64_t began;
	double map_ms = 0;
	int r;

	if (host == MAP_FAILED)
		return err_set(e, errno, "memory: %s", strerror(errno));
	began = now_ns();
	r = dma_space_map(t->space, &range, DMA_READ | DMA_WRITE, e);
	if (r == 0) {
		map_ms = ms_since(began);
		began = now_ns();
		r = dma_space_unmap(t->space, DMA_IOVA, DMA_BYTES, e);
	}
	if (r == 0)
		snprintf(t->text, sizeof(t->text),
			 "%llu MiB pinned and mapped in %.2f ms, unmapped in %.2f ms",
			 (unsigned long long)(DMA_BYTES >> 20), map_ms, ms_since(began));
	munmap(host, DMA_BYTES);
	return r;
}

static int vcpu_step(struct selftest *t, struct err *e)
{
	const unsigned int pages = (SELFTEST_GUEST_BYTES - SELFTEST_GUEST_TOUCH) / 4096;
	unsigned int touched;
	int r;

	if (t->vcpu_why.errnum != 0) {
		*e = t->vcpu_why;
		return -e->errnum;
	}
	r = selftest_vcpu_run(&t->vcpu, e);
	if (r < 0)
		return r;
	touched = selftest_vcpu_touched(&t->vcpu);
	if (touched != pages)
		return err_set(e, EIO, "the guest's writes arrived in %u of %u pages", touched,
			       pages);
	snprintf(t->text, sizeof(t->text), "a guest ran; its writes arrived in all of %u pages",
		 pages);
	return 0;
}

/* One more event within the time. */
static bool event_wait(struct selftest *t)
{
	struct pollfd p = { .fd = t->event, .events = POLLIN };
	uint64_t count;

	return poll(&p, 1, WAIT_MS) == 1 && read(t->event, &count, sizeof(count)) == sizeof(count);
}

static int vfio_event_step(struct selftest *t, struct err *e)
{
	int r;

	if (t->dev.irqs[VFIO_IRQ_MSIX].count == 0)
		return not_run(t, "the function has no MSI-X");
	r = vfio_device_irq_set(&t->dev, VFIO_IRQ_MSIX, 0, &t->event, 1);
	if (r < 0)
		return err_set(e, r, "enable MSI-X with one vector: %s", strerror(-r));
	for (int i = 0; i < MESSAGES; i++) {
		r = vfio_device_irq_raise(&t->dev, VFIO_IRQ_MSIX, 0);
		if (r < 0)
			return err_set(e, r, "have VFIO trigger vector 0: %s", strerror(-r));
		if (!event_wait(t))
			return err_set(e, EIO, "trigger %d of %d did not reach its eventfd", i + 1,
				       MESSAGES);
	}
	snprintf(t->text, sizeof(t->text),
		 "MSI-X enabled, vector 0 allocated; VFIO's %d own triggers reached the eventfd",
		 MESSAGES);
	return 0;
}

static int bus_master_set(struct selftest *t, bool is_on)
{
	uint16_t command = 0;
	int r = vfio_device_read(&t->dev, VFIO_REGION_CONFIG, PCI_COMMAND, &command,
				 sizeof(command));

	if (r < 0)
		return r;
	command = (uint16_t)(is_on ? command | PCI_COMMAND_MASTER : command & ~PCI_COMMAND_MASTER);
	return vfio_device_write(&t->dev, VFIO_REGION_CONFIG, PCI_COMMAND, &command,
				 sizeof(command));
}

static int register_write(struct selftest *t, const struct selftest_register *reg)
{
	return vfio_device_write(&t->dev, t->known->bar, reg->offset, &reg->value,
				 sizeof(reg->value));
}

/* An interrupt message is a write: bus mastering. There is nothing mapped that the function could reach. */
static int device_arm(struct selftest *t, struct err *e)
{
	int r = bus_master_set(t, true);

	if (r < 0)
		return err_set(e, r, "switch bus mastering on: %s", strerror(-r));
	for (size_t i = 0; r == 0 && i < SELFTEST_ARMS && t->known->arm[i].offset != 0; i++)
		r = register_write(t, &t->known->arm[i]);
	return r < 0 ? err_set(e, r, "write its registers: %s", strerror(-r)) : 0;
}

static int device_event_step(struct selftest *t, struct err *e)
{
	int r;

	if (t->known == NULL) {
		snprintf(
			t->text, sizeof(t->text),
			"no register is known by which a %04x:%04x without its driver sends an interrupt",
			t->vendor, t->device);
		return NOT_RUN;
	}
	r = device_arm(t, e);
	for (int i = 0; r == 0 && i < MESSAGES; i++) {
		r = register_write(t, &t->known->raise);
		if (r < 0)
			return err_set(e, r, "write its registers: %s", strerror(-r));
		if (!event_wait(t))
			return err_set(e, EIO, "message %d of %d of the function did not arrive",
				       i + 1, MESSAGES);
	}
	if (r == 0)
		snprintf(t->text, sizeof(t->text),
			 "the function sent %d messages of vector 0 by itself, and all arrived",
			 MESSAGES);
	return r;
}

/* What the host itself has handled of vector 0. */
static int64_t host_count(const struct selftest *t)
{
	auto_free char *text = malloc(INTERRUPTS);
	char name[64], address[PCI_ADDR_TEXT];
	size_t len = 0;

	if (text == NULL || t->spec->interrupts < 0)
		return -1;
	while (len < INTERRUPTS - 1) {
		ssize_t n =
			pread(t->spec->interrupts, text + len, INTERRUPTS - 1 - len, (off_t)len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	snprintf(name, sizeof(name), "vfio-msix[0](%s)", pci_addr_text(&t->spec->address, address));
	return selftest_irq_count(text, name);
}

/* One interrupt for the guest in this mode: from the function where it can, else from VFIO. */
static int guest_interrupt(struct selftest *t, uint32_t mode, struct err *e)
{
	const struct selftest_block before = selftest_vcpu_block(&t->vcpu);
	bool by_guest = t->bar != NULL;
	struct selftest_block after;
	int r;

	selftest_vcpu_tell(&t->vcpu, mode,
			   by_guest ? SELFTEST_GUEST_FUNCTION + t->known->raise.offset : 0,
			   by_guest ? t->known->raise.value : 0);
	r = by_guest ? 0 : vfio_device_irq_raise(&t->dev, VFIO_IRQ_MSIX, 0);
	if (r < 0)
		return err_set(e, r, "have VFIO trigger vector 0: %s", strerror(-r));
	r = selftest_vcpu_run(&t->vcpu, e);
	if (r < 0)
		return r;
	after = selftest_vcpu_block(&t->vcpu);
	if (after.interrupts == before.interrupts)
		return err_set(e, EIO, "the guest, %s, did not get its interrupt",
			       mode == SELFTEST_HALT ? "halted" : "running");
	t->sent += by_guest;
	return 0;
}

static int guest_step(struct selftest *t, struct err *e)
{
	int64_t before, after;
	uint64_t began;
	int r = selftest_vcpu_irqfd(&t->vcpu, t->event, e);

	if (r == 0 && t->bar != NULL)
		r = selftest_vcpu_map(&t->vcpu, t->bar, t->bar_bytes, e);
	before = host_count(t);
	began = now_ns();
	for (int i = 0; r == 0 && i < 2 * GUEST_EACH; i++) {
		r = guest_interrupt(t, i < GUEST_EACH ? SELFTEST_SPIN : SELFTEST_HALT, e);
		if (r < 0)
			return err_wrap(e, "interrupt %d of %d", i + 1, 2 * GUEST_EACH);
	}
	if (r < 0)
		return r;
	after = host_count(t);
	if (t->sent > 0 && before >= 0 && after >= before)
		t->host_counted = after - before;
	snprintf(t->text, sizeof(t->text),
		 "%s; its handler got %d while it ran and %d while it was halted, %.3f ms each",
		 t->bar != NULL ? "the guest wrote the function's register itself, without an exit"
				: "VFIO triggered the vector",
		 GUEST_EACH, GUEST_EACH, ms_since(began) / (2 * GUEST_EACH));
	return 0;
}

/* The MSI-X capability's offset; 0: none. The function's word: it is bounded. */
static unsigned int msix_find(const struct selftest *t)
{
	uint8_t at = 0, cap[2];

	if (vfio_device_read(&t->dev, VFIO_REGION_CONFIG, PCI_CAPABILITY_LIST, &at, 1) < 0)
		return 0;
	for (int i = 0; i < CAPS_MAX && at >= HEADER_BYTES; i++) {
		if (vfio_device_read(&t->dev, VFIO_REGION_CONFIG, at & ~3U, cap, 2) < 0)
			return 0;
		if (cap[0] == PCI_CAP_ID_MSIX)
			return at & ~3U;
		at = cap[1];
	}
	return 0;
}

static int header_read(const struct selftest *t, uint8_t header[HEADER_BYTES], struct err *e)
{
	int r = vfio_device_read(&t->dev, VFIO_REGION_CONFIG, 0, header, HEADER_BYTES);

	if (r < 0)
		return err_set(e, r, "read its configuration space: %s", strerror(-r));
	memset(header + STATUS_OFFSET, 0, 2); /* bits that come and go */
	return 0;
}

static uint32_t enabled_read(const struct selftest *t)
{
	uint32_t value = 0;

	if (t->known != NULL && t->known->enabled != 0)
		(void)vfio_device_read(&t->dev, t->known->bar, t->known->enabled, &value,
				       sizeof(value));
	return value;
}

/* After it the function does nothing by itself, and its header is as it was. */
static int reset_check(struct selftest *t, const uint8_t before[HEADER_BYTES], struct err *e)
{
	unsigned int msix = msix_find(t);
	uint8_t now[HEADER_BYTES];
	uint16_t flags = 0;
	int r = header_read(t, now, e);

	if (r == 0 && msix != 0)
		r = vfio_device_read(&t->dev, VFIO_REGION_CONFIG, msix + PCI_MSIX_FLAGS, &flags,
				     sizeof(flags));
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < HEADER_BYTES; i++)
		if (now[i] != before[i])
			return err_set(
				e, EIO,
				"its configuration space differs at 0x%x: 0x%02x, before 0x%02x", i,
				now[i], before[i]);
	if ((get_le16(now + PCI_COMMAND) & PCI_COMMAND_MASTER) != 0)
		return err_set(e, EIO, "bus mastering is on after the reset");
	if ((flags & PCI_MSIX_FLAGS_ENABLE) != 0)
		return err_set(e, EIO, "MSI-X is on after the reset");
	return 0;
}

static int reset_step(struct selftest *t, struct err *e)
{
	uint8_t before[HEADER_BYTES];
	uint32_t enabled = enabled_read(t);
	double took;
	uint64_t began;
	int r = bus_master_set(t, false);

	if (r == 0)
		r = vfio_device_irq_disable(&t->dev, VFIO_IRQ_MSIX);
	if (r < 0 && r != -EINVAL)
		return err_set(e, r, "switch its interrupts off: %s", strerror(-r));
	if (!t->dev.can_reset)
		return err_set(e, ENOTSUP, "VFIO offers no reset of this function");
	r = header_read(t, before, e);
	if (r < 0)
		return r;
	began = now_ns();
	r = vfio_device_reset(&t->dev);
	took = ms_since(began);
	if (r < 0)
		return err_set(e, r, "VFIO_DEVICE_RESET: %s", strerror(-r));
	r = reset_check(t, before, e);
	snprintf(t->text, sizeof(t->text),
		 "reset in %.1f ms; configuration header as before, bus mastering and MSI-X off%s",
		 took,
		 enabled == 0		? ""
		 : enabled_read(t) == 0 ? ", its own enabled interrupt too"
					: "; its own register of enabled interrupts was kept");
	return r;
}

/* A step whose `needs` did not pass is not run. */
enum step { FUNCTION, DMA, VCPU, VFIO_EVENT, DEVICE_EVENT, GUEST, RESET, STEPS, NOTHING = STEPS };

static const struct {
	const char *id;
	enum step needs, needs_also;
	int (*run)(struct selftest *t, struct err *e);
} steps[STEPS] = {
	[FUNCTION] = { "function", NOTHING, NOTHING, function_step },
	[DMA] = { "dma", FUNCTION, NOTHING, dma_step },
	[VCPU] = { "vcpu", NOTHING, NOTHING, vcpu_step },
	[VFIO_EVENT] = { "vfio-interrupt", FUNCTION, NOTHING, vfio_event_step },
	[DEVICE_EVENT] = { "device-interrupt", VFIO_EVENT, NOTHING, device_event_step },
	[GUEST] = { "guest-interrupt", VFIO_EVENT, VCPU, guest_step },
	[RESET] = { "reset", FUNCTION, NOTHING, reset_step },
};

static json_t *steps_run(struct selftest *t)
{
	static const char *const words[] = { [0] = "pass", [NOT_RUN] = "not-run" };
	bool has_passed[STEPS + 1] = { [NOTHING] = true };
	json_t *list = json_array();

	for (enum step i = 0; i < STEPS; i++) {
		const uint64_t began = now_ns();
		enum step missing = !has_passed[steps[i].needs] ? steps[i].needs
								: steps[i].needs_also;
		struct err e = { 0 };
		int r;

		t->text[0] = '\0';
		if (has_passed[missing]) {
			r = steps[i].run(t, &e);
		} else {
			snprintf(t->text, sizeof(t->text), "the step %s has not passed",
				 steps[missing].id);
			r = NOT_RUN;
		}
		has_passed[i] = r == 0;
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I}", "id", steps[i].id,
						      "result", r < 0 ? "fail" : words[r], "text",
						      r < 0 ? e.text : t->text, "us",
						      (json_int_t)((now_ns() - began) / 1000)));
	}
	return list;
}

int selftest_run(const struct selftest_spec *spec, json_t **result, struct err *e)
{
	struct selftest t = { .spec = spec, .event = -1, .dev.fd = -1, .host_counted = -1 };
	json_t *list;
	int r;

	selftest_vcpu_init(&t.vcpu);
	r = set_up(&t, e);
	if (r == 0) {
		list = steps_run(&t);
		*result = json_pack("{s:o, s:i, s:I}", "steps", list, "sent", (int)t.sent,
				    "host_counted", (json_int_t)t.host_counted);
		if (*result == NULL)
			r = err_set(e, ENOMEM, "out of memory");
	}
	/* The function first: nothing of what it could write to or signal goes before it. */
	(void)vfio_device_quiesce(&t.dev);
	selftest_vcpu_fini(&t.vcpu);
	vfio_device_unmap(t.bar, t.bar_bytes);
	vfio_device_close(&t.dev);
	dma_space_destroy(t.space);
	fd_close(&t.event);
	return r;
}
