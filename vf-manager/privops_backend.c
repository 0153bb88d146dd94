// SPDX-License-Identifier: BSD-3-Clause
/* What viaduct-pmd finds in the file system: its run folder, sockets, and the files of groups that are its. */
#include "vf-manager/disks.h"
#include "vf-manager/privops.h"
#include "vf-manager/runpaths.h"

#include "base/fd.h"
#include "base/seqmsg.h"
#include "vmm/vmm_msg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_MOST MIB(4) /* one that is longer is begun anew */

int backend_name_parse(const char *name)
{
	const char *vm = disks_backend_vm(name);

	return parse_name(vm[0] != '\0' ? vm : name);
}

char *backend_path(const struct daemon *d, const char *name, const char *file,
		   char buf[BACKEND_PATH_TEXT])
{
	snprintf(buf, BACKEND_PATH_TEXT, "%s/pmd/%s%s%s", d->opt->run_dir, name,
		 file[0] != '\0' ? "/" : "", file);
	return buf;
}

/* Root's: who may pass through cannot put another socket in the place of one. */
static int folder_make(struct daemon *d, const char *path, mode_t mode, gid_t gid, struct err *e)
{
	struct stat st;

	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return err_set(e, errno, "make %s: %s", path, strerror(errno));
	if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(e, ENOTDIR, "%s is no folder", path);
	if ((d->is_root && lchown(path, 0, gid) < 0) || chmod(path, mode) < 0)
		return err_set(e, errno, "chmod %s: %s", path, strerror(errno));
	return 0;
}

static int log_open(struct daemon *d, const char *path, int *fd_out, struct err *e)
{
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    (d->is_root && fchown(fd, 0, d->gid) < 0))
		return err_set(e, errno, "open %s: %s", path, strerror(errno));
	if (st.st_size > (off_t)LOG_MOST && ftruncate(fd, 0) < 0)
		return err_set(e, errno, "shorten %s: %s", path, strerror(errno));
	*fd_out = fd_take(&fd);
	return 0;
}

int priv_backend_folder_make(struct daemon *d, const char *name, gid_t gid, struct err *e)
{
	char path[BACKEND_PATH_TEXT];
	int r;

	if (backend_name_parse(name) < 0)
		return err_set(e, EINVAL, "'%.64s' is no name", name);
	snprintf(path, sizeof(path), "%s/pmd", d->opt->run_dir);
	r = folder_make(d, path, 0711, 0, e);
	return r < 0 ? r : folder_make(d, backend_path(d, name, "", path), 0710, gid, e);
}

void priv_backend_folder_remove(struct daemon *d, const char *name)
{
	static const char *const files[] = { "control.sock", "pmd.log" };
	const bool is_of_vm = disks_backend_vm(name)[0] != '\0'; /* else others may listen there */
	char path[BACKEND_PATH_TEXT], socket[16];

	if (backend_name_parse(name) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		unlink(backend_path(d, name, files[i], path));
	for (unsigned int i = 0; is_of_vm && i < VMM_MAX_DISKS; i++) {
		snprintf(socket, sizeof(socket), "%u.sock", i);
		unlink(backend_path(d, name, socket, path));
	}
	run_path_drop(d->run_paths, backend_path(d, name, "control.sock", path));
	rmdir(backend_path(d, name, "", path));
}

int priv_backend_files_make(struct daemon *d, const char *name, gid_t gid,
			    struct backend_files *out, struct err *e)
{
	char path[BACKEND_PATH_TEXT];
	int r;

	*out = (struct backend_files){ -1, -1 };
	r = priv_backend_folder_make(d, name, gid, e);
	if (r == 0)
		r = unix_listen(backend_path(d, name, "control.sock", path), SOCK_SEQPACKET, 0600,
				&out->listener, e);
	if (r == 0)
		run_path_keep(d->run_paths, path);
	if (r == 0)
		r = log_open(d, backend_path(d, name, "pmd.log", path), &out->log, e);
	if (r < 0)
		fd_close(&out->listener);
	return r;
}

int priv_backend_listen(struct daemon *d, const char *path, uid_t uid, int *fd_out, struct err *e)
{
	auto_fd int fd = -1;
	int r = unix_listen(path, SOCK_STREAM, 0600, &fd, e);

	if (r == 0 && d->is_root && lchown(path, uid, 0) < 0)
		r = err_set(e, errno, "chown %s: %s", path, strerror(errno));
	if (r < 0)
		return r;
	*fd_out = fd_take(&fd);
	return 0;
}

int priv_group_give(struct daemon *d, const struct pci_addr *fn, uid_t uid, struct err *e)
{
	char group[32], path[PATH_MAX], text[PCI_ADDR_TEXT];
	uint64_t nr;
	int r = sysfs_fn_link(inventory_sysfs(d->inv), fn, "iommu_group", group, sizeof(group));

	if (r < 0 || parse_u64(group, UINT32_MAX, &nr) < 0)
		return err_set(e, ENODEV, "%s is in no IOMMU group", pci_addr_text(fn, text));
	if (!d->is_root)
		return 0;
	snprintf(path, sizeof(path), "%s/vfio/%llu", d->opt->dev_dir, (unsigned long long)nr);
	if (lchown(path, uid, 0) < 0 || chmod(path, 0600) < 0)
		return err_set(e, errno, "give %s to uid %u: %s", path, uid, strerror(errno));
	return 0;
}
