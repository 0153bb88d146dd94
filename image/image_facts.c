// SPDX-License-Identifier: BSD-3-Clause
#include "image/image_facts.h"

#include "base/json.h"

#include <errno.h>

#define FORMAT_TEXT 32

static int names_files(struct err *e, const char *how)
{
	err_set(e, EINVAL, "it names %s: what is in it is not all in this file", how);
	err_code(e, "image-names-files");
	return err_hint(
		e, "where it comes from, make one file of it: qemu-img convert -O qcow2 FILE NEW");
}

/* Of one file each; what splits a disk, or names its bytes elsewhere, has another word. */
static bool vmdk_is_whole(const json_t *data)
{
	static const char *const whole[] = { "monolithicSparse", "streamOptimized" };
	const char *type = json_string_value(json_object_get(data, "create-type"));

	for (size_t i = 0; type != NULL && i < ARRAY_SIZE(whole); i++)
		if (strcmp(type, whole[i]) == 0)
			return json_array_size(json_object_get(data, "extents")) <= 1;
	return false;
}

static int specific_check(const json_t *data, enum image_format format, struct err *e)
{
	if (json_object_get(data, "data-file") != NULL)
		return names_files(e, "an external data file");
	if (format == IMAGE_VMDK && !vmdk_is_whole(data))
		return names_files(e, "the files of its extents");
	if (!json_is_true(json_object_get(data, "corrupt")))
		return 0;
	err_set(e, EINVAL, "it is marked as corrupt");
	err_code(e, "image-broken");
	return err_hint(e, "where it comes from: qemu-img check -r all FILE");
}

int image_facts_check(const json_t *info, enum image_format format, uint64_t *virtual_bytes,
		      struct err *e)
{
	const json_t *data = json_object_get(json_object_get(info, "format-specific"), "data");
	char word[FORMAT_TEXT];
	uint64_t bytes;
	int r = json_get_str(info, "format", word, sizeof(word), e);

	if (r == 0)
		r = json_get_u64(info, "virtual-size", INT64_MAX, &bytes, e);
	if (r < 0 || strcmp(word, image_format_word(format)) != 0)
		return err_set(e, EBADMSG, "qemu-img tells of no %s image",
			       image_format_word(format));
	if (json_object_get(info, "backing-filename") != NULL ||
	    json_object_get(info, "full-backing-filename") != NULL)
		return names_files(e, "a backing file");
	if (json_array_size(json_object_get(info, "children")) > 1)
		return names_files(e, "further files");
	if (json_is_true(json_object_get(info, "encrypted"))) {
		err_set(e, EINVAL, "it is encrypted");
		return err_code(e, "image-encrypted");
	}
	if (bytes > IMAGE_MAX_BYTES) {
		err_set(e, EFBIG, "it says that it has %llu GiB: no image is that large",
			(unsigned long long)bytes >> 30);
		return err_code(e, "image-too-large");
	}
	r = specific_check(data, format, e);
	if (r == 0)
		*virtual_bytes = bytes;
	return r;
}

int image_progress_parse(const char *text, size_t len)
{
	static const char end[] = "/100%)";
	int percent = -1;

	for (size_t i = 0; i < len; i++) {
		unsigned int n = 0, digits = 0;
		size_t at = i + 1;

		if (text[i] != '(')
			continue;
		while (at < len && digits < 3 && text[at] >= '0' && text[at] <= '9') {
			n = n * 10 + (unsigned int)(text[at++] - '0');
			digits++;
		}
		while (digits > 0 && at < len &&
		       (text[at] == '.' || (text[at] >= '0' && text[at] <= '9')))
			at++;
		if (digits > 0 && n <= 100 && len - at >= sizeof(end) - 1 &&
		    memcmp(text + at, end, sizeof(end) - 1) == 0)
			percent = (int)n;
	}
	return percent;
}
