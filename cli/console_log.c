// SPDX-License-Identifier: BSD-3-Clause
#include "cli/console_log.h"

#include "cli/cli.h"
#include "cli/text.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_TEXT     (SETTINGS_PATH + 128)
#define FILE_MAX      (16U << 20)
#define READ_TRIES    5
#define ASK_TIMEOUT_S 10

struct log_paths {
	char file[PATH_TEXT], old[PATH_TEXT];
};

/* By the daemon's word or, when none answers, by the fixed names below the run folder. */
static int paths_find(struct cli *cli, const char *name, struct log_paths *p, struct err *e)
{
	const struct request rq = {
		.method = "GET", .collection = "/v1/vms", .item = name, .timeout_s = ASK_TIMEOUT_S
	};
	auto_json json_t *reply = NULL;
	int r;

	if (parse_name(name) < 0)
		return cli_usage(e, "'%.64s' is no name of a VM", name);
	r = cli_call(cli, &rq, &reply, e);
	if (r == 0) {
		r = json_get_str(reply, "console_log", p->file, sizeof(p->file), e);
		if (r == 0)
			r = json_get_str(reply, "console_log_old", p->old, sizeof(p->old), e);
		return r < 0 ? err_wrap(e, "viaductd's reply") : 0;
	}
	if (cli->client != NULL && client_http_status(cli->client) != 0)
		return r;
	snprintf(p->file, sizeof(p->file), "%s/vm/%s/console.log", cli->settings.run_dir, name);
	snprintf(p->old, sizeof(p->old), "%s/vm/%s/console.log.1", cli->settings.run_dir, name);
	return access(p->file, F_OK) == 0 ? 0 : r;
}

/* All of a file, or as much as FILE_MAX; one that is not there is empty. */
static int file_take(const char *path, char **text, size_t *len, struct err *e)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	ssize_t n = 0;

	*text = NULL;
	*len = 0;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0) {
		err_set(e, errno, "open %s: %s", path, strerror(errno));
		return errno == EACCES ? err_hint(e, "use sudo") : -e->errnum;
	}
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "%s is no file", path);
	*text = malloc(u64_min((uint64_t)st.st_size, FILE_MAX) + 1);
	if (*text == NULL)
		return err_set(e, ENOMEM, "out of memory");
	while (*len < (size_t)st.st_size && *len < FILE_MAX &&
	       (n = pread(fd, *text + *len, u64_min((uint64_t)st.st_size, FILE_MAX) - *len,
			  (off_t)*len)) > 0)
		*len += (size_t)n;
	return n < 0 ? err_set(e, errno, "read %s: %s", path, strerror(errno)) : 0;
}

/* The newer file first: should it move to the older's place in between, it is smaller afterwards. */
static int log_read(const struct log_paths *p, char *text[2], size_t len[2], struct err *e)
{
	int r = 0;

	for (int i = 0; i < READ_TRIES; i++) {
		struct stat st = { 0 };

		free(text[0]);
		free(text[1]);
		text[0] = NULL;
		r = file_take(p->file, &text[1], &len[1], e);
		if (r == 0)
			r = file_take(p->old, &text[0], &len[0], e);
		if (r < 0 || stat(p->file, &st) < 0 || (size_t)st.st_size >= len[1])
			break;
	}
	return r;
}

/* How many bytes at text are no part of a line's text: a control character or an escape sequence. */
static size_t control_len(const char *text, size_t len)
{
	size_t i = 2;

	if (text[0] != '\033')
		return ((unsigned char)text[0] < ' ' && text[0] != '\t') || text[0] == 0x7F;
	if (len < 2)
		return len;
	if (text[1] == '[') { /* ECMA-48, 5.4: parameters, intermediates, one final byte */
		while (i < len && (unsigned char)text[i] >= 0x20 && (unsigned char)text[i] < 0x40)
			i++;
		return i < len ? i + 1 : len;
	}
	if (text[1] == ']') { /* up to BEL or ESC \ */
		while (i < len && text[i] != '\007' && text[i] != '\033' && text[i] != '\n')
			i++;
		return i < len && text[i] == '\007' ? i + 1 : i;
	}
	return 2;
}

/* text is changed, but only for the while. */
static void piece_print(FILE *out, char *text)
{
	size_t len = strlen(text);
	char clean[1024];

	for (size_t at = 0; at < len;) {
		size_t part = u64_min(len - at, sizeof(clean) - 1);
		char after;

		/* Not within a character of UTF-8. */
		while (part > 1 && at + part < len &&
		       ((unsigned char)text[at + part] & 0xC0) == 0x80)
			part--;
		after = text[at + part];
		text[at + part] = '\0';
		text_clean(clean, sizeof(clean), text + at);
		text[at + part] = after;
		fputs(clean, out);
		at += part;
	}
}

static void line_print(FILE *out, char *line, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len;) {
		size_t skip = control_len(line + i, len - i);

		if (skip == 0)
			line[n++] = line[i++];
		else
			i += skip;
	}
	line[n] = '\0';
	/* A tab would be no more than an unsafe character to text_clean(). */
	for (char *piece = line, *tab; piece != NULL; piece = tab) {
		tab = strchr(piece, '\t');
		if (tab != NULL)
			*tab++ = '\0';
		piece_print(out, piece);
		if (tab != NULL)
			fputc('\t', out);
	}
	fputc('\n', out);
}

void console_log_print(FILE *out, const char *text, size_t len)
{
	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t line_len = end != NULL ? (size_t)(end - text) : len;
		char *line = malloc(line_len + 1);

		if (line == NULL)
			return;
		memcpy(line, text, line_len);
		line_print(out, line, line_len);
		free(line);
		line_len += end != NULL;
		text += line_len;
		len -= line_len;
	}
}

static void log_print(struct cli *cli, const char *name, char *const text[2], const size_t len[2])
{
	char *all = malloc(len[0] + len[1] + 1);

	if (len[0] + len[1] == 0)
		fprintf(cli->err, "viaduct: VM %s has written nothing to its console\n", name);
	for (size_t i = 0, at = 0; all != NULL && i < 2; at += len[i++])
		if (len[i] != 0)
			memcpy(all + at, text[i], len[i]);
	/* In one go: a line may begin in one file and end in the other. */
	if (all != NULL)
		console_log_print(cli->out, all, len[0] + len[1]);
	free(all);
}

int console_log_show(struct cli *cli, const char *name, struct err *e)
{
	char *text[2] = { NULL, NULL };
	size_t len[2] = { 0, 0 };
	struct log_paths paths;
	int r = paths_find(cli, name, &paths, e);

	/* A program reads the files for itself. */
	if (r == 0 && cli->settings.json) {
		auto_json json_t *reply = json_pack("{s:s, s:s}", "console_log", paths.file,
						    "console_log_old", paths.old);

		return cli_show(cli, reply, render_vm, e);
	}
	if (r == 0)
		r = log_read(&paths, text, len, e);
	if (r == 0)
		log_print(cli, name, text, len);
	free(text[0]);
	free(text[1]);
	return r < 0 ? err_wrap(e, "console log of VM %s", name) : 0;
}
