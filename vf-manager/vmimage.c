// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/imagewait.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define HEAD_BYTES 4096

/* Formats that only look like disks: a guest would see their tables. LUKS is none: guests lay it on whole disks. */
static const struct format {
	const char *name;
	const char *magic;
	size_t len;
} formats[] = {
	{ "qcow2", "QFI\373", 4 },
	{ "qed", "QED\0", 4 },
	{ "vmdk", "KDMV", 4 },
	{ "vmdk", "COWD", 4 },
	{ "vmdk", "# Disk DescriptorFile", 21 },
	{ "vhdx", "vhdxfile", 8 },
	{ "vpc", "conectix", 8 },
	{ "vdi", "<<< ", 4 },
};

/* Of what the kernel remembers: a server that hangs is not asked. */
int image_id_read(int fd, struct image_id *out)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &st) < 0)
		return -errno;
	if (S_ISBLK(st.stx_mode))
		*out = (struct image_id){ .dev = makedev(st.stx_rdev_major, st.stx_rdev_minor) };
	else if (S_ISREG(st.stx_mode))
		*out = (struct image_id){ .dev = makedev(st.stx_dev_major, st.stx_dev_minor),
					  .ino = st.stx_ino };
	else
		return -EINVAL;
	return 0;
}

/* The operator's word is on the name: it may be a link, as those of volumes are. */
static bool is_allowed(const struct config *config, const char *path)
{
	if (strstr(path, "/../") != NULL)
		return false;
	for (unsigned int i = 0; i < config->device_count; i++)
		if (fnmatch(config->devices[i], path, FNM_PATHNAME | FNM_PERIOD) == 0)
			return true;
	return false;
}

struct opening {
	const struct vm_disk *disk;
	bool may_be_device;
	bool may_be_file;
	struct vm_image *out;
	struct stat st;
	const char *step; /* what failed */
};

static int reopen(int handle, int flags)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", handle);
	fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

/* With the caller's identity. Not opened in earnest before it is known what it is: devices act on being opened. */
static int open_as_caller(void *arg)
{
	struct opening *o = arg;
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_NO_MAGICLINKS | (o->may_be_device ? 0 : RESOLVE_NO_SYMLINKS),
	};
	auto_fd int handle = (int)syscall(SYS_openat2, AT_FDCWD, o->disk->path, &how, sizeof(how));
	int flags = o->disk->is_readonly ? O_RDONLY : O_RDWR, fd;

	o->step = "open";
	if (handle < 0 || fstat(handle, &o->st) < 0)
		return -errno;
	if (!(S_ISREG(o->st.st_mode) && o->may_be_file) &&
	    !(S_ISBLK(o->st.st_mode) && o->may_be_device))
		return -EINVAL;
	if (S_ISBLK(o->st.st_mode)) {
		o->step = "claim";
		fd = reopen(handle, O_RDONLY | O_EXCL);
		if (fd < 0)
			return fd;
		close(fd);
		flags |= o->disk->is_readonly ? 0 : O_EXCL;
	}
	fd = o->disk->is_buffered ? -EINVAL : reopen(handle, flags | O_DIRECT);
	o->out->is_direct = fd >= 0;
	if (fd == -EINVAL) {
		fd = reopen(handle, flags);
		o->out->has_no_direct = !o->disk->is_buffered;
	}
	o->out->fd = fd < 0 ? -1 : fd;
	return fd < 0 ? fd : 0;
}

static int kind_refused(const struct opening *o, const struct config *config, struct err *e)
{
	const char *path = o->disk->path;

	if (S_ISBLK(o->st.st_mode)) {
		err_set(e, EACCES, "image %s: a block device that disks may not be", path);
		err_code(e, "device-not-allowed");
		return err_hint(e, "block_devices: [%s]   in viaductd.yaml allows it", path);
	}
	if (S_ISREG(o->st.st_mode)) {
		err_set(e, EACCES, "image %s: not in a folder that files may come from", path);
		return err_hint(e, "file_roots in viaductd.yaml names the folders");
	}
	err_set(e, EINVAL, "image %s: neither a regular file nor a block device", path);
	return err_code(e, "image-kind");
}

static int open_failed(const struct opening *o, int r, struct err *e)
{
	const char *path = o->disk->path;

	err_set(e, r, "image %s: %s", path, strerror(-r));
	if (r == -ELOOP) {
		err_set(e, ELOOP,
			"image %s: the path goes through a symbolic link, which is not followed",
			path);
		err_code(e, "symlink");
		return err_hint(e, "realpath %s   prints the path to write", path);
	}
	if (r == -EBUSY && strcmp(o->step, "claim") == 0) {
		err_set(e, EBUSY,
			"image %s: the device is in use: mounted, part of a RAID or volume, or "
			"another program's",
			path);
		err_code(e, "device-busy");
		return err_hint(e, "lsblk %s   shows what uses it", path);
	}
	if (r == -EROFS)
		return err_hint(e,
				"readonly: yes   if it shall only be read; or findmnt -T %s, and "
				"ReadWritePaths in viaductd.service",
				path);
	if (r == -EACCES || r == -EPERM)
		return err_hint(e, "ls -l %s   (it is opened with the rights of whoever asks)",
				path);
	return r;
}

static int format_read(struct vm_image *image, const char *path, struct err *e)
{
	/* Not on the stack: O_DIRECT wants it aligned, and a sanitizer's stack is not. */
	char *head = aligned_alloc(HEAD_BYTES, HEAD_BYTES);
	ssize_t n = head == NULL ? -1 : pread(image->fd, head, HEAD_BYTES, 0);
	int r = n < 0 ? err_set(e, errno, "image %s: %s", path, strerror(errno)) : 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(formats); i++) {
		const struct format *f = &formats[i];

		if (image->format == NULL && (size_t)n >= f->len &&
		    memcmp(head, f->magic, f->len) == 0)
			image->format = f->name;
	}
	free(head);
	return r;
}

int vm_image_format_check(const struct vm_disk *disk, const struct vm_image *image, struct err *e)
{
	if (image->format == NULL || disk->is_raw)
		return 0;
	err_set(e, EINVAL, "image %s: in %s format, and disks are raw", disk->path, image->format);
	err_code(e, "image-format");
	return err_hint(e,
			"viaduct image import %s   makes a raw image of it; if its guest wrote "
			"these bytes: format: raw",
			disk->path);
}

static int size_read(struct vm_image *image, const struct stat *st, const char *path, struct err *e)
{
	image->size = (uint64_t)st->st_size;
	if (S_ISBLK(st->st_mode) && ioctl(image->fd, BLKGETSIZE64, &image->size) < 0)
		return err_set(e, errno, "image %s: the size of the device: %s", path,
			       strerror(errno));
	if (image->size >= 512)
		return 0;
	err_set(e, EINVAL, "image %s: has no whole sector (%llu bytes)", path,
		(unsigned long long)image->size);
	return err_hint(e, "truncate -s 20G %s   makes an empty disk of that size", path);
}

int vm_image_open(const struct caller *who, const struct config *config, const struct vm_disk *disk,
		  struct vm_image *out, struct err *e)
{
	struct opening o = { .disk = disk,
			     .may_be_device = is_allowed(config, disk->path),
			     .may_be_file = caller_path_is_inside(config, disk->path),
			     .out = out };
	int r;

	*out = (struct vm_image){ .fd = -1 };
	r = caller_run(who, open_as_caller, &o);
	if (S_ISBLK(o.st.st_mode))
		out->id = (struct image_id){ .dev = o.st.st_rdev };
	if (r == -EINVAL && o.st.st_mode != 0 && strcmp(o.step, "open") == 0)
		return kind_refused(&o, config, e);
	if (r < 0)
		return open_failed(&o, r, e);
	r = image_id_read(out->fd, &out->id);
	if (r < 0)
		err_set(e, r, "image %s: %s", disk->path, strerror(-r));
	if (r == 0)
		r = size_read(out, &o.st, disk->path, e);
	if (r == 0)
		r = format_read(out, disk->path, e);
	if (r < 0)
		fd_close(&out->fd);
	return r;
}

static struct flock owner_lock(bool readonly)
{
	return (struct flock){ .l_type = readonly ? F_RDLCK : F_WRLCK,
			       .l_whence = SEEK_SET,
			       .l_start = PMD_LOCK_OWNER,
			       .l_len = PMD_LOCK_OWNER_BYTES };
}

bool vm_image_is_locked(int fd, bool readonly)
{
	struct flock lock = owner_lock(readonly);

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

struct work {
	int fd; /* its own number */
	int out; /* of a reopening */
	int flags;
	bool is_readonly;
};

static void work_drop(void *arg)
{
	struct work *w = arg;

	fd_close(&w->fd);
	fd_close(&w->out);
	free(w);
}

/* work->out is the caller's then, if it wants it. */
static int work_run(int fd, const struct image_id *id, int (*run)(void *), struct work *work)
{
	struct work *w = malloc(sizeof(*w));
	const struct image_task task = { run, work_drop, w };
	bool is_taken = false;
	int r;

	if (w == NULL)
		return -ENOMEM;
	*w = *work;
	w->out = -1;
	w->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	r = w->fd < 0 ? -errno : image_task_run(id, &task, &is_taken);
	if (is_taken)
		return r;
	work->out = fd_take(&w->out);
	work_drop(w);
	return r;
}

static int lock_run(void *arg)
{
	const struct work *w = arg;
	struct flock lock = owner_lock(w->is_readonly);

	if (fcntl(w->fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

int vm_image_lock(int fd, bool readonly)
{
	struct work work = { .is_readonly = readonly };
	struct image_id id;
	int r = image_id_read(fd, &id);

	return r < 0 ? r : work_run(fd, &id, lock_run, &work);
}

int image_find(pid_t pid, const struct image_id *id, int *fd_out)
{
	char folder[40], path[64];
	struct dirent *entry;
	int r = -ENOENT;
	DIR *dir;

	snprintf(folder, sizeof(folder), "/proc/%d/fd", (int)pid);
	dir = opendir(folder);
	while (r == -ENOENT && dir != NULL && (entry = readdir(dir)) != NULL) {
		struct image_id is;
		int fd;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%.16s", folder, entry->d_name);
		fd = open(path, O_PATH | O_CLOEXEC);
		if (fd >= 0 && image_id_read(fd, &is) == 0 && image_id_is(&is, id)) {
			*fd_out = fd;
			r = 0;
		} else if (fd >= 0) {
			close(fd);
		}
	}
	if (dir != NULL)
		closedir(dir);
	return r;
}

static int reopen_run(void *arg)
{
	struct work *w = arg;
	int fd = reopen(w->fd, w->flags);

	if (fd < 0)
		return fd;
	w->out = fd;
	return 0;
}

int image_reopen(int handle, const struct image_id *id, const struct image_open *how, int *fd_out,
		 struct err *e)
{
	struct work work = { .flags = (how->is_readonly ? O_RDONLY : O_RDWR) |
				      (how->is_direct ? O_DIRECT : 0),
			     .out = -1 };
	int r = work_run(handle, id, reopen_run, &work);
	auto_fd int fd = work.out;
	struct image_id is;

	if (r == -ETIMEDOUT) {
		err_set(e, r, "the image cannot be opened: its storage does not answer");
		return err_code(e, "storage-hangs");
	}
	if (r < 0)
		return err_set(e, r, "the image: %s", strerror(-r));
	if (image_id_read(fd, &is) < 0 || !image_id_is(&is, id))
		return err_set(e, ESTALE, "the image is another one now");
	*fd_out = fd_take(&fd);
	return 0;
}
