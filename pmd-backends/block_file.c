// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/block_file.h"

#include "base/fd.h"
#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SECTOR	    512U
#define LARGE_BLOCK 4096U

int block_file_size(const struct block_file *f, uint64_t *size, struct err *e)
{
	struct stat st;
	uint64_t bytes = 0;

	if (fd_stat(f->fd, &st) < 0)
		return err_set(e, errno, "fstat: %s", strerror(errno));
	if (!f->is_device)
		bytes = (uint64_t)st.st_size;
	else if (ioctl(f->fd, BLKGETSIZE64, &bytes) < 0)
		return err_set(e, errno, "the size of the device: %s", strerror(errno));
	*size = align_down(bytes, f->block_size);
	return 0;
}

static int kind_find(struct block_file *f, struct err *e)
{
	int flags = fcntl(f->fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fd_stat(f->fd, &st) < 0)
		return err_set(e, errno, "the image: %s", strerror(errno));
	f->is_device = S_ISBLK(st.st_mode);
	if (!f->is_device && !S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "the image is neither a file nor a block device");
	if ((flags & O_ACCMODE) == O_WRONLY || (flags & O_PATH) != 0 ||
	    (!f->is_readonly && (flags & O_ACCMODE) != O_RDWR))
		return err_set(e, EINVAL, "the image is not open for what the disk does");
	f->is_direct = (flags & O_DIRECT) != 0;
	f->device = f->is_device ? st.st_rdev : st.st_dev;
	f->inode = f->is_device ? 0 : st.st_ino;
	return 0;
}

/* What the kernel takes: the file system says it by refusing. */
static int blocks_find(struct block_file *f, struct err *e)
{
	void *probe = NULL;
	int bytes = (int)SECTOR;
	struct iovec iov;
	ssize_t n;

	f->block_size = SECTOR;
	f->align = 1;
	if (f->is_device && ioctl(f->fd, BLKSSZGET, &bytes) == 0)
		f->block_size = (uint32_t)bytes;
	if (!is_pow2(f->block_size) || f->block_size < SECTOR || f->block_size > KIB(64))
		return err_set(e, EINVAL, "the device has blocks of %u bytes", f->block_size);
	if (posix_memalign(&probe, LARGE_BLOCK, LARGE_BLOCK) != 0)
		return err_set(e, ENOMEM, "no memory");
	n = f->is_direct ? pread(f->fd, probe, f->block_size, 0) : 0;
	if (n < 0 && errno == EINVAL && f->block_size < LARGE_BLOCK)
		f->block_size = LARGE_BLOCK;
	iov = (struct iovec){ probe, f->block_size };
	f->always_waits = preadv2(f->fd, &iov, 1, 0, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP;
	free(probe);
	if (f->is_direct)
		f->align = f->block_size;
	return 0;
}

/* Beyond the end of the file, which may be behind the disk's: where there is nothing to lose. */
void block_file_probe(struct block_file *f)
{
	struct stat st;

	f->can_discard = f->is_device && !f->is_readonly;
	if (f->is_device || f->is_readonly || fd_stat(f->fd, &st) < 0)
		return;
	f->can_discard = fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)align_up((uint64_t)st.st_size, LARGE_BLOCK),
				   LARGE_BLOCK) == 0;
}

int block_file_take(struct block_file *f, int *fd, bool readonly, struct err *e)
{
	struct block_file made = { .fd = *fd, .is_readonly = readonly };
	struct statfs fs;
	int r = kind_find(&made, e);

	if (r == 0)
		r = blocks_find(&made, e);
	if (r == 0)
		r = block_file_size(&made, &made.size, e);
	if (r == 0 && made.size == 0)
		r = err_set(e, EINVAL, "the image is smaller than a block of %u bytes",
			    made.block_size);
	if (r < 0)
		return r;
	made.is_memory = !made.is_device && fstatfs(made.fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
	*fd = -1;
	*f = made;
	return 0;
}

void block_file_close(struct block_file *f)
{
	fd_close(&f->fd);
}

static int byte_lock(const struct block_file *f, short type, off_t at)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };

	if (fcntl(f->fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

int block_file_busy(const struct block_file *f)
{
	int r = byte_lock(f, f->is_readonly ? F_RDLCK : F_WRLCK, PMD_LOCK_BUSY);

	return r == 0 ? byte_lock(f, F_RDLCK, PMD_LOCK_PROCESS + getpid()) : r;
}

bool block_file_is_same(const struct block_file *a, const struct block_file *b)
{
	return a->is_device == b->is_device && a->device == b->device && a->inode == b->inode;
}
