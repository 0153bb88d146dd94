// SPDX-License-Identifier: BSD-3-Clause
#include "image/seed.h"

#include "image/fat.h"

#include "base/fd.h"

#include <errno.h>
#include <unistd.h>

static const char no_user_data[] = "#cloud-config\n{}\n";

int seed_write(int fd, const struct seed *seed, struct err *e)
{
	struct fat_file files[3] = {
		{ "user-data", no_user_data, sizeof(no_user_data) - 1 },
		{ "meta-data", seed->meta_data.data, seed->meta_data.len },
		{ "network-config", seed->network_config.data, seed->network_config.len },
	};
	struct fat_volume volume = { SEED_LABEL, files,
				     seed->network_config.data != NULL ? 3U : 2U };
	auto_free uint8_t *image = calloc(1, FAT_BYTES);
	size_t used;
	int r;

	if (image == NULL)
		return err_set(e, ENOMEM, "no memory");
	if (seed->user_data.data != NULL) {
		files[0].data = seed->user_data.data;
		files[0].len = seed->user_data.len;
	}
	r = fat_make(&volume, image, &used, e);
	if (r < 0)
		return r;
	/* What is 0 stays a hole. */
	r = ftruncate(fd, FAT_BYTES) < 0 ? -errno : fd_write_all(fd, image, used);
	explicit_bzero(image, FAT_BYTES);
	return r < 0 ? err_set(e, r, "write the seed: %s", strerror(-r)) : 0;
}
