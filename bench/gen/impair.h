/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A wire of known faults, to try the generator itself: what is sent to it comes back as a copy, later, or not, twice, behind
 * a later frame of its flow, or with one bit changed (behind the Ethernet header), by lot, and each of that is counted. Its
 * own clock says how long it kept each frame. One lock: sender and receiver may be two lcores.
 */
#ifndef VIADUCT_BENCH_GEN_IMPAIR_H
#define VIADUCT_BENCH_GEN_IMPAIR_H

#include "bench/gen/hist.h"
#include "bench/gen/request.h"

struct impair;
struct rte_mbuf;

struct impair_counts {
	uint64_t heard; /* frames sent to it */
	uint64_t lost, duplicated, corrupted;
	uint64_t reordered; /* that left behind a later one of their flow */
	uint64_t returned; /* taken by the receiver, twice those that are duplicated */
	uint64_t no_memory; /* lost, since there was no buffer for the copy */
};

int impair_create(const struct impair_wish *wish, struct rte_mempool *pool, struct impair **out,
		  struct err *e);
void impair_destroy(struct impair *w);

/* As rte_eth_tx_burst() and rte_eth_rx_burst(). */
uint16_t impair_send(struct impair *w, struct rte_mbuf **frames, uint16_t n);
uint16_t impair_receive(struct impair *w, struct rte_mbuf **frames, uint16_t n);

/* Since it was made. `delay`: cycles that frames were kept. */
void impair_counts(struct impair *w, struct impair_counts *out, struct hist *delay);

#endif
