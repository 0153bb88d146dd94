// SPDX-License-Identifier: BSD-3-Clause
/*
 * image import, create and info. No daemon is asked: files are opened here, with the rights of whoever types, so that
 * nobody can have a daemon open one for him. Only who has an image open is the daemon's to say.
 */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/text.h"
#include "cli/view.h"

#include "base/json.h"
#include "base/parse.h"
#include "image/image_facts.h"
#include "image/image_import.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX	      ".raw"
#define ASK_TIMEOUT_S 10
#define NS_PER_MS     1000000ULL

/* What is shown while it takes: where and of what. */
struct progress {
	FILE *out; /* NULL: nobody looks */
	struct follow follow;
	bool is_shown;
};

static void progress_show(void *arg, const char *doing, unsigned int percent)
{
	struct progress *p = arg;

	if (p->out == NULL)
		return;
	fprintf(p->out, "\r%s ... %u %%\033[K", doing, percent);
	fflush(p->out);
	p->is_shown = true;
}

/* Ctrl-C, or an end that somebody else asks for: seen, not taken away. */
static bool progress_is_cancelled(void *arg)
{
	const struct progress *p = arg;
	struct pollfd pfd = { .fd = p->follow.signal_fd, .events = POLLIN };

	return poll(&pfd, 1, 0) > 0;
}

static void progress_end(struct progress *p)
{
	if (p->is_shown)
		fputs("\r\033[K", p->out);
	follow_end(&p->follow);
}

static int size_take(const char *text, uint64_t *out, struct err *e)
{
	if (parse_size(text, out) == 0 && *out > 0 && is_aligned(*out, IMAGE_SECTOR) &&
	    *out <= IMAGE_MAX_BYTES)
		return 0;
	cli_usage(e, "'%.64s' is no size of a disk", text);
	return err_hint(e, "such as 20G or 512M; a whole multiple of %d bytes, %lluT at most",
			IMAGE_SECTOR, IMAGE_MAX_BYTES >> 40);
}

/* Beside the image: its name with another ending. */
static int to_default(const char *from, char to[PATH_MAX], struct err *e)
{
	const char *slash = strrchr(from, '/'), *dot = strrchr(from, '.');
	size_t len = strlen(from);

	if (dot != NULL && dot != from && (slash == NULL || dot > slash + 1))
		len = (size_t)(dot - from);
	if (len >= PATH_MAX - sizeof(SUFFIX))
		return cli_usage(e, "%.64s...: the path is too long", from);
	memcpy(to, from, len);
	memcpy(to + len, SUFFIX, sizeof(SUFFIX));
	return 0;
}

static int wish_take(const struct args *a, struct image_wish *wish, char to[PATH_MAX],
		     struct err *e)
{
	const char *format = a->value[OPT_FORMAT];
	int r = 0;

	wish->from = a->words[0];
	wish->to = a->value[OPT_TO];
	wish->verify = a->value[OPT_VERIFY] != NULL;
	wish->preallocate = a->value[OPT_PREALLOCATE] != NULL;
	wish->has_format = format != NULL && strcmp(format, "auto") != 0;
	if (wish->has_format && image_format_parse(format, &wish->format) < 0) {
		cli_usage(e, "'%.64s' is no format of images", format);
		return err_hint(e, "--format qcow2, vmdk, vhdx, vdi, vpc, raw or auto");
	}
	if (a->value[OPT_SIZE] != NULL)
		r = size_take(a->value[OPT_SIZE], &wish->bytes, e);
	if (r == 0 && wish->to == NULL) {
		r = to_default(wish->from, to, e);
		wish->to = to;
	}
	return r;
}

static json_t *made_json(const struct image_wish *wish, const struct image_made *made)
{
	return json_pack("{s:s, s:s, s:I, s:I}", "path", wish->to, "format",
			 image_format_word(IMAGE_RAW), "size", (json_int_t)made->bytes, "allocated",
			 (json_int_t)made->allocated);
}

static int render_image_made(FILE *out, const json_t *reply, struct err *e)
{
	const json_t *image = json_object_get(reply, "image"),
		     *from = json_object_get(image, "from");
	char path[TEXT_CELL], size[TEXT_CELL], allocated[TEXT_CELL], format[TEXT_CELL];

	text_value(text_member(image, "path"), path, sizeof(path));
	text_bytes(text_member(image, "size"), size, sizeof(size));
	text_bytes(text_member(image, "allocated"), allocated, sizeof(allocated));
	fprintf(out, "%s: a raw disk of %s, of which %s are taken\n", path, size, allocated);
	if (from == NULL)
		return 0;
	text_value(text_member(from, "path"), path, sizeof(path));
	text_value(text_member(from, "format"), format, sizeof(format));
	fprintf(out, "made of %s, which is %s%s\n", path, format,
		json_is_true(json_object_get(image, "verified")) ? "; compared, and the same" : "");
	return 0;
}

/* A path that is no UTF-8 cannot be told as JSON; the work is done by then. */
static int made_show(struct cli *cli, json_t *image, struct err *e)
{
	auto_json json_t *reply = image != NULL ? json_pack("{s:o}", "image", image) : NULL;

	if (reply == NULL)
		return err_set(e, EILSEQ, "the image is there; its name is no UTF-8 text");
	return cli_show(cli, reply, render_image_made, e);
}

int image_import_run(struct cli *cli, const struct args *a, struct err *e)
{
	struct progress progress = { .out = isatty(STDERR_FILENO) ? cli->err : NULL };
	struct image_wish wish = { .watch = { progress_show, progress_is_cancelled, &progress } };
	struct image_made made;
	uint64_t begun_ns = now_ns();
	char to[PATH_MAX];
	json_t *image;
	int r = wish_take(a, &wish, to, e);

	if (r == 0)
		r = follow_begin(&progress.follow, e);
	if (r < 0)
		return r;
	r = image_import(&wish, &made, e);
	progress_end(&progress);
	if (r < 0)
		return r;
	image = made_json(&wish, &made);
	json_object_set_new(image, "verified", json_boolean(wish.verify));
	json_object_set_new(image, "took_ms",
			    json_integer((json_int_t)((now_ns() - begun_ns) / NS_PER_MS)));
	json_object_set_new(image, "from",
			    json_pack("{s:s, s:s, s:I}", "path", wish.from, "format",
				      image_format_word(made.format), "size",
				      (json_int_t)made.from_bytes));
	return made_show(cli, image, e);
}

int image_create_run(struct cli *cli, const struct args *a, struct err *e)
{
	struct image_wish wish = { .from = "",
				   .to = a->words[0],
				   .preallocate = a->value[OPT_PREALLOCATE] != NULL };
	struct image_made made;
	int r = size_take(a->words[1], &wish.bytes, e);

	if (r == 0)
		r = image_create(&wish, &made, e);
	return r < 0 ? r : made_show(cli, made_json(&wish, &made), e);
}

static void text_use(const json_t *v, char *buf, size_t cap)
{
	const char *use = json_string_value(v);

	text_value(v, buf, cap);
	if (use != NULL && strcmp(use, "ending") == 0)
		snprintf(buf, cap, "ending: its VM has gone, its last write is still under way");
}

static const struct field info_fields[] = {
	{ "image", "path", text_value },	{ "format", "format", text_value },
	{ "size", "virtual_size", text_bytes }, { "taken on the disk", "allocated", text_bytes },
	{ "file", "size", text_bytes },		{ "in use", "use", text_use },
	{ "by", "disks", text_value },		{ "not taken by import", "unfit", text_value },
};

static int render_image_info(FILE *out, const json_t *reply, struct err *e)
{
	const json_t *image = json_object_get(reply, "image");

	struct field there[ARRAY_SIZE(info_fields)];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(info_fields); i++)
		if (json_object_get(image, info_fields[i].path) != NULL)
			there[count++] = info_fields[i];
	view_block(out, there, count, image);
	return 0;
}

/* Which disks of VMs it is, by the daemon's word, where there is one: names may have changed, so the files are compared. */
static void holders_add(struct cli *cli, const char *path, json_t *image)
{
	const struct request rq = { .method = "GET",
				    .collection = "/v1/disks",
				    .timeout_s = ASK_TIMEOUT_S };
	auto_json json_t *reply = NULL;
	json_t *disks = json_array(), *disk;
	struct stat mine, theirs;
	size_t i;

	if (stat(path, &mine) < 0 || cli_call(cli, &rq, &reply, NULL) < 0)
		reply = NULL;
	json_array_foreach(json_object_get(reply, "disks"), i, disk) {
		const char *at = json_string_value(json_object_get(disk, "path"));
		const char *vm = json_string_value(json_object_get(disk, "vm"));
		const char *name = json_string_value(json_object_get(disk, "name"));

		if (at != NULL && vm != NULL && name != NULL && stat(at, &theirs) == 0 &&
		    theirs.st_dev == mine.st_dev && theirs.st_ino == mine.st_ino)
			json_add_text(disks, "%.64s/%.64s", vm, name);
	}
	if (json_array_size(disks) > 0)
		json_object_set(image, "disks", disks);
	json_decref(disks);
}

/* null where it is not known. */
static json_t *bytes_json(uint64_t bytes)
{
	return bytes > 0 && bytes <= INT64_MAX ? json_integer((json_int_t)bytes) : json_null();
}

int image_info_run(struct cli *cli, const struct args *a, struct err *e)
{
	static const char *const uses[] = { "no", "read", "written", "ending" };
	auto_json json_t *reply = NULL;
	struct image_look look;
	json_t *image;
	int r = image_look(a->words[0], &look, e);

	if (r < 0)
		return r;
	image = json_pack("{s:s, s:s, s:o, s:I, s:I, s:s}", "path", a->words[0], "format",
			  image_format_word(look.format), "virtual_size",
			  bytes_json(look.virtual_bytes), "size", (json_int_t)look.file_bytes,
			  "allocated", (json_int_t)look.allocated, "use", uses[look.use]);
	if (image == NULL)
		return err_set(e, EILSEQ, "its name is no UTF-8 text");
	if (look.unfit.errnum != 0)
		json_object_set_new(image, "unfit", json_string(look.unfit.text));
	if (look.use != IMAGE_FREE)
		holders_add(cli, a->words[0], image);
	reply = json_pack("{s:o}", "image", image);
	return cli_show(cli, reply, render_image_info, e);
}
