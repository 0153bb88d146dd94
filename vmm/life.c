// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/life.h"

#define CREDIT_MAX_NS (LIFE_RESET_BURST * LIFE_RESET_NS)
#define LOG_BURST     20
#define LOG_NS	      10000000000ULL

static const struct {
	const char *name;
	const char *text;
} causes[RESET_CAUSES] = {
	[RESET_NONE] = { "none", "no reset" },
	[RESET_PORT_CF9] = { "port-cf9", "reset register, port 0xCF9" },
	[RESET_PORT_64] = { "port-64", "keyboard controller, port 0x64" },
	[RESET_PORT_92] = { "port-92", "fast reset, port 0x92" },
	[RESET_TRIPLE_FAULT] = { "triple-fault", "triple fault" },
	[RESET_KVM] = { "kvm", "KVM's system event" },
	[RESET_WATCHDOG] = { "watchdog", "the guest did not feed its watchdog" },
	[RESET_PANIC] = { "panic", "the guest's kernel panicked" },
};

const char *reset_cause_text(enum reset_cause cause)
{
	return causes[cause].text;
}

static uint64_t wall_s(void)
{
	return clock_ns(CLOCK_REALTIME) / 1000000000ULL;
}

void life_init(struct life *life, uint64_t now)
{
	*life = (struct life){ .began_ns = now,
			       .credit_at_ns = now,
			       .reset_credit_ns = CREDIT_MAX_NS,
			       .log = { .burst = LOG_BURST, .every_ns = LOG_NS } };
}

uint64_t life_reset_admit(struct life *life, uint64_t now)
{
	life->reset_credit_ns =
		u64_min(life->reset_credit_ns + (now - life->credit_at_ns), CREDIT_MAX_NS);
	life->credit_at_ns = now;
	if (life->reset_credit_ns < LIFE_RESET_NS)
		return LIFE_RESET_NS - life->reset_credit_ns;
	life->reset_credit_ns -= LIFE_RESET_NS;
	return 0;
}

void life_reset_done(struct life *life, enum reset_cause cause, uint64_t now)
{
	life->resets[cause]++;
	life->last_reset = cause;
	life->reset_at = wall_s();
	life->began_ns = now;
}

uint64_t life_resets(const struct life *life)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < RESET_CAUSES; i++)
		sum += life->resets[i];
	return sum;
}

bool life_panicked(struct life *life, uint64_t now)
{
	life->panics++;
	life->panicked_at = wall_s();
	life->panic_row = now - life->began_ns < LIFE_PANIC_NS ? life->panic_row + 1 : 1;
	return life->panic_row >= LIFE_PANIC_ROW;
}

void life_watchdog_fired(struct life *life)
{
	life->watchdogs++;
	life->watchdog_at = wall_s();
}

json_t *life_json(const struct life *life)
{
	json_t *resets = json_object();

	for (unsigned int i = 0; i < RESET_CAUSES; i++)
		if (life->resets[i] != 0)
			json_object_set_new(resets, causes[i].name,
					    json_integer((json_int_t)life->resets[i]));
	return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "resets", resets, "reset_at",
			 (json_int_t)life->reset_at, "panics", (json_int_t)life->panics,
			 "panicked_at", (json_int_t)life->panicked_at, "crash_kernels",
			 (json_int_t)life->crash_kernels, "watchdogs", (json_int_t)life->watchdogs,
			 "watchdog_at", (json_int_t)life->watchdog_at);
}
