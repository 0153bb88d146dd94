// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmfirmware.h"

#include "base/fd.h"
#include "base/parse.h"
#include "vmm/vmm_msg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define VARS_FILE "vars.fd"
#define VARS_NEW  "vars.fd.new" /* until it is whole */
#define UUID_FILE "uuid"

char *vm_firmware_path(const struct daemon *d, const char *name, const char *file,
		       char buf[PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s/firmware/%s%s%s", d->opt->state_dir, name,
		 file[0] != '\0' ? "/" : "", file);
	return buf;
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

int firmware_path_check(const char *path, struct err *e)
{
	if (path[0] != '/')
		return err_set(e, EINVAL, "firmware: '%.200s' is not an absolute path", path);
	if (strstr(base_of(path), "CODE") == NULL) {
		err_set(e, EINVAL, "firmware: '%.200s' is no code of OVMF: CODE is not in its name",
			path);
		return err_hint(e, "firmware: %s", FIRMWARE_CODE);
	}
	return 0;
}

static int unfit(struct err *e, const char *path, const char *why)
{
	err_set(e, EINVAL, "firmware %s: %s", path, why);
	err_code(e, "firmware-unfit");
	return err_hint(e,
			"take OVMF_CODE_4M.fd of the package ovmf: firmware: %s in viaductd.yaml",
			FIRMWARE_CODE);
}

/* By the name that the links end in: OVMF_CODE_4M.ms.fd is such a build, too. */
static int secure_boot_check(const char *path, struct err *e)
{
	auto_free char *real = realpath(path, NULL);

	if (real == NULL || strstr(base_of(real), "secboot") == NULL)
		return 0;
	return unfit(e, path, "a build with Secure Boot, which needs system management mode");
}

static int file_open(const char *path, off_t size, int *fd_out, struct err *e)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char why[96];

	if (fd < 0 || fstat(fd, &st) < 0) {
		err_set(e, errno, "firmware %s: %s", path, strerror(errno));
		err_code(e, "no-firmware");
		return err_hint(
			e, "apt install ovmf; or name its files by `firmware` in viaductd.yaml");
	}
	if (!S_ISREG(st.st_mode))
		return unfit(e, path, "is no regular file");
	snprintf(why, sizeof(why), "has %lld bytes, not the %lld of OVMF's 4M build",
		 (long long)st.st_size, (long long)size);
	if (st.st_size != size)
		return unfit(e, path, why);
	*fd_out = fd_take(&fd);
	return 0;
}

int firmware_open(const struct config *config, int *code_out, int *vars_out, struct err *e)
{
	char vars[sizeof(config->firmware)];
	auto_fd int code = -1;
	int r = secure_boot_check(config->firmware, e);

	if (r == 0)
		r = file_open(config->firmware, VMM_CODE_IMAGE, &code, e);
	if (r < 0)
		return r;
	memcpy(vars, config->firmware, sizeof(vars));
	memcpy(strstr((char *)base_of(vars), "CODE"), "VARS", 4);
	r = file_open(vars, VMM_VARS_IMAGE, vars_out, e);
	if (r == 0)
		*code_out = fd_take(&code);
	return r;
}

/* The folder's own entry is on the disk, too, or a power cut would take the file away again. */
static int folder_sync(const char *path)
{
	auto_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int folder_make(struct daemon *d, const char *name, struct err *e)
{
	char all[PATH_MAX], path[PATH_MAX];
	int r = 0;

	vm_firmware_path(d, "", "", all);
	vm_firmware_path(d, name, "", path);
	if ((mkdir(all, 0700) < 0 && errno != EEXIST) || (mkdir(path, 0700) < 0 && errno != EEXIST))
		r = -errno;
	if (r == 0)
		r = folder_sync(all);
	return r < 0 ? err_set(e, r, "make %s: %s", path, strerror(-r)) : 0;
}

static int image_copy(int from, int to)
{
	auto_free uint8_t *image = malloc(VMM_VARS_IMAGE);
	int r;

	if (image == NULL)
		return -ENOMEM;
	r = fd_pread_all(from, image, VMM_VARS_IMAGE, 0);
	return r < 0 ? r : fd_write_all(to, image, VMM_VARS_IMAGE);
}

/* Whole and on the disk before it has its name. All of its blocks are taken now: later writes find no full disk, but on
 * file systems that never write in place. */
static int vars_make(const char *folder, int fresh)
{
	auto_fd int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_fd int fd = -1;
	int r;

	if (dir < 0)
		return -errno;
	fd = openat(dir, VARS_NEW, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = image_copy(fresh, fd);
	if (r == 0)
		r = -posix_fallocate(fd, 0, VMM_VARS_FILE);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(dir, VARS_NEW, dir, VARS_FILE) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dir, VARS_NEW, 0);
		return r;
	}
	return fsync(dir) < 0 ? -errno : 0;
}

static int vars_fail(struct err *e, int r, const char *path)
{
	err_set(e, r, "firmware variables %s: %s", path, strerror(-r));
	if (r != -ENOSPC && r != -EDQUOT)
		return r;
	err_code(e, "firmware-vars-full");
	return err_hint(e, "df %s", path);
}

/* An image without room for the journal is one that somebody has put there. */
static int vars_size_check(int fd, const char *path, struct err *e)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return vars_fail(e, -errno, path);
	if (S_ISREG(st.st_mode) && st.st_size == (off_t)VMM_VARS_FILE)
		return 0;
	if (S_ISREG(st.st_mode) && st.st_size == (off_t)VMM_VARS_IMAGE) {
		r = -posix_fallocate(fd, 0, VMM_VARS_FILE);
		return r < 0 ? vars_fail(e, r, path) : 0;
	}
	err_set(e, EINVAL, "firmware variables %s: %lld bytes, not %u", path, (long long)st.st_size,
		VMM_VARS_FILE);
	err_code(e, "firmware-vars-broken");
	return err_hint(e, "rm %s   and the next start makes it anew; or copy a backup there",
			path);
}

int priv_vm_vars_open(struct daemon *d, const char *name, int fresh, int *fd_out, struct err *e)
{
	char path[PATH_MAX], folder[PATH_MAX];
	auto_fd int fd = -1;
	int r;

	if (parse_name(name) < 0)
		return err_set(e, EINVAL, "'%.64s' is no name", name);
	r = folder_make(d, name, e);
	if (r < 0)
		return r;
	vm_firmware_path(d, name, "", folder);
	vm_firmware_path(d, name, VARS_FILE, path);
	fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT) {
		r = vars_make(folder, fresh);
		if (r < 0)
			return vars_fail(e, r, path);
		fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0)
		return vars_fail(e, -errno, path);
	r = vars_size_check(fd, path, e);
	if (r == 0)
		*fd_out = fd_take(&fd);
	return r;
}

static bool uuid_is_whole(const char *text)
{
	return strlen(text) == UUID_TEXT - 1 && strspn(text, "0123456789abcdef-") == UUID_TEXT - 1;
}

int priv_vm_uuid_get(struct daemon *d, const char *name, char out[UUID_TEXT], struct err *e)
{
	char path[PATH_MAX], text[UUID_TEXT + 8];
	int r;

	if (parse_name(name) < 0)
		return err_set(e, EINVAL, "'%.64s' is no name", name);
	r = folder_make(d, name, e);
	if (r < 0)
		return r;
	vm_firmware_path(d, name, UUID_FILE, path);
	if (file_read_at(AT_FDCWD, path, text, sizeof(text)) < 0 || !uuid_is_whole(text)) {
		auto_fd int fd =
			open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

		if (file_read_at(AT_FDCWD, "/proc/sys/kernel/random/uuid", text, sizeof(text)) < 0)
			return err_set(e, EIO, "no random UUID from the kernel");
		r = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
		if (r == 0 && fsync(fd) < 0)
			r = -errno;
		if (r < 0)
			return vars_fail(e, r, path);
	}
	memcpy(out, text, UUID_TEXT - 1);
	out[UUID_TEXT - 1] = '\0';
	return 0;
}

void priv_vm_vars_remove(struct daemon *d, const char *name)
{
	static const char *const files[] = { VARS_FILE, VARS_NEW, UUID_FILE };
	char path[PATH_MAX];

	if (parse_name(name) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		unlink(vm_firmware_path(d, name, files[i], path));
	rmdir(vm_firmware_path(d, name, "", path));
}
