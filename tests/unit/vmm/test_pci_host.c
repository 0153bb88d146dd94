// SPDX-License-Identifier: BSD-3-Clause
#include "fake_kvm.h"

#include "vmm/layout.h"
#include "vmm/pci_host.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MMIO64_BASE GIB(256)

/* An endpoint with BARs of its own choosing. */
struct endpoint {
	struct pci_dev dev;
	struct pci_cfg cfg;
	uint64_t bar_size[6];
	bool bar_wide[6], bar_pref[6];
	unsigned int resets, destroyed;
};

static const struct pci_cfg_reg endpoint_regs[] = {
	{ PCI_CFG_ID, 4, 0x10CA8086 }, { PCI_CFG_COMMAND, 2, 0, 0x0406 },
	{ 0x10, 4, 0, 0xFFFFFFFF },    { 0x14, 4, 0, 0xFFFFFFFF },
	{ 0x18, 4, 0, 0xFFFFFFFF },    { 0x1C, 4, 0, 0xFFFFFFFF },
	{ 0x20, 4, 0, 0xFFFFFFFF },    { 0x24, 4, 0, 0xFFFFFFFF },
};

static struct endpoint *ep_of(struct pci_dev *dev)
{
	return container_of(dev, struct endpoint, dev);
}

static uint32_t ep_read(struct pci_dev *dev, unsigned int off, unsigned int len)
{
	assert_true(off < 4096 && (len == 1 || len == 2 || len == 4) && off % len == 0);
	return pci_cfg_read(&ep_of(dev)->cfg, off, len);
}

static void ep_write(struct pci_dev *dev, unsigned int off, unsigned int len, uint32_t value)
{
	assert_true(off < 4096 && (len == 1 || len == 2 || len == 4) && off % len == 0);
	pci_cfg_write(&ep_of(dev)->cfg, off, len, value);
}

static void ep_reset(struct pci_dev *dev)
{
	ep_of(dev)->resets++;
}

static void ep_destroy(struct pci_dev *dev)
{
	ep_of(dev)->destroyed++;
}

static uint64_t ep_bar_size(struct pci_dev *dev, unsigned int bar, bool *wide, bool *pref)
{
	*wide = ep_of(dev)->bar_wide[bar];
	*pref = ep_of(dev)->bar_pref[bar];
	return ep_of(dev)->bar_size[bar];
}

static const struct pci_dev_ops ep_ops = { ep_read, ep_write, ep_reset, ep_destroy, ep_bar_size };

struct fixture {
	pthread_mutex_t lock;
	struct bus pio, mmio;
	struct irq_router *irq;
	struct pci_host *host;
	struct endpoint ep;
};

static int setup(void **state)
{
	static struct fixture f;
	struct pci_host_env env = { &f.pio, &f.mmio, NULL, MMIO64_BASE, GIB(128) };

	memset(&f, 0, sizeof(f));
	memset(&fake_kvm, 0, sizeof(fake_kvm));
	pthread_mutex_init(&f.lock, NULL);
	assert_int_equal(bus_init(&f.pio, &f.lock), 0);
	assert_int_equal(bus_init(&f.mmio, &f.lock), 0);
	assert_int_equal(irq_router_create(3, &f.irq, NULL), 0);
	env.irq = f.irq;
	assert_int_equal(pci_host_create(&env, &f.host, NULL), 0);
	f.ep.dev.ops = &ep_ops;
	f.ep.dev.name = "test endpoint";
	pci_cfg_init(&f.ep.cfg, endpoint_regs, ARRAY_SIZE(endpoint_regs));
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pci_host_destroy(f->host);
	irq_router_destroy(f->irq);
	bus_fini(&f->pio);
	bus_fini(&f->mmio);
	return 0;
}

static uint32_t port_in(struct fixture *f, uint16_t port, unsigned int len)
{
	uint32_t v = 0;

	bus_read(&f->pio, 0, port, &v, len);
	return v;
}

static void port_out(struct fixture *f, uint16_t port, unsigned int len, uint32_t v)
{
	bus_write(&f->pio, 0, port, &v, len);
}

static uint64_t ecam(unsigned int bus, unsigned int slot, unsigned int off)
{
	return LAYOUT_ECAM | (uint64_t)bus << 20 | slot << 15 | off;
}

static uint32_t cfg_in(struct fixture *f, uint64_t addr, unsigned int len)
{
	uint32_t v = 0;

	bus_read(&f->mmio, 0, addr, &v, len);
	return v;
}

static void cfg_out(struct fixture *f, uint64_t addr, unsigned int len, uint32_t v)
{
	bus_write(&f->mmio, 0, addr, &v, len);
}

static void cf8_byte_lanes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(port_in(f, 0xCFC, 4), UINT32_MAX); /* not enabled */
	port_out(f, 0xCF8, 4, 0x80000000);
	assert_int_equal(port_in(f, 0xCF8, 4), 0x80000000);
	assert_int_equal(port_in(f, 0xCFC, 4), 0x29C08086);
	assert_int_equal(port_in(f, 0xCFC, 2), 0x8086);
	assert_int_equal(port_in(f, 0xCFE, 2), 0x29C0);
	assert_int_equal(port_in(f, 0xCFD, 1), 0x80);
	assert_int_equal(port_in(f, 0xCFF, 1), 0x29);
	assert_int_equal(port_in(f, 0xCFD, 2), 0xC080); /* not aligned: byte by byte */
	assert_int_equal(port_in(f, 0xCFF, 2), 0xFF29); /* the second byte is nobody's */
	port_out(f, 0xCFB, 1, 1); /* a probe for other mechanisms: no change */
	assert_int_equal(port_in(f, 0xCF8, 4), 0x80000000);
	port_out(f, 0xCF8, 4, 0x80001000); /* 00:02.0: nobody */
	assert_int_equal(port_in(f, 0xCFC, 4), UINT32_MAX);
}

static uint64_t cf9_value;

static uint64_t cf9_read(void *owner, uint64_t off, unsigned int len)
{
	assert_int_equal(off, 0);
	assert_int_equal(len, 1);
	return cf9_value;
}

static void cf9_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	cf9_value = value;
}

static void cf9_is_inside_cf8(void **state)
{
	static const struct io_ops ops = { cf9_read, cf9_write };
	struct fixture *f = *state;

	assert_int_equal(port_in(f, 0xCF9, 1), 0xFF);
	pci_host_set_cf9(f->host, &ops, NULL);
	port_out(f, 0xCF9, 1, 6);
	assert_int_equal(cf9_value, 6);
	assert_int_equal(port_in(f, 0xCF9, 1), 6);
	port_out(f, 0xCF8, 4, 0x80000600); /* the address register itself resets nothing */
	assert_int_equal(cf9_value, 6);
}

static void ecam_moves_with_pciexbar(void **state)
{
	struct fixture *f = *state;
	struct pci_windows w;

	assert_int_equal(cfg_in(f, ecam(0, 0, 0), 4), UINT32_MAX); /* off at reset */
	port_out(f, 0xCF8, 4, 0x80000060);
	port_out(f, 0xCFC, 4, 0xB0000001);
	assert_int_equal(cfg_in(f, 0xB0000000, 4), 0x29C08086);
	assert_int_equal(cfg_in(f, 0xB0000001, 2), 0xC080);
	pci_host_windows(f->host, &w);
	assert_int_equal(w.ecam_base, 0xB0000000);
	assert_int_equal(w.ecam_size, MIB(256));
	port_out(f, 0xCFC, 4, 0xE0000005); /* 64 MiB */
	assert_int_equal(cfg_in(f, 0xB0000000, 4), UINT32_MAX);
	pci_host_windows(f->host, &w);
	assert_int_equal(w.ecam_size, MIB(64));
	assert_int_equal(w.mmio32_base + w.mmio32_size, LAYOUT_ECAM);
	cfg_out(f, 0xE0000060, 4, 0xB0000001); /* moves itself away */
	assert_int_equal(cfg_in(f, 0xE0000000, 4), UINT32_MAX);
	assert_int_equal(cfg_in(f, 0xB0000060, 4), 0xB0000001);
	pci_host_reset(f->host);
	assert_int_equal(cfg_in(f, 0xB0000000, 4), UINT32_MAX);
}

static void ecam_of_eight_bytes(void **state)
{
	struct fixture *f = *state;
	uint64_t v = 0;

	assert_int_equal(pci_host_assign(f->host, NULL), 0);
	bus_read(&f->mmio, 0, LAYOUT_ECAM, &v, 8);
	assert_true(v == 0x0080000629C08086);
}

/* A port with a device is as firmware leaves it: the driver must find it present and running. */
static void cold_plugged_device_is_there(void **state)
{
	struct fixture *f = *state;
	uint32_t sta;

	f->ep.bar_size[0] = 16384;
	f->ep.bar_wide[0] = f->ep.bar_pref[0] = true;
	f->ep.bar_size[3] = 16384;
	assert_int_equal(pci_host_plug_behind_port(f->host, &f->ep.dev, NULL), 0);
	assert_int_equal(pci_host_add_ports(f->host, 1, NULL), 0);
	assert_int_equal(pci_host_assign(f->host, NULL), 0);

	assert_int_equal(cfg_in(f, ecam(1, 0, 0), 4), 0x10CA8086);
	assert_int_equal(cfg_in(f, ecam(1, 1, 0), 4), UINT32_MAX);
	assert_int_equal(cfg_in(f, ecam(2, 0, 0), 4), UINT32_MAX);
	assert_int_equal(cfg_in(f, ecam(0, 1, PCI_CFG_COMMAND), 2), 6);
	sta = cfg_in(f, ecam(0, 1, PCI_PORT_SLTSTA), 2);
	assert_int_equal(sta, 0x0040); /* present, and no event pending */
	assert_int_equal(cfg_in(f, ecam(0, 1, PCI_PORT_LNKSTA), 2) & 0x2000, 0x2000);
	assert_int_equal(cfg_in(f, ecam(0, 1, PCI_PORT_SLTCTL), 2) & 0x0400, 0); /* power on */
	assert_int_equal(cfg_in(f, ecam(0, 2, PCI_PORT_SLTSTA), 2), 0);
	assert_int_equal(cfg_in(f, ecam(0, 2, PCI_PORT_SLTCAP), 4) >> 19, 2);
}

static void assignment_fits_windows(void **state)
{
	struct fixture *f = *state;
	uint64_t bar, base, limit;

	f->ep.bar_size[0] = MIB(8);
	f->ep.bar_wide[0] = f->ep.bar_pref[0] = true;
	f->ep.bar_size[2] = 16384;
	f->ep.bar_size[3] = MIB(4);
	assert_int_equal(pci_host_add_ports(f->host, 1, NULL), 0);
	assert_int_equal(pci_host_plug_behind_port(f->host, &f->ep.dev, NULL), 0);
	assert_int_equal(pci_host_assign(f->host, NULL), 0);

	assert_int_equal(cfg_in(f, ecam(0, 2, PCI_BRIDGE_PRIMARY), 4), 0x00020200);
	bar = cfg_in(f, ecam(2, 0, 0x10), 4) | (uint64_t)cfg_in(f, ecam(2, 0, 0x14), 4) << 32;
	base = (uint64_t)(cfg_in(f, ecam(0, 2, PCI_BRIDGE_PREF_BASE), 2) & 0xFFF0) << 16 |
	       (uint64_t)cfg_in(f, ecam(0, 2, PCI_BRIDGE_PREF_BASE_HI), 4) << 32;
	limit = (uint64_t)(cfg_in(f, ecam(0, 2, PCI_BRIDGE_PREF_LIMIT), 2) | 0xF) << 16 |
		(uint64_t)cfg_in(f, ecam(0, 2, PCI_BRIDGE_PREF_LIMIT_HI), 4) << 32 | 0xFFFF;
	assert_true(base == MMIO64_BASE + GIB(1));
	assert_true(limit == base + GIB(1) - 1); /* with room for a later device */
	assert_true(bar >= base && bar + MIB(8) - 1 <= limit && is_aligned(bar, MIB(8)));

	base = (uint64_t)cfg_in(f, ecam(0, 2, PCI_BRIDGE_MEM_BASE), 2) << 16;
	limit = (uint64_t)cfg_in(f, ecam(0, 2, PCI_BRIDGE_MEM_LIMIT), 2) << 16 | 0xFFFFF;
	bar = cfg_in(f, ecam(2, 0, 0x1C), 4);
	assert_true(is_aligned(bar, MIB(4)) && bar >= base && bar + MIB(4) - 1 <= limit);
	bar = cfg_in(f, ecam(2, 0, 0x18), 4);
	assert_true(bar >= base && bar + 16383 <= limit);
	assert_true(base >= LAYOUT_MMIO32 && limit < LAYOUT_ECAM);

	/* Again after a reset: the same places. */
	pci_host_reset(f->host);
	assert_int_equal(cfg_in(f, ecam(0, 0, 0), 4), UINT32_MAX);
	assert_int_equal(pci_host_assign(f->host, NULL), 0);
	assert_int_equal(cfg_in(f, ecam(2, 0, 0x18), 4), bar);
}

static void assignment_refuses_what_does_not_fit(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };

	f->ep.bar_size[0] = GIB(1);
	assert_int_equal(pci_host_plug_behind_port(f->host, &f->ep.dev, NULL), 0);
	assert_int_equal(pci_host_assign(f->host, &e), -ENOSPC);
	assert_non_null(strstr(e.text, "test endpoint"));
	assert_true(e.hint[0] != '\0');
	f->ep.bar_size[0] = 5000;
	assert_int_equal(pci_host_assign(f->host, &e), -EINVAL);
	f->ep.bar_size[0] = 1ULL << 63;
	f->ep.bar_wide[0] = f->ep.bar_pref[0] = true;
	assert_int_equal(pci_host_assign(f->host, &e), -ENOSPC);
	f->ep.bar_size[0] = 0;
	f->ep.bar_size[5] = 4096;
	f->ep.bar_wide[5] = true;
	assert_int_equal(pci_host_assign(f->host, &e), -EINVAL);
}

static void all_ports_fit(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };
	struct pci_windows w;

	assert_int_equal(pci_host_add_ports(f->host, PCI_PORTS_MAX, NULL), 0);
	assert_int_equal(pci_host_assign(f->host, &e), 0);
	assert_int_equal(pci_host_add_ports(f->host, 1, &e), -ENOSPC);
	assert_int_equal(cfg_in(f, ecam(0, 30, PCI_BRIDGE_SECONDARY), 1), 30);
	pci_host_windows(f->host, &w);
	assert_int_equal(w.bus_last, 30);
}

#define SLTCTL(f) ecam(0, 1, PCI_PORT_SLTCTL)
#define SLTSTA(f) ecam(0, 1, PCI_PORT_SLTSTA)

/* As a hot-plug driver does it: MSI on, all events on, status cleared. */
static void driver_starts(struct fixture *f)
{
	cfg_out(f, ecam(0, 1, PCI_PORT_MSI + 4), 4, 0xFEE01000);
	cfg_out(f, ecam(0, 1, PCI_PORT_MSI + 12), 2, 0x31);
	cfg_out(f, ecam(0, 1, PCI_PORT_MSI + 2), 2, 1);
	cfg_out(f, SLTSTA(f), 2, 0xFFFF);
	cfg_out(f, SLTCTL(f), 2, 0x1031);
	assert_int_equal(fake_kvm.msi_count, 1); /* command completed */
	assert_int_equal(fake_kvm.msi.address_lo, 0xFEE01000);
	assert_int_equal(fake_kvm.msi.data, 0x31);
	cfg_out(f, SLTSTA(f), 2, 0x0010);
}

static void unplug_waits_for_the_guest(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pci_host_plug_behind_port(f->host, &f->ep.dev, NULL), 0);
	assert_int_equal(pci_host_assign(f->host, NULL), 0);
	driver_starts(f);
	assert_int_equal(pci_host_unplug_request(f->host, &f->ep.dev), 0);
	assert_int_equal(cfg_in(f, SLTSTA(f), 2), 0x0041); /* button pressed, still present */
	assert_int_equal(fake_kvm.msi_count, 2);
	pci_host_unplug_request(f->host, &f->ep.dev); /* a second press would cancel: not sent */
	assert_int_equal(fake_kvm.msi_count, 2);
	cfg_out(f, SLTSTA(f), 2, 0x0001);
	assert_int_equal(f->ep.destroyed, 0);
	cfg_out(f, SLTCTL(f), 2, 0x1431); /* power off */
	assert_int_equal(f->ep.destroyed, 1);
	assert_int_equal(cfg_in(f, SLTSTA(f), 2), 0x0118); /* gone, link down, command completed */
	assert_int_equal(cfg_in(f, ecam(1, 0, 0), 4), UINT32_MAX);
	assert_int_equal(pci_host_unplug_request(f->host, &f->ep.dev), -ENODEV);

	/* And a device comes into the dark slot: the button, then power by the guest. */
	cfg_out(f, SLTSTA(f), 2, 0xFFFF);
	assert_int_equal(pci_host_hot_plug(f->host, &f->ep.dev, NULL), 0);
	assert_int_equal(cfg_in(f, SLTSTA(f), 2), 0x0049);
	assert_int_equal(cfg_in(f, ecam(1, 0, 0), 4), UINT32_MAX);
	cfg_out(f, SLTCTL(f), 2, 0x1031);
	assert_int_equal(cfg_in(f, ecam(1, 0, 0), 4), 0x10CA8086);
	assert_int_equal(pci_host_hot_plug(f->host, &f->ep.dev, NULL), -ENOSPC);
	f->ep.destroyed = 0;
}

static void pulled_device_is_gone_at_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pci_host_plug_behind_port(f->host, &f->ep.dev, NULL), 0);
	assert_int_equal(pci_host_assign(f->host, NULL), 0);
	driver_starts(f);
	assert_int_equal(pci_host_pull(f->host, &f->ep.dev), 0);
	assert_int_equal(f->ep.destroyed, 1);
	assert_int_equal(cfg_in(f, SLTSTA(f), 2), 0x0108); /* presence and link changed, empty */
	assert_int_equal(cfg_in(f, ecam(1, 0, 0), 4), UINT32_MAX);
	assert_int_equal(pci_host_pull(f->host, &f->ep.dev), -ENODEV);
	f->ep.destroyed = 0;
}

static void power_and_bus_reset_reach_the_device(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pci_host_plug_behind_port(f->host, &f->ep.dev, NULL), 0);
	assert_int_equal(pci_host_assign(f->host, NULL), 0);
	cfg_out(f, ecam(0, 1, PCI_BRIDGE_CONTROL), 2, 0x40);
	assert_int_equal(f->ep.resets, 1);
	cfg_out(f, ecam(0, 1, PCI_BRIDGE_CONTROL), 2, 0x40); /* still in reset */
	cfg_out(f, ecam(0, 1, PCI_BRIDGE_CONTROL), 2, 0);
	assert_int_equal(f->ep.resets, 1);
	cfg_out(f, SLTCTL(f), 2, 0x0400);
	assert_int_equal(f->ep.resets, 2);
	assert_int_equal(f->ep.destroyed, 0); /* nobody asked for its removal */
	assert_int_equal(cfg_in(f, ecam(1, 0, 0), 4), UINT32_MAX);
	cfg_out(f, SLTCTL(f), 2, 0);
	assert_int_equal(cfg_in(f, ecam(1, 0, 0), 4), 0x10CA8086);
	cfg_out(f, ecam(0, 1, PCI_PORT_LNKCTL), 2, 0x10); /* link disabled */
	assert_int_equal(cfg_in(f, ecam(1, 0, 0), 4), UINT32_MAX);
	pci_host_reset(f->host);
	assert_int_equal(f->ep.resets, 3);
}

static void removal_half_way_ends_with_system_reset(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pci_host_plug_behind_port(f->host, &f->ep.dev, NULL), 0);
	assert_int_equal(pci_host_unplug_request(f->host, &f->ep.dev), 0);
	pci_host_reset(f->host);
	assert_int_equal(f->ep.destroyed, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(cf8_byte_lanes),
		CASE(cf9_is_inside_cf8),
		CASE(ecam_moves_with_pciexbar),
		CASE(ecam_of_eight_bytes),
		CASE(cold_plugged_device_is_there),
		CASE(assignment_fits_windows),
		CASE(assignment_refuses_what_does_not_fit),
		CASE(all_ports_fit),
		CASE(unplug_waits_for_the_guest),
		CASE(pulled_device_is_gone_at_once),
		CASE(power_and_bus_reset_reach_the_device),
		CASE(removal_half_way_ends_with_system_reset),
	};

	return cmocka_run_group_tests_name("vmm-pci_host", tests, NULL, NULL);
}
