// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/chipset_uart.h"

/* Registers (PC16550D): what offset 0 and 1 mean depends on LCR.DLAB. */
enum { UART_DATA, UART_IER, UART_IIR_FCR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCR };

#define IER_RX	 0x01
#define IER_TX	 0x02
#define IER_LINE 0x04
#define IER_MASK 0x0F

#define IIR_NONE    0x01
#define IIR_TX	    0x02
#define IIR_RX	    0x04
#define IIR_LINE    0x06
#define IIR_TIMEOUT 0x0C
#define IIR_FIFO    0xC0

#define FCR_ENABLE   0x01
#define FCR_CLEAR_RX 0x02
#define FCR_KEPT     0xC9

#define LCR_DLAB 0x80

#define MCR_LOOP 0x10
#define MCR_MASK 0x1F

#define LSR_DATA	0x01
#define LSR_OVERRUN	0x02
#define LSR_TX_EMPTY	0x60
#define MSR_PEER	0xB0 /* carrier, data set ready, clear to send */
#define DIVISOR_DEFAULT 12 /* 9600 baud */

static const uint8_t rx_triggers[] = { 1, 4, 8, 14 };

static uint8_t iir_get(const struct uart *u)
{
	uint8_t fifo = (u->fcr & FCR_ENABLE) != 0 ? IIR_FIFO : 0;

	if (u->overrun && (u->ier & IER_LINE) != 0)
		return fifo | IIR_LINE;
	/* Below its trigger the FIFO would raise the time-out interrupt soon: it does at once. */
	if (u->rx_count != 0 && (u->ier & IER_RX) != 0)
		return fifo | (fifo == 0 || u->rx_count >= rx_triggers[u->fcr >> 6] ? IIR_RX
										    : IIR_TIMEOUT);
	if (u->thr_interrupt && (u->ier & IER_TX) != 0)
		return fifo | IIR_TX;
	return fifo | IIR_NONE;
}

static void line_update(struct uart *u)
{
	bool line = (iir_get(u) & IIR_NONE) == 0;

	if (line != u->line && irq_line_set(u->irq, u->gsi, line) == 0)
		u->line = line;
}

static unsigned int rx_cap(const struct uart *u)
{
	return (u->fcr & FCR_ENABLE) != 0 ? UART_FIFO : 1;
}

static void rx_push(struct uart *u, uint8_t byte)
{
	if (u->rx_count >= rx_cap(u)) {
		u->overrun = true;
		return;
	}
	u->rx[(u->rx_head + u->rx_count++) % UART_FIFO] = byte;
}

static void rx_ready_tell(struct uart *u)
{
	if (u->rx_count == 0 && (u->mcr & MCR_LOOP) == 0 && u->rx_ready != NULL)
		u->rx_ready(u->arg);
}

static uint8_t rx_pop(struct uart *u)
{
	uint8_t byte;

	if (u->rx_count == 0)
		return 0;
	byte = u->rx[u->rx_head];
	u->rx_head = (u->rx_head + 1) % UART_FIFO;
	u->rx_count--;
	rx_ready_tell(u);
	return byte;
}

static uint8_t msr_get(const struct uart *u)
{
	if ((u->mcr & MCR_LOOP) == 0)
		return MSR_PEER;
	/* DTR -> DSR, RTS -> CTS, OUT1 -> RI, OUT2 -> DCD */
	return (uint8_t)((u->mcr & 0x01) << 5 | (u->mcr & 0x02) << 3 | (u->mcr & 0x0C) << 4);
}

static uint8_t lsr_read(struct uart *u)
{
	uint8_t lsr = LSR_TX_EMPTY;

	if (u->rx_count != 0)
		lsr |= LSR_DATA;
	if (u->overrun)
		lsr |= LSR_OVERRUN;
	u->overrun = false;
	return lsr;
}

static uint8_t iir_read(struct uart *u)
{
	uint8_t iir = iir_get(u);

	if ((iir & 0x0F) == IIR_TX)
		u->thr_interrupt = false;
	return iir;
}

static uint8_t reg_read(struct uart *u, unsigned int reg)
{
	bool dlab = (u->lcr & LCR_DLAB) != 0;

	switch (reg) {
	case UART_DATA:
		return dlab ? (uint8_t)u->divisor : rx_pop(u);
	case UART_IER:
		return dlab ? (uint8_t)(u->divisor >> 8) : u->ier;
	case UART_IIR_FCR:
		return iir_read(u);
	case UART_LCR:
		return u->lcr;
	case UART_MCR:
		return u->mcr;
	case UART_LSR:
		return lsr_read(u);
	case UART_MSR:
		return msr_get(u);
	default:
		return u->scr;
	}
}

static void data_write(struct uart *u, uint8_t byte)
{
	if ((u->mcr & MCR_LOOP) != 0)
		rx_push(u, byte);
	else
		u->tx(u->arg, byte);
	u->thr_interrupt = true;
}

static void fcr_write(struct uart *u, uint8_t value)
{
	bool toggles = ((u->fcr ^ value) & FCR_ENABLE) != 0;

	u->fcr = (value & FCR_ENABLE) != 0 ? value & FCR_KEPT : 0;
	if (toggles || (value & FCR_CLEAR_RX) != 0)
		u->rx_count = 0;
	rx_ready_tell(u);
}

static void ier_write(struct uart *u, uint8_t value)
{
	/* Enabling it while the transmitter is empty raises the interrupt. */
	if ((u->ier & IER_TX) == 0 && (value & IER_TX) != 0)
		u->thr_interrupt = true;
	u->ier = value & IER_MASK;
}

static void reg_write(struct uart *u, unsigned int reg, uint8_t value)
{
	bool dlab = (u->lcr & LCR_DLAB) != 0;

	switch (reg) {
	case UART_DATA:
		if (dlab)
			u->divisor = (uint16_t)((u->divisor & 0xFF00) | value);
		else
			data_write(u, value);
		break;
	case UART_IER:
		if (dlab)
			u->divisor = (uint16_t)((u->divisor & 0x00FF) | value << 8);
		else
			ier_write(u, value);
		break;
	case UART_IIR_FCR:
		fcr_write(u, value);
		break;
	case UART_LCR:
		u->lcr = value;
		break;
	case UART_MCR:
		u->mcr = value & MCR_MASK;
		rx_ready_tell(u);
		break;
	case UART_SCR:
		u->scr = value;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
}

static uint64_t uart_read(void *owner, uint64_t off, unsigned int len)
{
	struct uart *u = owner;
	uint64_t value = 0;

	for (unsigned int i = 0; i < len; i++)
		value |= (uint64_t)reg_read(u, (unsigned int)off + i) << 8 * i;
	line_update(u);
	return value;
}

static void uart_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	struct uart *u = owner;

	for (unsigned int i = 0; i < len; i++)
		reg_write(u, (unsigned int)off + i, (uint8_t)(value >> 8 * i));
	line_update(u);
}

const struct io_ops uart_ops = { .read = uart_read, .write = uart_write };

void uart_reset(struct uart *u)
{
	u->ier = u->fcr = u->lcr = u->mcr = u->scr = 0;
	u->divisor = DIVISOR_DEFAULT;
	u->thr_interrupt = false;
	u->overrun = false;
	u->rx_head = 0;
	u->rx_count = 0;
	line_update(u);
}

size_t uart_receive(struct uart *u, const uint8_t *data, size_t len)
{
	size_t done = 0;

	/* In loopback the line's input is cut off: it waits. */
	if ((u->mcr & MCR_LOOP) != 0)
		return 0;
	while (done < len && u->rx_count < rx_cap(u))
		rx_push(u, data[done++]);
	line_update(u);
	return done;
}
