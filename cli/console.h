/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Relay between a VM's console socket and our standard input and output. What the guest writes goes
 * to the terminal as it is: that is what a console is for. The terminal's mode is put back on every
 * way out, signals included.
 */
#ifndef VIADUCT_CLI_CONSOLE_H
#define VIADUCT_CLI_CONSOLE_H

#include "base/err.h"

#define CONSOLE_DETACH_KEY 0x1d /* Ctrl-] */

#define CONSOLE_HVC0 "hvc0" /* what can be named beside the serial console */

enum console_end {
	CONSOLE_DETACHED, /* the detach key, on a terminal only */
	CONSOLE_CLOSED, /* by the other side */
	CONSOLE_TIMEOUT,
	CONSOLE_SIGNALLED,
};

struct console_io {
	int sock; /* connected stream socket; borrowed, made non-blocking */
	int in; /* its end of file does not end the relay */
	int out;
	int timeout_ms; /* -1: none */
};

/* 0 and how it ended; or a negative errno: output that cannot be written, a terminal that cannot be
 * switched. */
int console_relay(const struct console_io *io, enum console_end *end, struct err *e);

#endif
