// SPDX-License-Identifier: BSD-3-Clause
/* A VM's run folder: its sockets and the files that outlive it. */
#include "vf-manager/privops.h"
#include "vf-manager/runpaths.h"
#include "vf-manager/vm.h"

#include "base/fd.h"
#include "base/seqmsg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Beside the folder of the new VM; names of VMs do not begin like this. */
#define KEPT "."

/* Everything that is in a run folder. */
static const struct run_file {
	const char *name;
	size_t fd; /* offset in struct vm_run_files */
	mode_t mode;
	int socket_type; /* 0: a file */
	int flags; /* of a file */
	bool is_kept; /* after the VM's end, for whoever asks why it ended */
	bool is_hvc; /* only of a VM that has it */
	bool is_needed; /* by the daemon, whatever becomes of its name */
} run_files[] = {
	{ "control.sock", offsetof(struct vm_run_files, listener), 0600, SOCK_SEQPACKET, 0, false,
	  false, true },
	{ "console.sock", offsetof(struct vm_run_files, console), 0660, SOCK_STREAM, 0, false },
	{ "hvc0.sock", offsetof(struct vm_run_files, hvc0), 0660, SOCK_STREAM, 0, false, true },
	/* Written more than once, so not appended to. */
	{ "exit.json", offsetof(struct vm_run_files, exit_record), 0600, 0, 0, true, false, true },
	{ "console.log", offsetof(struct vm_run_files, console_log), 0640, 0, O_APPEND, true },
	{ "console.log.1", offsetof(struct vm_run_files, console_log_old), 0640, 0, O_APPEND,
	  true },
	{ "vmm.log", offsetof(struct vm_run_files, log), 0640, 0, O_APPEND, true },
};

static int *fd_of(struct vm_run_files *files, const struct run_file *row)
{
	return (int *)((char *)files + row->fd);
}

void vm_run_files_init(struct vm_run_files *files)
{
	for (size_t i = 0; i < ARRAY_SIZE(run_files); i++)
		*fd_of(files, &run_files[i]) = -1;
}

void vm_run_files_close(struct vm_run_files *files)
{
	for (size_t i = 0; i < ARRAY_SIZE(run_files); i++)
		fd_close(fd_of(files, &run_files[i]));
}

static int file_make(struct daemon *d, const char *path, const struct run_file *row, int *fd_out,
		     struct err *e)
{
	auto_fd int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | row->flags,
			      row->mode);

	if (fd < 0 || (d->is_root && fchown(fd, 0, d->gid) < 0) || fchmod(fd, row->mode) < 0)
		return err_set(e, errno, "make %s: %s", path, strerror(errno));
	*fd_out = fd_take(&fd);
	return 0;
}

static int socket_make(struct daemon *d, const char *path, const struct run_file *row, int *fd_out,
		       struct err *e)
{
	int r = unix_listen(path, row->socket_type, row->mode, fd_out, e);

	if (r == 0 && d->is_root && chown(path, 0, d->gid) < 0)
		r = err_set(e, errno, "chown %s: %s", path, strerror(errno));
	return r;
}

/* prefix is "" or KEPT. */
static char *folder_path(const struct daemon *d, const char *prefix, const char *name,
			 char buf[VM_PATH_TEXT])
{
	snprintf(buf, VM_PATH_TEXT, "%s/vm/%s%s", d->opt->run_dir, prefix, name);
	return buf;
}

static void folder_remove(const struct daemon *d, const char *prefix, const char *name)
{
	char folder[VM_PATH_TEXT], path[VM_PATH_TEXT + 32];

	folder_path(d, prefix, name, folder);
	for (size_t i = 0; i < ARRAY_SIZE(run_files); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, run_files[i].name);
		unlink(path);
	}
	rmdir(folder);
}

static void folder_rename(const struct daemon *d, const char *name, const char *from,
			  const char *to)
{
	char old[VM_PATH_TEXT], new[VM_PATH_TEXT];

	folder_remove(d, to, name);
	if (rename(folder_path(d, from, name, old), folder_path(d, to, name, new)) < 0 &&
	    errno != ENOENT)
		log_warn("rename %s: %s", old, strerror(errno));
}

void vm_run_files_keep(struct daemon *d, const char *name)
{
	char path[VM_PATH_TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(run_files); i++)
		if (run_files[i].is_needed)
			run_path_keep(d->run_paths, vm_path(d, name, run_files[i].name, path));
}

static void run_files_drop(struct daemon *d, const char *name)
{
	char path[VM_PATH_TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(run_files); i++)
		if (run_files[i].is_needed)
			run_path_drop(d->run_paths, vm_path(d, name, run_files[i].name, path));
}

int priv_vm_files_make(struct daemon *d, const char *name, struct vm_run_files *out, struct err *e)
{
	char path[VM_PATH_TEXT];
	int r;

	vm_run_files_init(out);
	if (parse_name(name) < 0)
		return err_set(e, EINVAL, "'%.64s' is no name", name);
	r = daemon_run_dirs_make(d, e);
	if (r < 0)
		return r;
	folder_rename(d, name, "", KEPT);
	folder_remove(d, "", name);
	if (mkdir(vm_path(d, name, "", path), 0750) < 0 ||
	    (d->is_root && chown(path, 0, d->gid) < 0))
		r = err_set(e, errno, "make %s: %s", path, strerror(errno));
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(run_files); i++) {
		const struct run_file *row = &run_files[i];

		if (row->is_hvc && !out->has_hvc0)
			continue;
		vm_path(d, name, row->name, path);
		r = row->socket_type == 0 ? file_make(d, path, row, fd_of(out, row), e)
					  : socket_make(d, path, row, fd_of(out, row), e);
	}
	if (r < 0)
		vm_run_files_close(out);
	else
		vm_run_files_keep(d, name);
	return r;
}

int priv_vm_files_give(struct daemon *d, const char *name, uid_t owner, struct err *e)
{
	static const char *const given[] = { "console.sock", "hvc0.sock", "console.log",
					     "console.log.1" };
	char path[VM_PATH_TEXT];

	if (parse_name(name) < 0)
		return err_set(e, EINVAL, "'%.64s' is no name", name);
	if (!d->is_root)
		return 0;
	/* The folder stays root's: what is in it is opened by name after a restart. */
	if (chmod(vm_path(d, name, "", path), 0751) < 0)
		return err_set(e, errno, "chmod %s: %s", path, strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(given); i++) {
		vm_path(d, name, given[i], path);
		if (access(path, F_OK) < 0 && errno == ENOENT)
			continue; /* hvc0.sock */
		if (chmod(path, 0600) < 0 || lchown(path, owner, 0) < 0)
			return err_set(e, errno, "give %s to uid %u: %s", path, owner,
				       strerror(errno));
	}
	return 0;
}

void priv_vm_files_restore(struct daemon *d, const char *name)
{
	if (parse_name(name) < 0)
		return;
	run_files_drop(d, name);
	folder_rename(d, name, KEPT, "");
}

void priv_vm_files_drop_kept(struct daemon *d, const char *name)
{
	if (parse_name(name) == 0)
		folder_remove(d, KEPT, name);
}

void priv_vm_files_remove(struct daemon *d, const char *name, bool is_ended)
{
	char path[VM_PATH_TEXT];

	if (parse_name(name) < 0)
		return;
	run_files_drop(d, name);
	if (!is_ended) {
		folder_remove(d, "", name);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(run_files); i++)
		if (!run_files[i].is_kept)
			unlink(vm_path(d, name, run_files[i].name, path));
}
