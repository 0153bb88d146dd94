// SPDX-License-Identifier: BSD-3-Clause
#include "image/image_format.h"

#include "base/fd.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const words[IMAGE_FORMATS] = { "raw", "qcow2", "vmdk", "vhdx", "vdi", "vpc" };

const char *image_format_word(enum image_format format)
{
	return words[format];
}

int image_format_parse(const char *word, enum image_format *out)
{
	for (unsigned int i = 0; i < IMAGE_FORMATS; i++)
		if (strcmp(words[i], word) == 0) {
			*out = i;
			return 0;
		}
	return -EINVAL;
}

int image_ends_read(int fd, struct image_ends *out, struct err *e)
{
	struct stat st;
	int r;

	memset(out, 0, sizeof(*out));
	if (fstat(fd, &st) < 0)
		return err_set(e, errno, "fstat: %s", strerror(errno));
	out->file_bytes = (uint64_t)st.st_size;
	out->head_bytes = (size_t)u64_min(out->file_bytes, IMAGE_HEAD);
	out->tail_bytes = (size_t)u64_min(out->file_bytes, IMAGE_TAIL);
	r = fd_pread_all(fd, out->head, out->head_bytes, 0);
	if (r == 0)
		r = fd_pread_all(fd, out->tail, out->tail_bytes, out->file_bytes - out->tail_bytes);
	return r < 0 ? err_set(e, r, "read: %s", strerror(-r)) : 0;
}

/* Texts that a format begins with; `at` counts from the start, or in the last sector. */
struct magic {
	size_t at, len;
	const char *text;
	bool is_tail;
	enum image_format format; /* IMAGE_FORMATS: not taken */
	const char *what, *hint; /* of one that is not taken */
};

#define DESCRIPTOR "# Disk DescriptorFile"
#define AS_RAW	   "--format raw   takes its bytes as they are"

static const struct magic magics[] = {
	{ 0, 4, "QFI\xfb", false, IMAGE_QCOW2 },
	{ 0, 4, "KDMV", false, IMAGE_VMDK },
	{ 0, 21, DESCRIPTOR, false, IMAGE_VMDK },
	{ 0, 8, "vhdxfile", false, IMAGE_VHDX },
	{ 64, 4, "\x7f\x10\xda\xbe", false, IMAGE_VDI },
	{ 0, 8, "conectix", false, IMAGE_VPC },
	{ 0, 8, "conectix", true, IMAGE_VPC },
	{ 0, 4, "COWD", false, IMAGE_FORMATS, "an old VMDK of ESX", AS_RAW },
	{ 0, 4, "QED\0", false, IMAGE_FORMATS, "a QED image", AS_RAW },
	{ 0, 16, "WithoutFreeSpace", false, IMAGE_FORMATS, "an image of Parallels", AS_RAW },
	{ 0, 16, "WithouFreSpacExt", false, IMAGE_FORMATS, "an image of Parallels", AS_RAW },
	{ 0, 21, "Bochs Virtual HD Image", false, IMAGE_FORMATS, "an image of Bochs", AS_RAW },
	{ 0, 6, "LUKS\xba\xbe", false, IMAGE_FORMATS, "an encrypted disk (LUKS)", AS_RAW },
	{ 0, 2, "\x1f\x8b", false, IMAGE_FORMATS, "compressed by gzip", "gunzip FILE" },
	{ 0, 6,
	  "\xfd"
	  "7zXZ\0",
	  false, IMAGE_FORMATS, "compressed by xz", "unxz FILE" },
	{ 0, 4, "\x28\xb5\x2f\xfd", false, IMAGE_FORMATS, "compressed by zstd", "unzstd FILE" },
	{ 0, 3, "BZh", false, IMAGE_FORMATS, "compressed by bzip2", "bunzip2 FILE" },
	{ 0, 4, "PK\3\4", false, IMAGE_FORMATS, "a zip archive", "unzip FILE" },
	{ 257, 5, "ustar", false, IMAGE_FORMATS, "a tar archive, such as an OVA",
	  "tar xf FILE   then import the disk that was in it" },
};

static bool magic_fits(const struct image_ends *ends, const struct magic *m)
{
	const uint8_t *bytes = m->is_tail ? ends->tail : ends->head;
	size_t has = m->is_tail ? ends->tail_bytes : ends->head_bytes;

	/* A footer is a whole sector at the file's end. */
	if (m->is_tail && has < IMAGE_TAIL)
		return false;
	return m->len <= has && m->at <= has - m->len &&
	       memcmp(bytes + m->at, m->text, m->len) == 0;
}

int image_format_probe(const struct image_ends *ends, enum image_format *out, struct err *e)
{
	*out = IMAGE_RAW;
	for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
		const struct magic *m = &magics[i];

		if (!magic_fits(ends, m))
			continue;
		*out = m->format;
		if (m->format != IMAGE_FORMATS)
			return 0;
		*out = IMAGE_RAW;
		err_set(e, EOPNOTSUPP, "it is %s, which is not taken", m->what);
		err_code(e, "image-format");
		return err_hint(e, "%s", m->hint);
	}
	return 0;
}

static int names_files(struct err *e, const char *how)
{
	err_set(e, EINVAL, "it names %s: what is in it is not all in this file", how);
	err_code(e, "image-names-files");
	return err_hint(
		e, "where it comes from, make one file of it: qemu-img convert -O qcow2 FILE NEW");
}

static int encrypted(struct err *e)
{
	err_set(e, EINVAL, "it is encrypted");
	return err_code(e, "image-encrypted");
}

static int cut_short(struct err *e, enum image_format format)
{
	err_set(e, EINVAL, "its %s header is cut short", words[format]);
	return err_code(e, "image-broken");
}

static uint32_t get_be32(const uint8_t *p)
{
	return __builtin_bswap32(get_le32(p));
}

static uint64_t get_be64(const uint8_t *p)
{
	return __builtin_bswap64(get_le64(p));
}

/* qcow2.txt, "Header": big-endian. */
#define QCOW2_VERSION_AT      4
#define QCOW2_BACKING_AT      8
#define QCOW2_SIZE_AT	      24
#define QCOW2_CRYPT_AT	      32
#define QCOW2_INCOMPATIBLE_AT 72
#define QCOW2_V2_BYTES	      72
#define QCOW2_V3_BYTES	      104
#define QCOW2_DATA_FILE	      (1U << 2)

static int qcow2_check(const struct image_ends *ends, struct err *e)
{
	const uint8_t *h = ends->head;
	uint32_t version = ends->head_bytes >= QCOW2_V2_BYTES ? get_be32(h + QCOW2_VERSION_AT) : 2;

	if (ends->head_bytes < (version >= 3 ? QCOW2_V3_BYTES : QCOW2_V2_BYTES))
		return cut_short(e, IMAGE_QCOW2);
	if (version != 2 && version != 3) {
		err_set(e, EOPNOTSUPP, "it is version %u of qcow, not 2 or 3", version);
		return err_code(e, "image-format");
	}
	if (get_be64(h + QCOW2_BACKING_AT) != 0)
		return names_files(e, "a backing file");
	if (get_be32(h + QCOW2_CRYPT_AT) != 0)
		return encrypted(e);
	if (version == 3 && (get_be64(h + QCOW2_INCOMPATIBLE_AT) & QCOW2_DATA_FILE) != 0)
		return names_files(e, "an external data file");
	return 0;
}

/* VMDK: a capacity of 0 in a sparse extent's header means that the embedded descriptor says which files hold the disk. */
#define VMDK_CAPACITY_AT 12
#define VMDK_BYTES	 512

static int vmdk_check(const struct image_ends *ends, struct err *e)
{
	if (ends->head_bytes < VMDK_BYTES && ends->head[0] == 'K')
		return cut_short(e, IMAGE_VMDK);
	if (ends->head[0] != 'K' || get_le64(ends->head + VMDK_CAPACITY_AT) == 0)
		return names_files(e, "the files of its extents");
	return 0;
}

int image_format_check(const struct image_ends *ends, enum image_format format, struct err *e)
{
	bool is_of_it = format == IMAGE_RAW;

	for (size_t i = 0; !is_of_it && i < ARRAY_SIZE(magics); i++)
		is_of_it = magics[i].format == format && magic_fits(ends, &magics[i]);
	if (!is_of_it) {
		err_set(e, EINVAL, "it is no %s image", words[format]);
		err_code(e, "image-format");
		return err_hint(e,
				"without --format viaduct looks itself: viaduct image info FILE");
	}
	if (format == IMAGE_QCOW2)
		return qcow2_check(ends, e);
	return format == IMAGE_VMDK ? vmdk_check(ends, e) : 0;
}

#define VDI_SIZE_AT  368
#define VPC_SIZE_AT  48
#define SECTOR_SHIFT 9

uint64_t image_virtual_bytes(const struct image_ends *ends, enum image_format format)
{
	const uint8_t *h = ends->head;
	uint64_t sectors;

	switch (format) {
	case IMAGE_RAW:
		return ends->file_bytes;
	case IMAGE_QCOW2:
		return ends->head_bytes >= QCOW2_V2_BYTES ? get_be64(h + QCOW2_SIZE_AT) : 0;
	case IMAGE_VMDK:
		sectors = ends->head_bytes >= VMDK_BYTES && h[0] == 'K'
				  ? get_le64(h + VMDK_CAPACITY_AT)
				  : 0;
		return sectors <= UINT64_MAX >> SECTOR_SHIFT ? sectors << SECTOR_SHIFT : 0;
	case IMAGE_VDI:
		return ends->head_bytes >= VDI_SIZE_AT + 8 ? get_le64(h + VDI_SIZE_AT) : 0;
	case IMAGE_VPC:
		return ends->tail_bytes == IMAGE_TAIL ? get_be64(ends->tail + VPC_SIZE_AT) : 0;
	case IMAGE_VHDX: /* in its metadata, somewhere */
	case IMAGE_FORMATS:
		break;
	}
	return 0;
}
