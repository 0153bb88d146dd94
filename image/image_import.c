// SPDX-License-Identifier: BSD-3-Clause
#include "image/image_import.h"

#include "image/image_facts.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct import {
	const struct image_wish *wish;
	struct image_file out;
	uint64_t virtual_bytes;
};

/* The format, of the operator's word or the bytes', and that it may be read. */
static int format_choose(const struct image_wish *wish, int fd, struct image_made *made,
			 struct err *e)
{
	struct image_ends ends;
	int r = image_ends_read(fd, &ends, e);

	made->format = wish->format;
	made->from_bytes = ends.file_bytes;
	if (r == 0 && !wish->has_format)
		r = image_format_probe(&ends, &made->format, e);
	if (r == 0)
		r = image_format_check(&ends, made->format, e);
	return r == 0 ? image_hold(wish->from, fd, e) : r;
}

static int size_choose(struct import *im, uint64_t *bytes, struct err *e)
{
	uint64_t wanted = im->wish->bytes;

	if (im->virtual_bytes == 0) {
		err_set(e, EINVAL, "the image holds nothing");
		return err_code(e, "image-broken");
	}
	if (wanted != 0 && wanted < im->virtual_bytes) {
		err_set(e, EINVAL, "a disk of %llu bytes does not fit into %llu",
			(unsigned long long)im->virtual_bytes, (unsigned long long)wanted);
		err_code(e, "image-too-large");
		return err_hint(e, "--size can make it larger alone");
	}
	*bytes = align_up(u64_max(wanted, im->virtual_bytes), IMAGE_SECTOR);
	if (*bytes <= im->out.free_bytes)
		return 0;
	err_set(e, ENOSPC, "the disk has %llu MiB, and %.300s has %llu MiB free",
		(unsigned long long)*bytes >> 20, im->out.folder,
		(unsigned long long)im->out.free_bytes >> 20);
	err_code(e, "image-too-large");
	return err_hint(e, "--to PATH   names a file elsewhere");
}

static int length_set(const struct image_file *f, uint64_t bytes, bool preallocate, struct err *e)
{
	int r = ftruncate(f->fd, (off_t)bytes) < 0 ? -errno : 0;

	if (r == 0 && preallocate)
		r = -posix_fallocate(f->fd, 0, (off_t)bytes);
	if (r == 0)
		return 0;
	err_set(e, r, "%.300s: %llu bytes: %s", f->path, (unsigned long long)bytes, strerror(-r));
	if (r != -ENOSPC && r != -EDQUOT)
		return r;
	err_code(e, "image-no-space");
	return err_hint(e, "df -h %.200s", f->folder);
}

static int made_check(const struct image_file *f, uint64_t bytes, struct image_made *made,
		      struct err *e)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return err_set(e, errno, "%.300s: %s", f->path, strerror(errno));
	made->bytes = (uint64_t)st.st_size;
	made->allocated = (uint64_t)st.st_blocks * IMAGE_SECTOR;
	if (made->bytes == bytes)
		return 0;
	err_set(e, EIO, "the new image has %llu bytes, not %llu", (unsigned long long)made->bytes,
		(unsigned long long)bytes);
	return err_code(e, "image-convert");
}

static int convert(struct import *im, int fd, struct image_made *made, struct err *e)
{
	struct qemu_img q = { .in = fd, .format = made->format, .watch = im->wish->watch };
	uint64_t bytes = 0, whole;
	int r = qemu_img_info(&q, &im->virtual_bytes, e);

	if (r == 0)
		r = size_choose(im, &bytes, e);
	if (r == 0)
		r = qemu_img_check(&q, e);
	if (r < 0)
		return r;
	/* What is raw may end within a sector: qemu-img counts all of it. */
	whole = align_up(im->virtual_bytes, IMAGE_SECTOR);
	q.doing = "converting";
	r = length_set(&im->out, whole, false, e);
	if (r == 0)
		r = qemu_img_convert(&q, im->out.fd, whole, e);
	if (r == 0)
		r = made_check(&im->out, whole, made, e);
	q.doing = "comparing";
	if (r == 0 && im->wish->verify)
		r = qemu_img_compare(&q, im->out.fd, whole, e);
	if (r == 0 && (bytes != whole || im->wish->preallocate))
		r = length_set(&im->out, bytes, im->wish->preallocate, e);
	return r == 0 ? made_check(&im->out, bytes, made, e) : r;
}

int image_import(const struct image_wish *wish, struct image_made *out, struct err *e)
{
	struct import im = { .wish = wish };
	struct image_made made = { 0 };
	auto_fd int fd = -1;
	int r = image_open(wish->from, &fd, e);

	if (r < 0)
		return r;
	r = format_choose(wish, fd, &made, e);
	if (r < 0)
		return err_wrap(e, "%.300s", wish->from);
	r = image_file_begin(&im.out, wish->to, e);
	if (r == 0) {
		r = convert(&im, fd, &made, e);
		if (r < 0 && r != -ECANCELED)
			err_wrap(e, "%.300s", wish->from);
	}
	if (r == 0)
		r = image_file_publish(&im.out, e);
	image_file_end(&im.out);
	if (r == 0)
		*out = made;
	return r;
}

int image_create(const struct image_wish *wish, struct image_made *out, struct err *e)
{
	struct image_file f;
	int r = image_file_begin(&f, wish->to, e);

	if (r == 0)
		r = length_set(&f, wish->bytes, wish->preallocate, e);
	if (r == 0)
		r = made_check(&f, wish->bytes, out, e);
	if (r == 0)
		r = image_file_publish(&f, e);
	image_file_end(&f);
	return r;
}

int image_look(const char *path, struct image_look *out, struct err *e)
{
	struct image_ends ends;
	struct qemu_img q = { 0 };
	auto_fd int fd = -1;
	struct stat st;
	int r = image_open(path, &fd, e);

	memset(out, 0, sizeof(*out));
	if (r == 0)
		r = image_ends_read(fd, &ends, e);
	if (r == 0 && fstat(fd, &st) < 0)
		r = err_set(e, errno, "fstat: %s", strerror(errno));
	if (r == 0)
		r = image_use(fd, &out->use, e);
	if (r < 0)
		return r;
	out->file_bytes = ends.file_bytes;
	out->allocated = (uint64_t)st.st_blocks * IMAGE_SECTOR;
	r = image_format_probe(&ends, &out->format, &out->unfit);
	if (r == 0)
		r = image_format_check(&ends, out->format, &out->unfit);
	out->virtual_bytes = image_virtual_bytes(&ends, out->format);
	q.in = fd;
	q.format = out->format;
	/* While it is written to, what its tables say is not to be trusted, and need not be: it is raw. */
	if (r == 0 && out->format != IMAGE_RAW &&
	    (out->use == IMAGE_FREE || out->use == IMAGE_READ))
		(void)qemu_img_info(&q, &out->virtual_bytes, &out->unfit);
	return 0;
}
