// SPDX-License-Identifier: BSD-3-Clause
#include "image/qemu_img.h"

#include "image/helper.h"
#include "image/image_facts.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM	       "/usr/bin/qemu-img"
#define NOBODY	       65534U
#define INFO_BYTES     GIB(1)
#define CONVERT_BYTES  GIB(2)
#define INFO_CPU_S     60U
#define CONVERT_CPU_S  600U
#define QUIET_S	       600U /* a disk that is that slow is none */
#define WALL_CPU       10U /* seconds on the clock for each of the CPU's */
#define BYTES_A_SECOND MIB(4) /* of a slow host and much compression */

/* Another build of it, also below /usr. */
static const char *program_path(void)
{
	const char *path = getenv("VIADUCT_QEMU_IMG");

	return path != NULL && path[0] == '/' ? path : PROGRAM;
}

/* In a namespace of somebody's, which a container is, there may be no nobody. */
static bool nobody_is_there(void)
{
	char map[256];
	unsigned int from, to, count;

	return file_read_at(AT_FDCWD, "/proc/self/uid_map", map, sizeof(map)) > 0 &&
	       sscanf(map, "%u %u %u", &from, &to, &count) == 3 && from <= NOBODY &&
	       count > NOBODY - from;
}

/* Root makes it nobody, if nobody may read the image, else whoever owns it; all others are themselves. */
static int identity_choose(const struct qemu_img *q, struct helper_wish *wish, struct err *e)
{
	struct stat st;

	wish->uid = geteuid();
	wish->gid = getegid();
	if (wish->uid != 0 || !nobody_is_there())
		return 0;
	if (fstat(q->in, &st) < 0)
		return err_set(e, errno, "fstat: %s", strerror(errno));
	wish->gid = NOBODY;
	wish->uid = (st.st_mode & S_IROTH) != 0 ? NOBODY : st.st_uid;
	return 0;
}

/* The file that it writes is his while he writes it. */
static int out_give(int out, uid_t uid, gid_t gid, struct err *e)
{
	if (out < 0 || geteuid() != 0 || fchown(out, uid, gid) == 0)
		return 0;
	return err_set(e, errno, "give the new file to uid %u: %s", uid, strerror(errno));
}

static int none_there(struct err *e)
{
	err_set(e, ENOENT, "%s is not there, which reads images", program_path());
	err_code(e, "no-qemu-img");
	return err_hint(e, "apt install qemu-utils");
}

static bool is_cancelled(void *arg)
{
	const struct qemu_img *q = arg;

	return q->watch.is_cancelled != NULL && q->watch.is_cancelled(q->watch.arg);
}

static int run(const struct qemu_img *q, struct helper_wish *wish, struct helper_end *end,
	       struct err *e)
{
	int r;

	wish->program = program_path();
	wish->in = q->in;
	wish->quiet_s = QUIET_S;
	wish->wall_s = QUIET_S + WALL_CPU * wish->cpu_s;
	wish->is_cancelled = is_cancelled;
	wish->arg = (void *)q;
	if (access(wish->program, X_OK) < 0)
		return none_there(e);
	r = identity_choose(q, wish, e);
	if (r == 0)
		r = out_give(wish->out, wish->uid, wish->gid, e);
	if (r < 0)
		return r;
	r = helper_run(wish, end, e);
	if (r == -ENOENT)
		none_there(e);
	if (out_give(wish->out, geteuid(), getegid(), r < 0 ? NULL : e) < 0 && r == 0) {
		helper_end_free(end);
		r = -EIO;
	}
	return r;
}

/* What it said last, without its own name and the path that only it knows. */
static const char *said(const struct helper_end *end)
{
	static const char *const drop[] = { "qemu-img: ", "Could not open '" HELPER_IN_PATH "': " };
	const char *words = end->words;

	for (size_t i = 0; i < ARRAY_SIZE(drop); i++)
		for (const char *at; (at = strstr(words, drop[i])) != NULL;)
			words = at + strlen(drop[i]);
	return words[0] != '\0' ? words : "no reason given";
}

static int failed(const struct helper_end *end, const char *code, struct err *e)
{
	if (strstr(end->words, strerror(ENOSPC)) != NULL) {
		err_set(e, ENOSPC, "there is no room left for the new image");
		err_code(e, "image-no-space");
		return err_hint(e, "df -h FOLDER; --to PATH   names a file elsewhere");
	}
	if (WIFSIGNALED(end->status))
		err_set(e, EIO,
			"qemu-img was ended by signal %d (%s), as it is when it takes too "
			"much time or memory",
			WTERMSIG(end->status), strsignal(WTERMSIG(end->status)));
	else
		err_set(e, EIO, "qemu-img: %.400s", said(end));
	return err_code(e, code);
}

#define OPTS_TEXT 128
#define FILE_OPTS ",file.driver=file,file.locking=off,file.filename="
#define RAW_OUT	  "driver=raw" FILE_OPTS HELPER_OUT_PATH

/* The image, as a format that is said. QEMU's own locks are off: what reads an image for viaduct has all of them. */
static const char *image_opts(enum image_format format, char buf[OPTS_TEXT])
{
	snprintf(buf, OPTS_TEXT, "driver=%s" FILE_OPTS HELPER_IN_PATH, image_format_word(format));
	return buf;
}

int qemu_img_info(const struct qemu_img *q, uint64_t *virtual_bytes, struct err *e)
{
	char opts[OPTS_TEXT];
	struct helper_wish wish = { .argv = { "qemu-img", "info", "--output=json", "--image-opts",
					      image_opts(q->format, opts) },
				    .out = -1,
				    .memory_bytes = INFO_BYTES,
				    .cpu_s = INFO_CPU_S };
	auto_json json_t *info = NULL;
	struct helper_end end;
	int r = run(q, &wish, &end, e);

	if (r < 0)
		return r;
	if (WIFEXITED(end.status) && WEXITSTATUS(end.status) == 0) {
		info = json_loadb(end.says, end.says_len, JSON_REJECT_DUPLICATES, NULL);
		r = image_facts_check(info, q->format, virtual_bytes, e);
	} else {
		r = failed(&end, "image-broken", e);
	}
	helper_end_free(&end);
	return r;
}

/* Exit statuses of `qemu-img check`: clusters that nobody uses are no harm; some formats know no check. */
#define CHECK_LEAKS 3
#define CHECK_NONE  63

int qemu_img_check(const struct qemu_img *q, struct err *e)
{
	char opts[OPTS_TEXT];
	struct helper_wish wish = { .argv = { "qemu-img", "check", "-q", "--image-opts",
					      image_opts(q->format, opts) },
				    .out = -1,
				    .memory_bytes = CONVERT_BYTES,
				    .cpu_s = CONVERT_CPU_S };
	struct helper_end end;
	int status, r;

	if (q->format == IMAGE_RAW)
		return 0;
	r = run(q, &wish, &end, e);
	if (r < 0)
		return r;
	status = WIFEXITED(end.status) ? WEXITSTATUS(end.status) : -1;
	if (status == 2) {
		err_set(e, EINVAL,
			"it is damaged, or cut short: its tables name what is not there");
		r = err_code(e, "image-broken");
	} else if (status != 0 && status != CHECK_LEAKS && status != CHECK_NONE) {
		r = failed(&end, "image-broken", e);
	}
	helper_end_free(&end);
	return r;
}

static void heard(void *arg, const char *text, size_t len)
{
	const struct qemu_img *q = arg;
	int percent = image_progress_parse(text, len);

	if (percent >= 0 && q->watch.progress != NULL)
		q->watch.progress(q->watch.arg, q->doing, (unsigned int)percent);
}

static struct helper_wish wish_long(int out, uint64_t bytes)
{
	return (struct helper_wish){ .out = out,
				     .memory_bytes = CONVERT_BYTES,
				     .file_bytes = bytes,
				     .cpu_s =
					     CONVERT_CPU_S + (unsigned int)(bytes / BYTES_A_SECOND),
				     .heard = heard };
}

int qemu_img_convert(const struct qemu_img *q, int out, uint64_t bytes, struct err *e)
{
	char opts[OPTS_TEXT];
	const char *const argv[] = { "qemu-img",
				     "convert",
				     "-p",
				     "-n",
				     "--target-is-zero",
				     "--image-opts",
				     "-O",
				     "raw",
				     image_opts(q->format, opts),
				     HELPER_OUT_PATH };
	struct helper_wish wish = wish_long(out, bytes);
	struct helper_end end;
	int r;

	memcpy(wish.argv, argv, sizeof(argv));
	r = run(q, &wish, &end, e);
	if (r < 0)
		return r;
	if (!WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0)
		r = failed(&end, "image-convert", e);
	helper_end_free(&end);
	return r;
}

int qemu_img_compare(const struct qemu_img *q, int out, uint64_t bytes, struct err *e)
{
	char opts[OPTS_TEXT];
	const char *const argv[] = {
		"qemu-img", "compare", "-p", "--image-opts", image_opts(q->format, opts), RAW_OUT
	};
	struct helper_wish wish = wish_long(out, bytes);
	struct helper_end end;
	int r;

	memcpy(wish.argv, argv, sizeof(argv));
	r = run(q, &wish, &end, e);
	if (r < 0)
		return r;
	if (WIFEXITED(end.status) && WEXITSTATUS(end.status) == 1) {
		err_set(e, EIO, "the new image does not hold what the given one does");
		r = err_code(e, "image-differs");
	} else if (!WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0) {
		r = failed(&end, "image-convert", e);
	}
	helper_end_free(&end);
	return r;
}
