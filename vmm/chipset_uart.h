/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A 16550A: FIFOs of 16 bytes, loopback, modem status of a peer that is always there. A byte is
 * transmitted the moment it is written, so the transmitter is always empty and a driver sends 16
 * bytes per interrupt. Lock held throughout.
 */
#ifndef VIADUCT_VMM_CHIPSET_UART_H
#define VIADUCT_VMM_CHIPSET_UART_H

#include "vmm/bus.h"
#include "vmm/irq.h"

#define UART_FIFO 16
#define UART_SIZE 8

struct uart {
	struct irq_router *irq; /* borrowed */
	uint32_t gsi;
	void (*tx)(void *arg, uint8_t byte);
	void (*rx_ready)(void *arg); /* the receiver is empty; may be NULL */
	void *arg;

	uint8_t ier, fcr, lcr, mcr, scr;
	uint16_t divisor;
	bool thr_interrupt; /* transmitter empty, not yet seen in IIR */
	bool overrun;
	bool line;
	uint8_t rx[UART_FIFO];
	unsigned int rx_head, rx_count;
};

extern const struct io_ops uart_ops; /* owner: struct uart */

/* irq, gsi, tx, rx_ready, arg are set by the caller before. */
void uart_reset(struct uart *u);

/* Takes as many bytes as the receiver holds now; returns how many. */
size_t uart_receive(struct uart *u, const uint8_t *data, size_t len);

#endif
