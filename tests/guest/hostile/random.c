// SPDX-License-Identifier: BSD-3-Clause
#include "tests/guest/hostile/hostile.h"

/* xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators"). */
uint64_t random_get(struct cpu *c)
{
	uint64_t x = c->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	c->random = x;
	return x * 0x2545F4914F6CDD1DULL;
}

unsigned int random_below(struct cpu *c, unsigned int limit)
{
	return (unsigned int)((random_get(c) >> 32) % limit);
}

bool one_in(struct cpu *c, unsigned int n)
{
	return random_below(c, n) == 0;
}

unsigned int random_width(struct cpu *c)
{
	return 1U << random_below(c, 4);
}

uint64_t random_value(struct cpu *c)
{
	switch (random_below(c, 6)) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
		return 1ULL << random_below(c, 64);
	case 3:
		return ~(1ULL << random_below(c, 64));
	case 4:
		return random_address(c);
	default:
		return random_get(c);
	}
}

static uint64_t bar_address(struct cpu *c)
{
	const struct vf_place *p = &vf_places[random_below(c, VFS)];

	return p->bar[random_below(c, 6)];
}

uint64_t random_address(struct cpu *c)
{
	static const uint64_t places[] = {
		0,
		0xA0000,
		0xE0000, /* ACPI tables */
		0x100000, /* RAM */
		SCRATCH,
		0xB0000000, /* where low RAM may end at most */
		0xC0000000, /* 32-bit window */
		0xDFF00000,
		ECAM_BASE,
		0xEFFFF000,
		IOAPIC,
		LAPIC_BASE,
		0xFED00000,
		0xFEFFC000, /* KVM's own pages */
		0xFFFFF000,
		0x100000000ULL,
		0xFCFFFFF000ULL,
		0xFD00000000ULL, /* HyperTransport's hole */
		0xE000000000ULL,
		0xE00000000000ULL, /* 64-bit windows of 40 and of 48 bits */
		0x7FFFFFFFF000ULL,
		0xFFFFFFFFFFFFF000ULL,
	};
	uint64_t at;

	switch (random_below(c, 8)) {
	case 0:
		at = random_get(c) & ~0xFFFULL;
		at >>= random_below(c, 40);
		return at & ~0xFFFULL;
	case 1:
		return ecam_guess + (random_get(c) & 0xFFFF000);
	case 2:
	case 3:
		return bar_address(c);
	default:
		at = places[random_below(c, ARRAY_SIZE(places))];
		return at + (one_in(c, 2) ? 0 : (random_get(c) & 0xFF) << 12);
	}
}

uint64_t random_dma(struct cpu *c)
{
	uint64_t in_scratch = SCRATCH + (random_get(c) & (SCRATCH_BYTES - 1) & ~0xFULL);

	/* All of RAM, this code included: then a reset has to help, or nothing does. */
	if (one_in(c, 512))
		return random_get(c) & 0xFFFFFF0;
	switch (random_below(c, 4)) {
	case 0:
		return LAPIC_BASE + (random_get(c) & 0xFFFF0);
	case 1:
		return random_get(c) & ~0xFULL;
	case 2:
		return 0x40000000ULL + (random_get(c) & 0x7FFFFFF0);
	default:
		return in_scratch;
	}
}
