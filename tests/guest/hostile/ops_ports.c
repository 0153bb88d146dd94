// SPDX-License-Identifier: BSD-3-Clause
#include "tests/guest/hostile/hostile.h"
#include "tests/guest/hostile/hw.h"

#define LPC_BDF	     (0x1F << 3)
#define LPC_PMBASE   0x40
#define LPC_ACPI     0x44
#define PM_DEFAULT   0x600
#define PM1_CNT_HIGH 5
#define SLEEP	     0x20
#define PM_BYTES     0x80
#define RTC	     0x70
#define PIT	     0x40
#define PIC1	     0x20
#define PIC2	     0xA0
#define CF9	     0xCF9
#define KBC	     0x64
#define STRING_BYTES 1024

static volatile uint16_t pm_base = PM_DEFAULT;

static uint16_t any_port(struct cpu *c)
{
	static const uint16_t places[] = { 0x20,  0x21,	 0x40,	0x43,  0x60,  0x61,   0x70,   0x71,
					   0x80,  0x92,	 0xA0,	0xA1,  0x3F8, 0x4D0,  0x600,  0x608,
					   0xCF8, 0xCFA, 0xCFC, 0xCFF, 0xD00, 0xFFFC, 0xFFFF, 0 };

	return one_in(c, 3) ? (uint16_t)random_get(c)
			    : (uint16_t)(places[random_below(c, ARRAY_SIZE(places))] +
					 random_below(c, 4));
}

/* Not the ports that end the machine at once: the power-off bit, and both resets, which have
 * operations of their own. */
static bool port_ends(uint16_t port, unsigned int len)
{
	const uint16_t ends[] = { (uint16_t)(pm_base + PM1_CNT_HIGH), PM_DEFAULT + PM1_CNT_HIGH,
				  CF9, KBC };

	for (unsigned int i = 0; i < ARRAY_SIZE(ends); i++)
		if (port <= ends[i] && ends[i] - port < (int)len)
			return true;
	return port >= 0x3F8 && port < 0x400 && printing;
}

static void port_write(uint16_t port, unsigned int len, uint32_t v)
{
	if (port_ends(port, len))
		return;
	if (len == 1)
		out8(port, (uint8_t)v);
	else if (len == 2)
		out16(port, (uint16_t)v);
	else
		out32(port, v);
}

/* Power management's ports put over others. */
void op_pm_base(struct cpu *c)
{
	uint16_t to = any_port(c) & 0xFF80;

	if (one_in(c, 3))
		to = PM_DEFAULT;
	pm_base = to;
	cfg_put(LPC_BDF, LPC_PMBASE, 4, to | 1U);
	cfg_put(LPC_BDF, LPC_ACPI, 1, one_in(c, 4) ? (uint32_t)random_get(c) : 0x80);
}

void op_pm_register(struct cpu *c)
{
	uint16_t off = (uint16_t)random_below(c, PM_BYTES);
	unsigned int len = 1U << random_below(c, 3);

	if (one_in(c, 2))
		(void)in32((uint16_t)(pm_base + off));
	else if (off <= PM1_CNT_HIGH && off + len > PM1_CNT_HIGH) /* asleep, but not off */
		out8((uint16_t)(pm_base + PM1_CNT_HIGH),
		     (uint8_t)(SLEEP | (1 + random_below(c, 6)) << 2));
	else
		port_write((uint16_t)(pm_base + off), len, (uint32_t)random_value(c));
}

void op_rtc(struct cpu *c)
{
	for (int n = 0; n < 8; n++) {
		if (one_in(c, 4))
			out16(RTC, (uint16_t)random_get(c));
		out8(RTC, (uint8_t)(one_in(c, 2) ? random_below(c, 16) : random_get(c)));
		if (one_in(c, 2))
			(void)in8(RTC + 1);
		else
			out8(RTC + 1, (uint8_t)random_value(c));
	}
}

/* Registers and FIFOs, with little output: it is in loopback most of the time. */
void op_uart(struct cpu *c)
{
	if (printing)
		return;
	out8(PORT_COM1 + 4, 0x10 | (uint8_t)random_get(c));
	for (int n = 0; n < 32; n++) {
		uint16_t port = (uint16_t)(PORT_COM1 + random_below(c, 8));

		if (one_in(c, 2))
			(void)in8(port);
		else if (port != PORT_COM1 + 4)
			out8(port, (uint8_t)random_value(c));
	}
	if (one_in(c, 16) && !printing) {
		out8(PORT_COM1 + 3, 3);
		out8(PORT_COM1 + 4, 0x0B);
		out8(PORT_COM1, (uint8_t)random_get(c));
	}
}

void op_pit(struct cpu *c)
{
	for (int n = 0; n < 4; n++) {
		out8((uint16_t)(PIT + random_below(c, 4)), (uint8_t)random_value(c));
		(void)in8((uint16_t)(PIT + random_below(c, 4)));
	}
	out8(0x61, (uint8_t)random_get(c));
}

void op_pic(struct cpu *c)
{
	static const uint16_t ports[] = { PIC1, PIC1 + 1, PIC2, PIC2 + 1, 0x4D0, 0x4D1 };

	for (int n = 0; n < 6; n++)
		out8(ports[random_below(c, ARRAY_SIZE(ports))], (uint8_t)random_value(c));
}

void op_ioapic(struct cpu *c)
{
	for (int n = 0; n < 8; n++) {
		mmio_write(IOAPIC, 4, one_in(c, 8) ? random_get(c) : random_below(c, 0x40));
		if (one_in(c, 4)) /* an entry that works: edge, fixed, to both */
			mmio_write(IOAPIC + 0x10, 4, 0x30 + random_below(c, 0x40));
		else
			mmio_write(IOAPIC + 0x10, 4, random_value(c) & ~0x500ULL);
		(void)mmio_read(IOAPIC + 0x10, 4);
	}
	mmio_write(IOAPIC + 0x40, 4, random_get(c) & 0xFF);
}

void op_port(struct cpu *c)
{
	uint16_t port = any_port(c);
	unsigned int len = 1U << random_below(c, 3);

	if (one_in(c, 2))
		port_write(port, len, (uint32_t)random_value(c));
	else if (len == 1)
		(void)in8(port);
	else if (len == 2)
		(void)in16(port);
	else
		(void)in32(port);
}

static void string_in(uint16_t port, unsigned int len, uint64_t count)
{
	uint64_t to = SCRATCH;

	if (len == 1)
		__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(port) : "memory");
	else if (len == 2)
		__asm__ volatile("rep insw" : "+D"(to), "+c"(count) : "d"(port) : "memory");
	else
		__asm__ volatile("rep insl" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}

static void string_out(uint16_t port, unsigned int len, uint64_t count)
{
	uint64_t from = SCRATCH;

	if (len == 1)
		__asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(port) : "memory");
	else if (len == 2)
		__asm__ volatile("rep outsw" : "+S"(from), "+c"(count) : "d"(port) : "memory");
	else
		__asm__ volatile("rep outsl" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}

void op_port_string(struct cpu *c)
{
	uint16_t port = any_port(c);
	unsigned int len = 1U << random_below(c, 3);
	uint64_t count = 1 + random_below(c, STRING_BYTES / 4);

	if (one_in(c, 2))
		string_in(port, len, count);
	else if (!port_ends(port, len) && (port < PORT_COM1 - 3 || port >= PORT_COM1 + 8))
		string_out(port, len, count);
}

/* An address that is no RAM, or 0. */
static uint64_t mmio_address(struct cpu *c)
{
	uint64_t at = random_address(c) + (random_get(c) & 0xFFF);

	/* The local APIC has operations of its own: an INIT to oneself is no way to go on. */
	if ((at >> 12) == LAPIC_BASE >> 12 || (at + 64) >> 12 == LAPIC_BASE >> 12)
		return 0;
	return ram_overlaps(at, 0x1000) ? 0 : at;
}

void op_mmio(struct cpu *c)
{
	uint64_t at = mmio_address(c);

	if (at == 0)
		return;
	if (one_in(c, 2))
		mmio_write(at, random_width(c), random_value(c));
	else
		(void)mmio_read(at, random_width(c));
}

/* Across the borders of pages and regions. */
void op_mmio_border(struct cpu *c)
{
	uint64_t at = mmio_address(c) & ~0xFFFULL;

	if (at < 0x1000 || ram_overlaps(at - 8, 16))
		return;
	at -= 1 + random_below(c, 7);
	if (one_in(c, 2))
		mmio_write(at, random_width(c), random_value(c));
	else
		(void)mmio_read(at, random_width(c));
}

static void wide_access(uint64_t at, uint64_t buffer)
{
	__asm__ volatile("movdqu (%0), %%xmm0\n\t"
			 "movdqu %%xmm0, (%1)" ::"r"(at),
			 "r"(buffer)
			 : "memory");
}

static void locked_access(uint64_t at, uint64_t value)
{
	__asm__ volatile("lock xaddq %0, (%1)" : "+r"(value) : "r"(at) : "memory");
}

static void string_copy(uint64_t from, uint64_t to, uint64_t count)
{
	__asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count)::"memory");
}

/* Instructions that are more than one access. */
void op_mmio_string(struct cpu *c)
{
	uint64_t at = mmio_address(c);

	if (at == 0)
		return;
	switch (random_below(c, 4)) {
	case 0:
		string_copy(at, SCRATCH, 1 + random_below(c, 64));
		break;
	case 1:
		string_copy(SCRATCH, at, 1 + random_below(c, 64));
		break;
	case 2:
		wide_access(at & ~0xFULL, SCRATCH);
		break;
	default:
		locked_access(at & ~0x7ULL, random_get(c));
		break;
	}
}
