/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The clock of the time stamps: the processor's TSC, read by whoever sends and by whoever receives. Its own error is
 * measured: what two reads in a row differ by, and, where receiver and sender are two lcores, what their clocks may
 * differ by, from the fastest of many questions and answers.
 */
#ifndef VIADUCT_BENCH_GEN_CLOCK_H
#define VIADUCT_BENCH_GEN_CLOCK_H

#include <stdint.h>

#define CLOCK_ALONE UINT32_MAX

/* One moment by the TSC and by the kernel's clock that nobody sets (CLOCK_MONOTONIC_RAW). */
struct clock_moment {
	uint64_t tsc, ns;
};

struct clock_moment clock_now(void);

/* Cycles a second since then, to some millionths; waits until a fifth of a second has passed. What DPDK says is rounded to 10 MHz. */
double clock_hz(const struct clock_moment *from);

struct clock_error {
	double hz; /* of clock_hz(); the caller's to set */
	uint64_t read; /* cycles between two reads in a row, the median */
	uint64_t between; /* cycles that the two clocks may differ by; 0 where there is one */
};

/* `worker`: the receiver's lcore, which does nothing now, or CLOCK_ALONE. Takes some milliseconds, and a second at most where others take the CPUs away. */
struct clock_error clock_measure(uint32_t worker);

#endif
