// SPDX-License-Identifier: BSD-3-Clause
#include "cli/yaml_file.h"

#include "cli/cli.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_MAX (48U << 10) /* escaped in JSON it still fits API_MAX_BODY, as a rule */

int yaml_file_error(struct err *e, const char *path, int cause)
{
	err_set(e, cause, "%.200s: %s", path, strerror(cause));
	return err_code(e, CLI_CODE_USAGE);
}

int yaml_file_read(const char *path, char **out, struct err *e)
{
	auto_fd int fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
						: open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	auto_free char *text = malloc(FILE_MAX + 1);
	size_t len = 0;
	ssize_t n = 1;

	if (text == NULL)
		return err_set(e, ENOMEM, "out of memory");
	if (fd < 0)
		return yaml_file_error(e, path, errno);
	while (n > 0 && len <= FILE_MAX) {
		n = read(fd, text + len, FILE_MAX + 1 - len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			return yaml_file_error(e, path, errno);
		else
			len += (size_t)n;
	}
	if (len > FILE_MAX)
		return cli_usage(e, "%.200s is longer than %u KiB, so no file of viaduct", path,
				 FILE_MAX >> 10);
	if (len == 0)
		return cli_usage(e, "%.200s is empty", path);
	if (memchr(text, '\0', len) != NULL)
		return cli_usage(e, "%.200s is no text file", path);
	text[len] = '\0';
	*out = ptr_take(&text);
	return 0;
}
