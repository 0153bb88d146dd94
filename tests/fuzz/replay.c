// SPDX-License-Identifier: BSD-3-Clause
// What libFuzzer's main() does with files as its arguments, for builds without it: each is run through the target once.

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MOST (1 << 20) // bytes: as libFuzzer reads of a file by default

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The input ends where its block does, an empty one too, so that the sanitizer sees the first byte read behind it.
static int replay(const char *path)
{
	static uint8_t room[INPUT_MOST];
	FILE *file = fopen(path, "rbe");
	if (!file) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	size_t size = fread(room, 1, sizeof(room), file);
	int failed = ferror(file);
	(void)fclose(file);
	const size_t empty = size == 0; // a block has one byte at least
	uint8_t *data = failed ? NULL : malloc(size + empty);
	if (!data) {
		fprintf(stderr, "%s: it cannot be read\n", path);
		return -1;
	}
	memcpy(data, room, size);
	fprintf(stderr, "Running: %s\n", path);
	(void)LLVMFuzzerTestOneInput(data + empty, size);
	free(data);
	fprintf(stderr, "Executed %s in one go\n", path);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (replay(argv[i]))
			return 1;
	}
	return 0;
}
