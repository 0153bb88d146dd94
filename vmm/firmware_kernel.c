// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/firmware_kernel.h"

#include "base/fd.h"

#include <errno.h>
#include <unistd.h>

/* bzImage (Documentation/arch/x86/boot.rst) */
#define SECTOR	      512U
#define HEADER_BYTES  0x238U
#define SETUP_SECTS   0x1F1
#define SETUP_DEFAULT 4
#define HDRS_MAGIC    0x202
#define XLOADFLAGS    0x236
#define XLF_EFI64     0x08 /* EFI handover: there is a 64-bit EFI stub */

static int size_get(int fd, const char *what, uint32_t *out, struct err *e)
{
	struct stat st;
	int r = fd_stat(fd, &st);

	if (r < 0)
		return err_set(e, r, "%s: %s", what, strerror(-r));
	if (st.st_size <= 0 || st.st_size > UINT32_MAX)
		return err_set(e, EFBIG, "%s has %lld bytes: firmware takes 1 to %u", what,
			       (long long)st.st_size, UINT32_MAX);
	*out = (uint32_t)st.st_size;
	return 0;
}

/* How many bytes of the image are its real-mode part. */
static int setup_size_get(int fd, uint32_t size, uint32_t *out, struct err *e)
{
	uint8_t head[HEADER_BYTES];
	ssize_t n = pread(fd, head, sizeof(head), 0);
	uint32_t sectors;

	if (n != (ssize_t)sizeof(head) || memcmp(head + HDRS_MAGIC, "HdrS", 4) != 0 ||
	    memcmp(head, "MZ", 2) != 0 || (get_le16(head + XLOADFLAGS) & XLF_EFI64) == 0) {
		err_set(e, ENOEXEC,
			"kernel is none that firmware starts (a bzImage with an EFI stub)");
		err_code(e, "kernel-no-efi");
		return err_hint(
			e, "boot.kernel names a distribution's /boot/vmlinuz-VERSION; or leave "
			   "boot.firmware out");
	}
	sectors = head[SETUP_SECTS] != 0 ? head[SETUP_SECTS] : SETUP_DEFAULT;
	*out = (sectors + 1) * SECTOR;
	if (*out >= size)
		return err_set(e, ENOEXEC, "kernel is truncated: %u bytes", size);
	return 0;
}

static int file_add(struct fwcfg *fw, uint16_t size_key, const struct fwcfg_item *item)
{
	int r = fwcfg_add_le(fw, size_key, 4, item->size);

	return r == 0 ? fwcfg_add(fw, item) : r;
}

static int cmdline_add(struct fwcfg *fw, const char *cmdline)
{
	size_t len = strlen(cmdline) + 1;
	int r = fwcfg_add_le(fw, FWCFG_CMDLINE_SIZE, 4, len);

	return r == 0 ? fwcfg_add_bytes(fw, FWCFG_CMDLINE, "", cmdline, len) : r;
}

int firmware_kernel_add(struct fwcfg *fw, const struct vmm_spec *spec, struct err *e)
{
	struct fwcfg_item kernel = { .key = FWCFG_KERNEL, .fd = spec->kernel_fd };
	struct fwcfg_item initrd = { .key = FWCFG_INITRD, .fd = spec->initrd_fd };
	struct fwcfg_item setup = { .key = FWCFG_SETUP, .fd = spec->kernel_fd };
	int r;

	if (spec->kernel_fd < 0)
		return 0;
	r = size_get(spec->kernel_fd, "kernel", &kernel.size, e);
	if (r == 0)
		r = setup_size_get(spec->kernel_fd, kernel.size, &setup.size, e);
	if (r == 0 && initrd.fd >= 0)
		r = size_get(initrd.fd, "initrd", &initrd.size, e);
	if (r < 0)
		return r;
	kernel.fd_off = setup.size;
	kernel.size -= setup.size;
	r = file_add(fw, FWCFG_SETUP_SIZE, &setup);
	if (r == 0)
		r = file_add(fw, FWCFG_KERNEL_SIZE, &kernel);
	if (r == 0 && initrd.fd >= 0)
		r = file_add(fw, FWCFG_INITRD_SIZE, &initrd);
	if (r == 0)
		r = cmdline_add(fw, spec->cmdline);
	return r < 0 ? err_set(e, r, "fw_cfg: %s", strerror(-r)) : 0;
}
