// SPDX-License-Identifier: BSD-3-Clause
#include "base/program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int program_self(char out[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);

	if (n < 0)
		return -errno;
	out[n] = '\0';
	return (int)(strrchr(out, '/') + 1 - out);
}

int program_find(const char *const *places, char out[PATH_MAX])
{
	char self[PATH_MAX], path[PATH_MAX];
	int folder = program_self(self);

	for (; folder > 0 && *places != NULL; places++) {
		int len = snprintf(path, sizeof(path), "%.*s%s", **places == '/' ? 0 : folder, self,
				   *places);

		if (len >= PATH_MAX || access(path, X_OK) < 0)
			continue;
		memcpy(out, path, (size_t)len + 1);
		return 0;
	}
	return -ENOENT;
}
