// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/chipset_tco.h"

#include "base/fd.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TMR_MASK 0x03FF
#define TMR_MIN	 2 /* smaller values are ignored */

static const struct pci_cfg_reg tco_regs[] = {
	{ 0x02, 2, 0, 0xFFFF }, /* data in and out: nobody is behind them */
	{ TCO1_STS, 2, 0, 0, 0x1F0C },
	{ TCO2_STS, 2, 0, 0, 0x0017 },
	{ TCO1_CNT, 2, TCO1_HALT, 0x1E00 },
	{ 0x0A, 2, 0x0008, 0x0038 },
	{ 0x0C, 2, 0, 0xFFFF }, /* messages */
	{ 0x0E, 1, 0, 0xFF },
	{ 0x10, 1, 0x03, 0x03 },
	{ TCO_TMR, 2, 0x0004, TMR_MASK },
};

static uint64_t period_ns(const struct tco *tco)
{
	return (pci_cfg_get16(&tco->regs, TCO_TMR) & TMR_MASK) * TCO_TICK_NS;
}

unsigned int tco_seconds(const struct tco *tco)
{
	return (unsigned int)(2 * period_ns(tco) / 1000000000ULL);
}

static bool is_halted(const struct tco *tco)
{
	return tco->paused || (pci_cfg_get16(&tco->regs, TCO1_CNT) & TCO1_HALT) != 0;
}

static uint64_t left_ns(const struct tco *tco)
{
	uint64_t now = now_ns();

	if (tco->deadline_ns == 0)
		return tco->left_ns;
	return tco->deadline_ns > now ? tco->deadline_ns - now : 0;
}

static void timer_set(struct tco *tco, uint64_t deadline_ns)
{
	const struct itimerspec at = { .it_value = { .tv_sec = (time_t)(deadline_ns / 1000000000),
						     .tv_nsec =
							     (long)(deadline_ns % 1000000000) } };

	tco->deadline_ns = deadline_ns;
	timerfd_settime(tco->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* The counter goes or stands as the registers and the VM's state say; `left` is what it holds. */
static void counter_set(struct tco *tco, uint64_t left)
{
	tco->left_ns = left;
	if (!is_halted(tco))
		timer_set(tco, now_ns() + left);
	else if (tco->deadline_ns != 0)
		timer_set(tco, 0);
}

static void counter_reload(struct tco *tco)
{
	tco->timed_out = false;
	counter_set(tco, period_ns(tco));
}

static void run_out(struct tco *tco)
{
	if (!tco->timed_out) {
		tco->timed_out = true;
		tco->regs.value[TCO1_STS] |= TCO1_TIMEOUT;
		timer_set(tco, tco->deadline_ns + period_ns(tco));
		return;
	}
	tco->regs.value[TCO2_STS] |= TCO2_SECOND_TO;
	counter_reload(tco);
	if ((tco->gcs & GCS_NO_REBOOT) == 0)
		tco->expired(tco->arg);
}

static void timer_ready(void *arg, int fd, uint32_t events)
{
	struct tco *tco = arg;
	uint64_t count;

	(void)events;
	(void)!read(fd, &count, sizeof(count));
	pthread_mutex_lock(tco->lock);
	/* What was read may be an older deadline's. */
	if (tco->deadline_ns != 0 && now_ns() >= tco->deadline_ns)
		run_out(tco);
	pthread_mutex_unlock(tco->lock);
}

uint64_t tco_read(struct tco *tco, unsigned int off, unsigned int len)
{
	if (len > 4) /* ports have no such access */
		return UINT64_MAX;
	put_le16(&tco->regs.value[TCO_RLD],
		 (uint16_t)((left_ns(tco) + TCO_TICK_NS - 1) / TCO_TICK_NS) & TMR_MASK);
	return pci_cfg_read(&tco->regs, off, len);
}

void tco_write(struct tco *tco, unsigned int off, unsigned int len, uint64_t value)
{
	uint16_t timer = pci_cfg_get16(&tco->regs, TCO_TMR);

	if (len > 4)
		return;
	pci_cfg_write(&tco->regs, off, len, (uint32_t)value);
	if ((pci_cfg_get16(&tco->regs, TCO_TMR) & TMR_MASK) < TMR_MIN)
		put_le16(&tco->regs.value[TCO_TMR], timer);
	if (pci_cfg_touches(off, len, TCO_RLD, 2))
		counter_reload(tco);
	else if (pci_cfg_touches(off, len, TCO1_CNT, 2))
		counter_set(tco, left_ns(tco));
}

static uint64_t gcs_read(void *owner, uint64_t off, unsigned int len)
{
	(void)len;
	return ((struct tco *)owner)->gcs >> 8 * off;
}

static void gcs_write(void *owner, uint64_t off, unsigned int len, uint64_t value)
{
	(void)len;
	if (off == 0)
		((struct tco *)owner)->gcs = (uint32_t)value & GCS_NO_REBOOT;
}

static const struct io_ops gcs_ops = { .read = gcs_read, .write = gcs_write };

void tco_map(struct tco *tco, bool decoded, uint64_t rcba)
{
	if (tco->gcs_region.size != 0)
		bus_del(tco->mmio, &tco->gcs_region);
	tco->gcs_region = (struct io_region){
		.name = "general control", .base = rcba + RCBA_GCS, .ops = &gcs_ops, .owner = tco
	};
	if (!decoded)
		return;
	tco->gcs_region.size = sizeof(tco->gcs);
	if (bus_add(tco->mmio, &tco->gcs_region) < 0)
		tco->gcs_region.size = 0;
}

void tco_reset(struct tco *tco)
{
	uint8_t kept = tco->regs.value[TCO2_STS] & TCO2_SECOND_TO;

	pci_cfg_init(&tco->regs, tco_regs, ARRAY_SIZE(tco_regs));
	tco->regs.value[TCO2_STS] = kept;
	tco->gcs = GCS_NO_REBOOT;
	counter_reload(tco);
}

void tco_pause(struct tco *tco, bool paused)
{
	uint64_t left = left_ns(tco);

	tco->paused = paused;
	counter_set(tco, left);
}

int tco_init(struct tco *tco)
{
	int r;

	tco->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (tco->timer_fd < 0)
		return -errno;
	r = loop_add(tco->loop, tco->timer_fd, EPOLLIN, timer_ready, tco);
	if (r == 0)
		tco_reset(tco);
	return r;
}

void tco_fini(struct tco *tco)
{
	if (tco->gcs_region.size != 0)
		bus_del(tco->mmio, &tco->gcs_region);
	tco->gcs_region.size = 0;
	if (tco->timer_fd >= 0)
		loop_del(tco->loop, tco->timer_fd);
	fd_close(&tco->timer_fd);
}
