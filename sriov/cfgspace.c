// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/cfgspace.h"

#include "base/fd.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	CFG_STATUS = 0x06,
	CFG_STATUS_CAP_LIST = 1 << 4,
	CFG_CAP_PTR = 0x34,
	CFG_EXT_START = 0x100,
	/* A capability takes at least 4 (extended: 8) bytes, so a longer walk is a loop. */
	CAP_STEPS = (CFG_SIZE_LEGACY - CFG_SIZE_PUBLIC) / 4,
	EXT_STEPS = (CFG_SIZE_MAX - CFG_EXT_START) / 8,
};

static bool is_loaded(const struct cfg_space *cfg, unsigned off)
{
	return (cfg->loaded[off / 4 / 64] >> (off / 4 % 64) & 1) != 0;
}

static void mark_loaded(struct cfg_space *cfg, unsigned off)
{
	cfg->loaded[off / 4 / 64] |= BIT_ULL(off / 4 % 64);
}

/* [off, off + len) into data; off and len are multiples of 4 inside the space. */
static int load(struct cfg_space *cfg, unsigned off, unsigned len)
{
	ssize_t n;

	do {
		n = pread(cfg->fd, cfg->data + off, len, off);
	} while (n < 0 && errno == EINTR);
	if (n == 0 && off >= CFG_SIZE_PUBLIC) {
		cfg->is_cut = true;
		return -EACCES;
	}
	if (n != (ssize_t)len)
		return -EIO;
	for (unsigned i = 0; i < len; i += 4)
		mark_loaded(cfg, off + i);
	return 0;
}

int cfg_open_fd(struct cfg_space *cfg, int fd)
{
	struct stat st;

	memset(cfg, 0, sizeof(*cfg));
	cfg->fd = fd;
	if (fd < 0)
		return -EBADF;
	if (fstat(fd, &st) < 0) {
		int r = -errno;

		fd_close(&cfg->fd);
		return r;
	}
	if (st.st_size > 0)
		cfg->size_bytes = (uint16_t)(u64_min((uint64_t)st.st_size, CFG_SIZE_MAX) & ~3U);
	/* One read for the header; if it fails, each register is tried on its own. */
	if (cfg->size_bytes >= CFG_SIZE_PUBLIC)
		(void)load(cfg, 0, CFG_SIZE_PUBLIC);
	return 0;
}

void cfg_from_bytes(struct cfg_space *cfg, const void *bytes, size_t len)
{
	memset(cfg, 0, sizeof(*cfg));
	cfg->fd = -1;
	cfg->size_bytes = (uint16_t)(u64_min(len, CFG_SIZE_MAX) & ~3U);
	if (cfg->size_bytes > 0)
		memcpy(cfg->data, bytes, cfg->size_bytes);
	memset(cfg->loaded, 0xff, sizeof(cfg->loaded));
}

void cfg_close(struct cfg_space *cfg)
{
	fd_close(&cfg->fd);
	cfg->size_bytes = 0;
}

int cfg_read32(struct cfg_space *cfg, unsigned off, uint32_t *out)
{
	int r;

	if (!is_aligned(off, 4) || off >= CFG_SIZE_MAX)
		return -ERANGE;
	/* No function has so little: this is what an unprivileged reader got. */
	if (cfg->size_bytes == CFG_SIZE_PUBLIC && off >= CFG_SIZE_PUBLIC) {
		cfg->is_cut = true;
		return -EACCES;
	}
	if (!range_fits(off, 4, cfg->size_bytes))
		return -ERANGE;
	if (!is_loaded(cfg, off)) {
		r = load(cfg, off, 4);
		if (r < 0)
			return r;
	}
	*out = get_le32(cfg->data + off);
	return 0;
}

int cfg_read16(struct cfg_space *cfg, unsigned off, uint16_t *out)
{
	uint32_t v;
	int r;

	if (!is_aligned(off, 2))
		return -ERANGE;
	r = cfg_read32(cfg, off & ~3U, &v);
	if (r < 0)
		return r;
	*out = (uint16_t)(v >> (off & 2) * 8);
	return 0;
}

int cfg_find_cap(struct cfg_space *cfg, uint8_t id)
{
	uint16_t status, ptr, head;
	int r = cfg_read16(cfg, CFG_STATUS, &status);

	if (r < 0)
		return r;
	if ((status & CFG_STATUS_CAP_LIST) == 0)
		return -ENOENT;
	r = cfg_read16(cfg, CFG_CAP_PTR, &ptr);
	if (r < 0)
		return r;
	for (int step = 0; step < CAP_STEPS; step++) {
		unsigned off = ptr & 0xfc; /* the two low bits are reserved */

		if (off < CFG_SIZE_PUBLIC)
			return -ENOENT;
		r = cfg_read16(cfg, off, &head);
		if (r == -EACCES)
			return r;
		if (r < 0 || (head & 0xff) == 0xff)
			return -ENOENT;
		if ((head & 0xff) == id)
			return (int)off;
		ptr = head >> 8;
	}
	return -ENOENT;
}

int cfg_find_ext_cap(struct cfg_space *cfg, uint16_t id)
{
	unsigned off = CFG_EXT_START;

	for (int step = 0; step < EXT_STEPS; step++) {
		uint32_t head;
		int r = cfg_read32(cfg, off, &head);

		if (r == -EACCES)
			return r;
		/* All zeros: no list. All ones: the function does not answer. */
		if (r < 0 || head == 0 || head == UINT32_MAX)
			return -ENOENT;
		if ((head & 0xffff) == id)
			return (int)off;
		off = head >> 20 & 0xffc;
		if (off < CFG_EXT_START)
			return -ENOENT;
	}
	return -ENOENT;
}
