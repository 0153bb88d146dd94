// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/caller.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define USER_BYTES     4096 /* of an entry of the user database */
#define USER_BYTES_MAX (1U << 20)

int caller_from_socket(int sock, struct caller *out, struct err *e)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	memset(out, 0, sizeof(*out));
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_set(e, errno, "the peer's identity: %s", strerror(errno));
	out->uid = cred.uid;
	out->gid = cred.gid;
	out->pid = cred.pid;
	len = sizeof(out->groups);
	/* More groups than fit (-ERANGE): the caller is held to have none. */
	if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, out->groups, &len) == 0)
		out->group_count = (unsigned int)(len / sizeof(gid_t));
	return 0;
}

int caller_self(struct caller *out)
{
	int n;

	memset(out, 0, sizeof(*out));
	out->uid = geteuid();
	out->gid = getegid();
	out->pid = getpid();
	n = getgroups(CALLER_GROUPS, out->groups);
	out->group_count = n > 0 ? (unsigned int)n : 0;
	return 0;
}

bool caller_may_manage(const struct caller *who, gid_t gid)
{
	if (who->uid == 0 || who->uid == geteuid())
		return true;
	if (gid == (gid_t)-1)
		return false;
	if (who->gid == gid)
		return true;
	for (unsigned int i = 0; i < who->group_count; i++)
		if (who->groups[i] == gid)
			return true;
	return false;
}

static int user_lookup_failed(uid_t uid, int r, struct err *e)
{
	err_set(e, r, "the user database does not say who uid %u is: %s", uid, strerror(r));
	err_code(e, "user-lookup");
	return err_hint(e, "getent passwd %u   asks it; the same again when it answers", uid);
}

int caller_user(uid_t uid, char *buf, size_t cap, struct err *e)
{
	struct passwd entry, *found = NULL;
	size_t size = USER_BYTES;
	int r = ERANGE;

	for (; r == ERANGE && size <= USER_BYTES_MAX; size *= 4) {
		auto_free char *text = malloc(size);

		if (text == NULL)
			return err_set(e, ENOMEM, "no memory");
		r = getpwuid_r(uid, &entry, text, size, &found);
		if (r == 0)
			snprintf(buf, cap, "%s", found != NULL ? found->pw_name : "");
	}
	/* getpwnam(3): both may mean that there is none. */
	if (r == ENOENT || r == ESRCH)
		buf[0] = '\0';
	else if (r != 0)
		return user_lookup_failed(uid, r, e);
	return 0;
}

enum caller_class caller_class(const struct caller *who, gid_t gid)
{
	if (who->uid == 0 || who->uid == geteuid())
		return CALLER_ROOT;
	return caller_may_manage(who, gid) ? CALLER_MANAGER : CALLER_OTHER;
}

/* The identity for file access is the thread's own: setgroups by the bare system call, because
 * libc's would change all threads. */
static int identity_take(const struct caller *who)
{
	if (syscall(SYS_setgroups, (size_t)who->group_count, who->groups) < 0)
		return -errno;
	setfsgid(who->gid);
	setfsuid(who->uid);
	/* Each returns the former value, also when it failed; -1 changes nothing and tells. */
	if (setfsuid((uid_t)-1) != (int)who->uid || setfsgid((gid_t)-1) != (int)who->gid)
		return -EPERM;
	return 0;
}

static void identity_restore(const struct caller *self)
{
	setfsuid(self->uid);
	setfsgid(self->gid);
	syscall(SYS_setgroups, (size_t)self->group_count, self->groups);
}

static int path_open(const char *path, int *fd_out)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	if (fd < 0)
		return -errno;
	*fd_out = (int)fd;
	return 0;
}

int caller_run(const struct caller *who, int (*fn)(void *), void *arg)
{
	struct caller self;
	int r;

	caller_self(&self);
	if (who->uid == self.uid && who->gid == self.gid)
		return fn(arg);
	r = identity_take(who);
	if (r == 0)
		r = fn(arg);
	identity_restore(&self);
	return r;
}

struct path_wish {
	const char *path;
	int fd;
};

static int path_open_fn(void *arg)
{
	struct path_wish *wish = arg;

	return path_open(wish->path, &wish->fd);
}

static int path_open_as(const struct caller *who, const char *path, int *fd_out)
{
	struct path_wish wish = { path, -1 };
	int r = caller_run(who, path_open_fn, &wish);

	if (r == 0)
		*fd_out = wish.fd;
	return r;
}

bool caller_path_is_inside(const struct config *config, const char *path)
{
	if (config->root_count == 0)
		return true;
	/* No link is followed, so ".." is all that could lead out. */
	if (strstr(path, "/../") != NULL)
		return false;
	for (unsigned int i = 0; i < config->root_count; i++) {
		size_t len = strlen(config->roots[i]);

		while (len > 0 && config->roots[i][len - 1] == '/')
			len--;
		if (strncmp(path, config->roots[i], len) == 0 && path[len] == '/')
			return true;
	}
	return false;
}

static int open_failed(const struct file_wish *wish, int r, struct err *e)
{
	err_set(e, r, "%s %s: %s", wish->what, wish->path, strerror(-r));
	if (r == -ELOOP) {
		err_set(e, ELOOP,
			"%s %s: the path goes through a symbolic link, which is not followed",
			wish->what, wish->path);
		err_code(e, "symlink");
		return err_hint(e, "realpath %s   prints the path to write", wish->path);
	}
	if (r == -EACCES)
		return err_hint(e, "ls -l %s   (it is opened with the rights of whoever asks)",
				wish->path);
	return r;
}

int caller_open(const struct caller *who, const struct config *config, const struct file_wish *wish,
		int *fd_out, struct err *e)
{
	auto_fd int fd = -1;
	struct stat st;
	int r;

	if (wish->path[0] != '/' || !caller_path_is_inside(config, wish->path)) {
		err_set(e, EACCES, "%s %s: not in a folder that files may come from", wish->what,
			wish->path);
		return err_hint(e, "file_roots in viaductd.yaml names the folders");
	}
	r = path_open_as(who, wish->path, &fd);
	if (r < 0)
		return open_failed(wish, r, e);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "%s %s: no regular file", wish->what, wish->path);
	/* O_NONBLOCK kept a FIFO or device from blocking us; a regular file does not need it. */
	if (fcntl(fd, F_SETFL, O_RDONLY) < 0)
		return err_set(e, errno, "%s %s: %s", wish->what, wish->path, strerror(errno));
	*fd_out = fd_take(&fd);
	return 0;
}
