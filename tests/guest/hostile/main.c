// SPDX-License-Identifier: BSD-3-Clause
#include "tests/guest/hostile/hostile.h"
#include "tests/guest/hostile/hw.h"

#define MAGIC	     0x454C4954534F4831ULL
#define STACK_SHIFT  16
#define MEMMAP_MAX   16
#define RAM_TYPE     1
#define REPORT_TICKS 3000000000ULL /* a few seconds on any CPU */
#define RESET_TICKS  15000000000ULL

#define CMDLINE_MAX  1024
#define UART_THR     0
#define UART_IER     1
#define UART_FCR     2
#define UART_LCR     3
#define UART_MCR     4
#define DEFAULT_SEED 1

/* xen/include/public/arch-x86/hvm/start_info.h, as far as it is used here. */
struct start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};

struct memmap_entry {
	uint64_t addr, size;
	uint32_t type, reserved;
};

static const struct op {
	const char *name, *group;
	unsigned int weight;
	void (*run)(struct cpu *c);
} ops[] = {
	{ "cfg_write", "pci", 60, op_cfg_write },
	{ "cfg_read", "pci", 20, op_cfg_read },
	{ "bar_move", "pci", 40, op_bar_move },
	{ "bar_size", "pci", 10, op_bar_size },
	{ "bar_touch", "pci", 80, op_bar_touch },
	{ "command", "pci", 20, op_command },
	{ "power_state", "pci", 5, op_power_state },
	{ "flr", "pci", 3, op_flr },
	{ "msix_control", "pci", 10, op_msix_control },
	{ "msix_table", "pci", 40, op_msix_table },
	{ "msi", "pci", 10, op_msi },
	{ "bridge", "pci", 10, op_bridge },
	{ "slot", "pci", 5, op_slot },
	{ "pciexbar", "pci", 10, op_pciexbar },
	{ "tidy", "pci", 15, op_tidy },
	{ "vf_register", "vf", 20, op_vf_register },
	{ "vf_rings", "vf", 20, op_vf_rings },
	{ "vf_mailbox", "vf", 2, op_vf_mailbox },
	{ "vf_interrupt", "vf", 30, op_vf_interrupt },
	{ "pm_base", "ports", 20, op_pm_base },
	{ "pm_register", "ports", 20, op_pm_register },
	{ "rtc", "ports", 20, op_rtc },
	{ "uart", "ports", 20, op_uart },
	{ "pit", "ports", 10, op_pit },
	{ "pic", "ports", 10, op_pic },
	{ "ioapic", "ports", 10, op_ioapic },
	{ "port", "ports", 60, op_port },
	{ "port_string", "ports", 20, op_port_string },
	{ "mmio", "mmio", 60, op_mmio },
	{ "mmio_border", "mmio", 20, op_mmio_border },
	{ "mmio_string", "mmio", 20, op_mmio_string },
	{ "lapic", "cpu", 10, op_lapic },
	{ "ipi", "cpu", 10, op_ipi },
	{ "second_cpu", "cpu", 1, op_second_cpu },
	{ "msr", "cpu", 10, op_msr },
	{ "kvm_msr", "cpu", 5, op_kvm_msr },
	{ "smi", "cpu", 1, op_smi },
	{ "hypercall", "cpu", 5, op_hypercall },
	{ "interrupts", "cpu", 40, op_interrupts },
	{ "reset", "reset", 0, op_reset },
	{ "triple_fault", "reset", 0, op_triple_fault },
};

_Static_assert(ARRAY_SIZE(ops) <= OPS_MAX, "struct survivor");

extern char stacks[];
void hostile_main(const struct start_info *info);
void hostile_second(void);

volatile bool printing;
static struct cpu cpus[CPUS];
static unsigned int weights[ARRAY_SIZE(ops)], weight_sum;
static bool may_reset;
static struct memmap_entry ram[MEMMAP_MAX];
static unsigned int ram_count;

static struct survivor *survivor(void)
{
	return (struct survivor *)SURVIVOR;
}

struct cpu *cpu_self(void)
{
	uint64_t sp = (uint64_t)__builtin_frame_address(0);

	return &cpus[(sp - (uint64_t)stacks) >> STACK_SHIFT & (CPUS - 1)];
}

bool ram_overlaps(uint64_t at, uint64_t len)
{
	for (unsigned int i = 0; i < ram_count; i++)
		if (at < ram[i].addr + ram[i].size && (at + len > ram[i].addr || at + len < at))
			return true;
	return false;
}

static void put(char ch)
{
	out8(PORT_COM1 + UART_THR, (uint8_t)ch);
}

static void put_text(const char *s)
{
	while (*s != '\0')
		put(*s++);
}

static void put_number(uint64_t n)
{
	char digits[21];
	unsigned int i = sizeof(digits) - 1;

	digits[i] = '\0';
	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n != 0);
	put_text(digits + i);
}

static void put_field(const char *name, uint64_t n)
{
	put(' ');
	put_text(name);
	put('=');
	put_number(n);
}

static void uart_tidy(void)
{
	out8(PORT_COM1 + UART_LCR, 3);
	out8(PORT_COM1 + UART_MCR, 3);
	out8(PORT_COM1 + UART_IER, 0);
	out8(PORT_COM1 + UART_FCR, 0);
}

/* One line: who, which boot, and what was done so far. */
static void report(const char *what)
{
	const struct survivor *s = survivor();

	printing = true;
	uart_tidy();
	put_text("\nHOSTILE ");
	put_text(what);
	put_field("seed", s->seed);
	put_field("boots", s->boots);
	put_field("vfs", vf_count);
	for (unsigned int cpu = 0; cpu < CPUS; cpu++) {
		uint64_t sum = 0;

		for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++)
			sum += s->ops[cpu][i];
		put_field(cpu == 0 ? "cpu0" : "cpu1", sum);
		put_field(cpu == 0 ? "faults0" : "faults1", s->faults[cpu]);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++)
		if (s->ops[0][i] + s->ops[1][i] != 0)
			put_field(ops[i].name, s->ops[0][i] + s->ops[1][i]);
	put_text(" end\n");
	printing = false;
}

static unsigned int op_choose(struct cpu *c)
{
	unsigned int at = random_below(c, weight_sum);

	for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
		if (at < weights[i])
			return i;
		at -= weights[i];
	}
	return 0;
}

static void op_do(struct cpu *c, unsigned int i)
{
	survivor()->ops[c->id][i]++;
	ops[i].run(c);
}

static void work(struct cpu *c)
{
	const uint64_t begin = tsc_read();
	volatile uint64_t last = begin;

	/* An exception comes back to here, with the stack as it was. */
	(void)recover_set(&c->recover);
	for (;;) {
		op_do(c, op_choose(c));
		if (c->id == 0 && tsc_read() - last > REPORT_TICKS) {
			last = tsc_read();
			report("works");
		}
		if (may_reset && tsc_read() - begin > RESET_TICKS)
			op_do(c, ARRAY_SIZE(ops) - 1 - random_below(c, 2));
	}
}

static bool starts_with(const char *s, const char *head)
{
	while (*head != '\0')
		if (*s++ != *head++)
			return false;
	return true;
}

/* The text behind KEY= in the command line, or NULL. */
static const char *option(const char *cmdline, const char *key)
{
	for (unsigned int i = 0; i < CMDLINE_MAX && cmdline[i] != '\0'; i++)
		if ((i == 0 || cmdline[i - 1] == ' ') && starts_with(cmdline + i, key)) {
			while (cmdline[i++] != '=')
				;
			return cmdline + i;
		}
	return NULL;
}

static uint64_t number(const char *s, uint64_t otherwise)
{
	uint64_t n = 0;

	if (s == NULL)
		return otherwise;
	while (*s >= '0' && *s <= '9')
		n = n * 10 + (uint64_t)(*s++ - '0');
	return n;
}

/* True if the comma-separated list names the word. */
static bool list_has(const char *list, const char *word)
{
	while (list != NULL && *list != '\0' && *list != ' ') {
		unsigned int n = 0;

		while (word[n] != '\0' && list[n] == word[n])
			n++;
		if (word[n] == '\0' && (list[n] == '\0' || list[n] == ' ' || list[n] == ','))
			return true;
		while (*list != '\0' && *list != ' ' && *list != ',')
			list++;
		list += *list == ',';
	}
	return false;
}

static bool chosen(const char *cmdline, const struct op *op)
{
	const char *only = option(cmdline, "only="), *without = option(cmdline, "without=");

	if (list_has(without, op->name) || list_has(without, op->group))
		return false;
	return only == NULL || list_has(only, op->name) || list_has(only, op->group);
}

static void weights_set(const char *cmdline)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
		weights[i] = chosen(cmdline, &ops[i]) ? ops[i].weight : 0;
		weight_sum += weights[i];
		may_reset |= ops[i].run == op_reset && chosen(cmdline, &ops[i]);
	}
}

static void survivor_find(uint64_t seed)
{
	struct survivor *s = survivor();

	if (s->magic != MAGIC || s->seed != seed) {
		for (unsigned int i = 0; i < sizeof(*s) / 8; i++)
			((volatile uint64_t *)s)[i] = 0;
		s->magic = MAGIC;
		s->seed = seed;
	}
	s->boots++;
	for (unsigned int i = 0; i < CPUS; i++) {
		cpus[i].id = i;
		cpus[i].random = (seed * 2 + i + 1) * 0x9E3779B97F4A7C15ULL + s->boots;
	}
}

void hostile_main(const struct start_info *info)
{
	const struct memmap_entry *map = (const struct memmap_entry *)info->memmap;
	const char *cmdline = (const char *)info->cmdline;

	for (unsigned int i = 0; i < info->memmap_entries && ram_count < MEMMAP_MAX; i++)
		if (map[i].type == RAM_TYPE)
			ram[ram_count++] = map[i];
	traps_init();
	traps_load();
	survivor_find(number(option(cmdline, "seed="), DEFAULT_SEED));
	weights_set(cmdline);
	board_tidy();
	report("begins");
	if (number(option(cmdline, "cpus="), CPUS) > 1)
		second_cpu_start();
	if (weight_sum != 0)
		work(&cpus[0]);
}

void hostile_second(void)
{
	traps_load();
	if (weight_sum != 0)
		work(&cpus[1]);
}
