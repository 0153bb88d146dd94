// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/acpi_dsdt.h"

#include "vmm/acpi_aml.h"
#include "vmm/chipset_pm.h"
#include "vmm/chipset_rtc.h"
#include "vmm/chipset_uart.h"
#include "vmm/layout.h"

#define CONFIG_PORTS	 0xCF8
#define CONFIG_PORTS_LEN 8
#define PCI_SLOTS	 31 /* 1 to 31: slot 0 is the root complex itself */
#define PCI_PINS	 4
#define INTX_GSI_FIRST	 16
#define INTX_GSIS	 8
#define OSC_GRANTED	 0x1F /* hot plug, SHPC, PME, AER, PCIe capability */
#define OSC_BAD_UUID	 0x04
#define OSC_BAD_REVISION 0x08
#define OSC_MASKED	 0x10

/* 33DB4D5B-1FF7-401C-9657-7441C03DD766: PCI host bridge (PCI Firmware 3.2, 4.5) */
static const uint8_t osc_uuid[16] = { 0x5B, 0x4D, 0xDB, 0x33, 0xF7, 0x1F, 0x1C, 0x40,
				      0x96, 0x57, 0x74, 0x41, 0xC0, 0x3D, 0xD7, 0x66 };

/* Name (_S5, ...): sleep type 0, as stock OVMF has it built in. */
static void sleep_state(struct aml *a)
{
	aml_name(a, "\\_S5");
	aml_package_begin(a, 4);
	for (unsigned int i = 0; i < 4; i++)
		aml_int(a, 0);
	aml_end(a);
}

/* Keeps the OS from giving ECAM and the PM ports to others. */
static void board(struct aml *a, const struct acpi_config *cfg)
{
	aml_device_begin(a, "MBRD");
	aml_name_eisa_id(a, "_HID", "PNP0C02");
	aml_name_int(a, "_UID", 1);
	aml_name(a, "_CRS");
	aml_resources_begin(a);
	if (cfg->ecam_size != 0)
		aml_memory(a, cfg->ecam_base, cfg->ecam_size);
	aml_io(a, LAYOUT_PORT_PM, PM_SIZE);
	aml_resources_end(a);
	aml_end(a);
}

static void root_windows(struct aml *a, const struct acpi_config *cfg)
{
	const uint64_t buses[] = { 0, cfg->bus_last };
	const uint64_t io_low[] = { 0, CONFIG_PORTS - 1 };
	const uint64_t io_high[] = { CONFIG_PORTS + CONFIG_PORTS_LEN, 0xFFFF };
	const uint64_t mmio32[] = { cfg->mmio32_base, cfg->mmio32_base + cfg->mmio32_size - 1 };
	const uint64_t mmio64[] = { cfg->mmio64_base, cfg->mmio64_base + cfg->mmio64_size - 1 };

	aml_name(a, "_CRS");
	aml_resources_begin(a);
	aml_window(a, AML_SPACE_BUS, 2, 0, buses);
	aml_io(a, CONFIG_PORTS, CONFIG_PORTS_LEN);
	aml_window(a, AML_SPACE_IO, 2, AML_IO_ENTIRE, io_low);
	aml_window(a, AML_SPACE_IO, 2, AML_IO_ENTIRE, io_high);
	if (cfg->mmio32_size != 0)
		aml_window(a, AML_SPACE_MEMORY, 4, AML_MEMORY_RW_UNCACHED, mmio32);
	if (cfg->mmio64_size != 0)
		aml_window(a, AML_SPACE_MEMORY, 8, AML_MEMORY_RW_CACHEABLE, mmio64);
	aml_resources_end(a);
}

/* CreateDWordField (Arg3, offset, name) */
static void osc_field(struct aml *a, unsigned int offset, const char *name)
{
	aml_op(a, AML_DWORD_FIELD);
	aml_op(a, AML_ARG3);
	aml_int(a, offset);
	aml_path(a, name);
}

/* CDW1 |= bit */
static void osc_complain(struct aml *a, unsigned int bit)
{
	aml_op(a, AML_OR);
	aml_path(a, "CDW1");
	aml_int(a, bit);
	aml_path(a, "CDW1");
}

static void osc_return(struct aml *a)
{
	aml_op(a, AML_RETURN);
	aml_op(a, AML_ARG3);
}

/* Grants native control of what the root ports have; a query changes nothing anyway. */
static void osc(struct aml *a)
{
	aml_method_begin(a, "_OSC", 4);
	osc_field(a, 0, "CDW1");
	aml_if_begin(a);
	aml_op(a, AML_LEQUAL);
	aml_op(a, AML_ARG0);
	aml_buffer(a, osc_uuid, sizeof(osc_uuid));
	osc_field(a, 4, "CDW2");
	osc_field(a, 8, "CDW3");
	aml_op(a, AML_AND);
	aml_path(a, "CDW3");
	aml_int(a, OSC_GRANTED);
	aml_op(a, AML_LOCAL0);

	aml_if_begin(a);
	aml_op(a, AML_LNOT);
	aml_op(a, AML_LEQUAL);
	aml_op(a, AML_ARG1);
	aml_op(a, AML_ONE);
	osc_complain(a, OSC_BAD_REVISION);
	aml_end(a);

	aml_if_begin(a);
	aml_op(a, AML_LNOT);
	aml_op(a, AML_LEQUAL);
	aml_path(a, "CDW3");
	aml_op(a, AML_LOCAL0);
	osc_complain(a, OSC_MASKED);
	aml_end(a);

	aml_op(a, AML_STORE);
	aml_op(a, AML_LOCAL0);
	aml_path(a, "CDW3");
	osc_return(a);
	aml_end(a);
	osc_complain(a, OSC_BAD_UUID);
	osc_return(a);
	aml_end(a);
}

/* Pin P of slot N is wired to GSI 16 + (N + P) mod 8. */
static void interrupt_routing(struct aml *a)
{
	aml_name(a, "_PRT");
	aml_package_begin(a, PCI_SLOTS * PCI_PINS);
	for (unsigned int slot = 1; slot <= PCI_SLOTS; slot++) {
		for (unsigned int pin = 0; pin < PCI_PINS; pin++) {
			aml_package_begin(a, 4);
			aml_int(a, slot << 16 | 0xFFFF);
			aml_int(a, pin);
			aml_int(a, 0);
			aml_int(a, INTX_GSI_FIRST + (slot + pin) % INTX_GSIS);
			aml_end(a);
		}
	}
	aml_end(a);
}

static void pci_root(struct aml *a, const struct acpi_config *cfg)
{
	aml_device_begin(a, "PCI0");
	aml_name_eisa_id(a, "_HID", "PNP0A08");
	aml_name_eisa_id(a, "_CID", "PNP0A03");
	aml_name_int(a, "_SEG", 0);
	aml_name_int(a, "_BBN", 0);
	aml_name_int(a, "_UID", 0);
	aml_name_int(a, "_CCA", 1);
	root_windows(a, cfg);
	osc(a);
	interrupt_routing(a);
	aml_end(a);
}

struct legacy_device {
	const char *name;
	const char *hid;
	uint16_t port;
	uint8_t port_count;
	uint8_t irq;
};

static const struct legacy_device legacy_devices[] = {
	{ "COM1", "PNP0501", LAYOUT_PORT_COM1, UART_SIZE, LAYOUT_IRQ_COM1 },
	{ "RTC0", "PNP0B00", RTC_PORT, RTC_SIZE, LAYOUT_IRQ_RTC },
};

static void legacy_device(struct aml *a, const struct legacy_device *dev)
{
	aml_device_begin(a, dev->name);
	aml_name_eisa_id(a, "_HID", dev->hid);
	aml_name_int(a, "_UID", 1);
	aml_name(a, "_CRS");
	aml_resources_begin(a);
	aml_io(a, dev->port, dev->port_count);
	aml_irq(a, dev->irq);
	aml_resources_end(a);
	aml_end(a);
}

/* Linux's pvpanic-mmio driver finds it by this id. */
static void panic_device(struct aml *a)
{
	aml_device_begin(a, "PEVT");
	aml_name(a, "_HID");
	aml_string(a, "QEMU0001");
	aml_name(a, "_CRS");
	aml_resources_begin(a);
	aml_io(a, LAYOUT_PORT_PVPANIC, 1);
	aml_resources_end(a);
	aml_end(a);
}

uint8_t *acpi_dsdt_body(const struct acpi_config *cfg, size_t *len)
{
	struct aml a = { 0 };

	sleep_state(&a);
	aml_scope_begin(&a, "\\_SB");
	board(&a, cfg);
	pci_root(&a, cfg);
	for (size_t i = 0; i < ARRAY_SIZE(legacy_devices); i++)
		legacy_device(&a, &legacy_devices[i]);
	panic_device(&a);
	aml_end(&a);
	return aml_finish(&a, len);
}
