// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/cloudinit.h"

#include "vf-manager/vmspec.h"

#include "base/fd.h"
#include "image/seed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct {
	const char *key, *what;
	size_t text; /* offset in struct vmfile_cloud_init */
} rows[CLOUD_FILES] = {
	[CLOUD_USER_DATA] = { "user_data", "user data",
			      offsetof(struct vmfile_cloud_init, user_data) },
	[CLOUD_META_DATA] = { "meta_data", "meta data",
			      offsetof(struct vmfile_cloud_init, meta_data) },
	[CLOUD_NETWORK_CONFIG] = { "network_config", "network configuration",
				   offsetof(struct vmfile_cloud_init, network_config) },
};

void cloud_text_free(struct cloud_text *t)
{
	if (t->data != NULL)
		explicit_bzero(t->data, t->len);
	free(ptr_take(&t->data));
	t->len = 0;
}

/* RFC 1123, 2.1: labels of letters, digits and hyphens. */
static int hostname_check(const char *name)
{
	char before = '.';

	if (strlen(name) >= CLOUD_HOSTNAME)
		return -EINVAL;
	for (const char *c = name; *c != '\0'; before = *c++) {
		bool is_letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
				 (*c >= '0' && *c <= '9');

		if (!is_letter && *c != '-' && *c != '.')
			return -EINVAL;
		/* No label is empty, and none has a hyphen at an end. */
		if ((before == '.' && !is_letter) || (before == '-' && *c == '.'))
			return -EINVAL;
	}
	return before == '.' || before == '-' ? -EINVAL : 0;
}

int cloud_init_parse(const struct vmfile_cloud_init *in, const char *base_dir,
		     struct cloud_init *out, struct err *e)
{
	memset(out, 0, sizeof(*out));
	if (in == NULL)
		return 0;
	out->is_set = true;
	for (size_t i = 0; i < CLOUD_FILES; i++) {
		const char *path = *(char *const *)((const char *)in + rows[i].text);
		char key[64];
		int r = 0;

		snprintf(key, sizeof(key), "cloud_init.%s", rows[i].key);
		if (path != NULL)
			r = vm_path_parse(path, key, base_dir, out->files[i], e);
		if (r < 0)
			return r;
	}
	if (in->hostname == NULL)
		return 0;
	if (hostname_check(in->hostname) < 0) {
		err_set(e, EINVAL, "cloud_init.hostname: '%.64s' is no host name", in->hostname);
		return err_hint(e, "letters, digits and hyphens, in parts with dots between");
	}
	memcpy(out->hostname, in->hostname, strlen(in->hostname) + 1);
	return 0;
}

json_t *cloud_init_json(const struct cloud_init *c)
{
	json_t *j = c->is_set ? json_object() : NULL;

	for (size_t i = 0; c->is_set && i < CLOUD_FILES; i++)
		json_object_set_new(j, rows[i].key,
				    c->files[i][0] != '\0' ? json_string(c->files[i])
							   : json_null());
	if (c->is_set)
		json_object_set_new(j, "hostname",
				    c->hostname[0] != '\0' ? json_string(c->hostname)
							   : json_null());
	return j;
}

static int file_unfit(struct err *e, const char *what, int r, const char *why)
{
	err_set(e, r, "%s: %s", what, why);
	return err_code(e, "cloud-init-file");
}

/* All of it; fd -1: none. */
static int text_read(int fd, const char *what, struct cloud_text *out, struct err *e)
{
	const size_t cap = SEED_FILE_MAX + 1;
	ssize_t n;

	*out = (struct cloud_text){ NULL, 0 };
	if (fd < 0)
		return 0;
	out->data = malloc(cap);
	if (out->data == NULL)
		return err_set(e, ENOMEM, "no memory");
	while (out->len < cap) {
		n = pread(fd, out->data + out->len, cap - out->len, (off_t)out->len);
		if (n < 0)
			return file_unfit(e, what, errno, strerror(errno));
		if (n == 0)
			return 0;
		out->len += (size_t)n;
	}
	return file_unfit(e, what, EFBIG, "more than 1 MiB");
}

struct texts {
	struct cloud_text of[CLOUD_FILES];
};

static void texts_free(struct texts *t)
{
	for (size_t i = 0; i < CLOUD_FILES; i++)
		cloud_text_free(&t->of[i]);
}

/* What is in the seed; to be freed in any case. */
static int texts_read(const struct cloud_init *c, const int fds[CLOUD_FILES],
		      const struct cloud_who *vm, struct texts *t, struct err *e)
{
	struct cloud_text meta = { NULL, 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < CLOUD_FILES; i++) {
		char what[PATH_MAX + 64];

		snprintf(what, sizeof(what), "%s %s", rows[i].what, c->files[i]);
		r = text_read(fds[i], what, &t->of[i], e);
	}
	if (r == 0)
		r = cloud_meta_make(&t->of[CLOUD_META_DATA], c->hostname, vm, &meta, e);
	if (r < 0)
		return r;
	cloud_text_free(&t->of[CLOUD_META_DATA]);
	t->of[CLOUD_META_DATA] = meta;
	return 0;
}

void cloud_init_close(int fds[CLOUD_FILES])
{
	for (size_t i = 0; i < CLOUD_FILES; i++)
		fd_close(&fds[i]);
}

int cloud_init_open(const struct caller *who, const struct config *config,
		    const struct cloud_init *c, int fds[CLOUD_FILES], struct err *e)
{
	/* Only to see that a seed can be made. */
	static const struct cloud_who nobody = { "vm", "uuid" };
	struct texts t = { 0 };
	int r = 0;

	for (size_t i = 0; i < CLOUD_FILES; i++)
		fds[i] = -1;
	for (size_t i = 0; r == 0 && c->is_set && i < CLOUD_FILES; i++) {
		const struct file_wish wish = { .what = rows[i].what, .path = c->files[i] };

		if (c->files[i][0] != '\0')
			r = caller_open(who, config, &wish, &fds[i], e);
	}
	if (r == 0 && c->is_set)
		r = texts_read(c, fds, &nobody, &t, e);
	texts_free(&t);
	if (r < 0)
		cloud_init_close(fds);
	return r;
}

/* Of the seed's file, open for writing: nobody changes it any more. Opened anew, for reading alone. */
static int seed_seal(int fd, int *fd_out)
{
	char path[64];

	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	*fd_out = open(path, O_RDONLY | O_CLOEXEC);
	return *fd_out < 0 ? -errno : 0;
}

int cloud_init_seed(const struct cloud_init *c, const int fds[CLOUD_FILES],
		    const struct cloud_who *vm, int *fd_out, struct err *e)
{
	auto_fd int fd = memfd_create(CLOUD_DISK, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct texts t = { 0 };
	struct seed seed;
	int r;

	/* For root alone, whoever finds it in /proc. */
	if (fd < 0 || fchmod(fd, 0600) < 0)
		return err_set(e, errno, "the seed of cloud-init: %s", strerror(errno));
	r = texts_read(c, fds, vm, &t, e);
	if (r == 0) {
		seed = (struct seed){
			.user_data = { t.of[CLOUD_USER_DATA].data, t.of[CLOUD_USER_DATA].len },
			.meta_data = { t.of[CLOUD_META_DATA].data, t.of[CLOUD_META_DATA].len },
			.network_config = { t.of[CLOUD_NETWORK_CONFIG].data,
					    t.of[CLOUD_NETWORK_CONFIG].len },
		};
		r = seed_write(fd, &seed, e);
	}
	texts_free(&t);
	if (r < 0)
		return r;
	r = seed_seal(fd, fd_out);
	return r < 0 ? err_set(e, r, "the seed of cloud-init: %s", strerror(-r)) : 0;
}
