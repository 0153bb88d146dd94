// SPDX-License-Identifier: BSD-3-Clause
#include "image/image_file.h"

#include "base/fd.h"
#include "pmd-backends/pmd_msg.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_failed(const char *path, int r, struct err *e)
{
	if (r != -ELOOP)
		return err_set(e, r, "%.300s: %s", path, strerror(-r));
	err_set(e, ELOOP, "%.300s: the path goes through a symbolic link, which is not followed",
		path);
	err_code(e, "symlink");
	return err_hint(e, "realpath %.200s   prints the path to write", path);
}

int image_open(const char *path, int *fd_out, struct err *e)
{
	/* O_NONBLOCK: a FIFO or a device shall not hold us up. */
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
				.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	auto_fd int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	struct stat st;

	if (fd < 0)
		return open_failed(path, -errno, e);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "%.300s: no regular file", path);
	if (fcntl(fd, F_SETFL, O_RDONLY) < 0)
		return err_set(e, errno, "%.300s: %s", path, strerror(errno));
	*fd_out = fd_take(&fd);
	return 0;
}

struct lock_bytes {
	off_t start, len;
};

static const struct lock_bytes owner_bytes = { PMD_LOCK_OWNER, PMD_LOCK_OWNER_BYTES };
static const struct lock_bytes busy_bytes = { PMD_LOCK_BUSY, 1 };

static struct flock lock_of(const struct lock_bytes *bytes, short type)
{
	return (struct flock){
		.l_type = type, .l_whence = SEEK_SET, .l_start = bytes->start, .l_len = bytes->len
	};
}

/* fcntl(2), F_OFD_GETLK: would such a lock be refused? */
static int lock_look(int fd, const struct lock_bytes *bytes, short type, bool *is_refused)
{
	struct flock lock = lock_of(bytes, type);

	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	*is_refused = lock.l_type != F_UNLCK;
	return 0;
}

int image_use(int fd, enum image_use *out, struct err *e)
{
	/* The first that is refused says it. */
	static const struct {
		const struct lock_bytes *bytes;
		short type;
		enum image_use use;
	} rows[] = {
		{ &owner_bytes, F_RDLCK, IMAGE_WRITTEN },
		{ &busy_bytes, F_RDLCK, IMAGE_ENDING },
		{ &owner_bytes, F_WRLCK, IMAGE_READ },
		{ &busy_bytes, F_WRLCK, IMAGE_READ },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool is_refused = false;
		int r = lock_look(fd, rows[i].bytes, rows[i].type, &is_refused);

		if (r < 0)
			return err_set(e, r, "locks: %s", strerror(-r));
		if (is_refused) {
			*out = rows[i].use;
			return 0;
		}
	}
	*out = IMAGE_FREE;
	return 0;
}

static int in_use(struct err *e, const char *what, const char *path, const char *remedy)
{
	err_set(e, EBUSY, "%s", what);
	err_code(e, "image-in-use");
	return err_hint(e, "viaduct image info %.200s   %s", path, remedy);
}

int image_hold(const char *path, int fd, struct err *e)
{
	struct flock lock = lock_of(&owner_bytes, F_RDLCK);
	bool is_busy = false;
	int r;

	if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
		if (errno != EAGAIN && errno != EACCES)
			return err_set(e, errno, "lock it: %s", strerror(errno));
		return in_use(e, "a VM, or another program, writes to it", path,
			      "names the VM, if it is one's; stop it first");
	}
	/* Only now: whoever gets the busy lock had the owner's before, which nobody gets any more. */
	r = lock_look(fd, &busy_bytes, F_RDLCK, &is_busy);
	if (r < 0)
		return err_set(e, r, "locks: %s", strerror(-r));
	if (is_busy)
		return in_use(e, "its VM has ended, and a write of the disk is still under way",
			      path, "says when it is done; then try again");
	return 0;
}

/* The folder of the path, which must have a name in it. */
static int folder_of(struct image_file *f, struct err *e)
{
	const char *slash = strrchr(f->path, '/');
	size_t len = slash == NULL ? 0 : (size_t)(slash - f->path);

	if (f->path[0] == '\0' || (slash != NULL && slash[1] == '\0'))
		return err_set(e, EINVAL, "'%.300s' names no file", f->path);
	if (len >= sizeof(f->folder) - 64)
		return err_set(e, ENAMETOOLONG, "the path is too long");
	f->name = slash == NULL ? f->path : slash + 1;
	memcpy(f->folder, f->path, len);
	f->folder[len] = '\0';
	if (len == 0)
		strcpy(f->folder, slash == NULL ? "." : "/");
	return 0;
}

static int exists(struct err *e, const char *path)
{
	err_set(e, EEXIST, "%.300s is there already, and is not overwritten", path);
	err_code(e, "image-exists");
	return err_hint(e, "take another name, or remove that one first");
}

/* For file systems without files that have no name (NFS, 9p). */
static int named_open(struct image_file *f)
{
	uint64_t random;
	int fd;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	snprintf(f->temporary, sizeof(f->temporary), ".viaduct-image-%016llx",
		 (unsigned long long)random);
	fd = openat(f->folder_fd, f->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	if (fd < 0)
		f->temporary[0] = '\0';
	return fd < 0 ? -errno : fd;
}

/* The folder is opened once: whoever may rename it meanwhile does not choose where the image goes. */
static int files_open(struct image_file *f)
{
	f->folder_fd = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->folder_fd < 0)
		return -errno;
	f->fd = openat(f->folder_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (f->fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR)
		return -errno;
	f->fd = named_open(f);
	return f->fd < 0 ? f->fd : 0;
}

int image_file_begin(struct image_file *f, const char *path, struct err *e)
{
	struct statvfs vfs;
	struct stat st;
	int r;

	*f = (struct image_file){ .path = path, .folder_fd = -1, .fd = -1 };
	r = folder_of(f, e);
	if (r < 0)
		return r;
	if (lstat(path, &st) == 0)
		return exists(e, path);
	r = files_open(f);
	if (r < 0)
		return err_set(e, r, "a file in %.300s: %s", f->folder, strerror(-r));
	if (fstatvfs(f->fd, &vfs) < 0)
		return err_set(e, errno, "%.300s: %s", f->folder, strerror(errno));
	f->free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	return 0;
}

/* Never over another: 9p and NFS know no such rename, but a second name. */
static int rename_new(const struct image_file *f)
{
	if (renameat2(f->folder_fd, f->temporary, f->folder_fd, f->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(f->folder_fd, f->temporary, f->folder_fd, f->name, 0) < 0)
		return -errno;
	unlinkat(f->folder_fd, f->temporary, 0);
	return 0;
}

static int name_give(const struct image_file *f)
{
	char fd_path[64];

	if (f->temporary[0] != '\0')
		return rename_new(f);
	snprintf(fd_path, sizeof(fd_path), "/proc/self/fd/%d", f->fd);
	return linkat(AT_FDCWD, fd_path, f->folder_fd, f->name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int image_file_publish(struct image_file *f, struct err *e)
{
	int r;

	if (fsync(f->fd) < 0)
		return err_set(e, errno, "%.300s: %s", f->path, strerror(errno));
	r = name_give(f);
	if (r == -EEXIST)
		return exists(e, f->path);
	if (r < 0)
		return err_set(e, r, "name the file %.300s: %s", f->path, strerror(-r));
	f->temporary[0] = '\0';
	if (fsync(f->folder_fd) == 0)
		return 0;
	r = err_set(e, errno, "%.300s: %s", f->folder, strerror(errno));
	unlinkat(f->folder_fd, f->name, 0);
	return r;
}

void image_file_end(struct image_file *f)
{
	if (f->temporary[0] != '\0')
		unlinkat(f->folder_fd, f->temporary, 0);
	f->temporary[0] = '\0';
	fd_close(&f->fd);
	fd_close(&f->folder_fd);
}
