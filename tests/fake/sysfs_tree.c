// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/sysfs_tree.h"

#include "base/fd.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct tree tree;

int __real_file_write_at(int dirfd, const char *path, const char *text);
int __wrap_file_write_at(int dirfd, const char *path, const char *text);

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

static void path_of(char buf[512], const char *path)
{
	snprintf(buf, 512, "%s/%s", tree.root, path);
}

static void parents_make(const char *full)
{
	char dir[512];

	snprintf(dir, sizeof(dir), "%s", full);
	for (char *p = strchr(dir + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
		*p = '\0';
		(void)mkdir(dir, 0755);
		*p = '/';
	}
}

void tree_make(void)
{
	memset(&tree, 0, sizeof(tree));
	tree.dead_vf = tree.groupless_vf = tree.late_vf = -1;
	/* In memory where there is such a folder: sweeps make hundreds of them. */
	snprintf(tree.root, sizeof(tree.root), "/dev/shm/viaduct-tree-XXXXXX");
	if (mkdtemp(tree.root) == NULL) {
		snprintf(tree.root, sizeof(tree.root), "/tmp/viaduct-tree-XXXXXX");
		must(mkdtemp(tree.root) != NULL, "mkdtemp");
	}
	tree_file("bus/pci/drivers_probe", "%s", "");
}

static int entry_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void tree_remove(void)
{
	(void)nftw(tree.root, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

void tree_delete(const char *path)
{
	char full[512];

	path_of(full, path);
	(void)nftw(full, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

void tree_bytes(const char *path, const void *bytes, size_t len)
{
	char full[512];
	FILE *f;

	path_of(full, path);
	f = fopen(full, "w");
	if (f == NULL) {
		parents_make(full);
		f = fopen(full, "w");
	}
	must(f != NULL, full);
	must(fwrite(bytes, 1, len, f) == len, full);
	fclose(f);
}

void tree_file(const char *path, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	tree_bytes(path, text, strlen(text));
}

void tree_link(const char *path, const char *target)
{
	char full[512];

	path_of(full, path);
	parents_make(full);
	(void)unlink(full);
	must(symlink(target, full) == 0, full);
}

static char *fn_path(char buf[256], const char *fn, const char *attr)
{
	snprintf(buf, 256, "bus/pci/devices/%s/%s", fn, attr);
	return buf;
}

size_t tree_config(uint8_t s[4096], bool is_pf)
{
	static const struct {
		uint16_t off, id, next;
	} ext[] = { { 0x100, 0x0d, 0x140 }, { 0x140, 0x0e, 0x150 }, { 0x150, 0x0f, 0x160 },
		    { 0x160, 0x13, 0x170 }, { 0x170, 0x1b, 0x180 }, { 0x180, 0x10, 0 } };

	memset(s, 0, 4096);
	put_le32(s, 0x10c98086);
	put_le16(s + 4, 6);
	put_le16(s + 6, 0x10); /* capabilities list */
	put_le32(s + 8, 0x02000001);
	s[0x34] = 0x70;
	put_le16(s + 0x70, 0xa011); /* MSI-X, then PCI Express */
	put_le16(s + 0x72, 9);
	put_le16(s + 0xa0, 0x0010);
	put_le16(s + 0xa2, 0x0002);
	put_le32(s + 0xa4, BIT(28));
	put_le32(s + 0xac, 0x84); /* x8, 16 GT/s */
	put_le16(s + 0xb2, 0x43); /* x4, 8 GT/s */
	for (size_t i = 0; i < ARRAY_SIZE(ext); i++)
		put_le32(s + ext[i].off, ext[i].id | 1U << 16 | (uint32_t)ext[i].next << 20);
	put_le16(s + 0x104, 0x5f); /* ACS */
	put_le16(s + 0x106, 0x1d);
	put_le16(s + 0x144, 0x0103); /* ARI */
	put_le16(s + 0x154, 0x0020); /* ATS */
	put_le16(s + 0x156, 0x8005);
	put_le16(s + 0x164, 1); /* PRI */
	put_le16(s + 0x166, 0x100);
	put_le32(s + 0x168, 512);
	put_le16(s + 0x174, 0x1406); /* PASID */
	put_le16(s + 0x176, 1);
	if (!is_pf) {
		put_le32(s, UINT32_MAX);
		put_le32(s + 0x170, 0x1b | 1U << 16);
		return 4096;
	}
	put_le32(s + 0x184, 0x02); /* SR-IOV */
	put_le16(s + 0x188, 0x19);
	put_le16(s + 0x18c, 8);
	put_le16(s + 0x18e, 8);
	put_le16(s + 0x190, 2);
	put_le16(s + 0x194, 128);
	put_le16(s + 0x196, 2);
	put_le16(s + 0x19a, 0x10ca);
	put_le32(s + 0x19c, 0x553);
	put_le32(s + 0x1a0, 1);
	put_le32(s + 0x1a4, 0xfe80000c); /* 64 bits, prefetchable */
	put_le32(s + 0x1b0, 0xfe820000);
	return 4096;
}

void tree_fn(const char *name, uint32_t ids, uint32_t class_code, int group)
{
	uint8_t space[4096];
	char path[256], target[64];

	tree_file(fn_path(path, name, "vendor"), "0x%04x\n", ids >> 16);
	tree_file(fn_path(path, name, "device"), "0x%04x\n", ids & 0xffff);
	tree_file(fn_path(path, name, "subsystem_vendor"), "0x1af4\n");
	tree_file(fn_path(path, name, "subsystem_device"), "0x1100\n");
	tree_file(fn_path(path, name, "class"), "0x%06x\n", class_code);
	tree_file(fn_path(path, name, "revision"), "0x01\n");
	tree_file(fn_path(path, name, "numa_node"), "-1\n");
	tree_file(fn_path(path, name, "driver_override"), "(null)\n");
	tree_bytes(fn_path(path, name, "config"), space, tree_config(space, false));
	if (group >= 0) {
		snprintf(target, sizeof(target), "../../../kernel/iommu_groups/%d", group);
		tree_link(fn_path(path, name, "iommu_group"), target);
	}
}

void tree_pf(const char *name, unsigned total)
{
	uint8_t space[4096];
	char path[256], text[1024] = "";

	tree_file(fn_path(path, name, "sriov_totalvfs"), "%u\n", total);
	tree_file(fn_path(path, name, "sriov_numvfs"), "0\n");
	tree_file(fn_path(path, name, "sriov_drivers_autoprobe"), "1\n");
	tree_bytes(fn_path(path, name, "config"), space, tree_config(space, true));
	for (int i = 0; i < 13; i++) {
		uint64_t start = 0, last = 0, flags = 0;

		/* 8 VFs: 16 KiB each in BAR 0, 4 KiB each in BAR 3. */
		if (i == 7 || i == 10) {
			start = i == 7 ? 0xfe800000 : 0xfe820000;
			last = start + (i == 7 ? 0x20000 : 0x8000) - 1;
			flags = i == 7 ? 0x14220c : 0x40200;
		}
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "0x%016lx 0x%016lx 0x%016lx\n", start, last, flags);
	}
	tree_bytes(fn_path(path, name, "resource"), text, strlen(text));
}

static void vf_name(const char *pf, unsigned index, char buf[PCI_ADDR_TEXT])
{
	struct pci_addr addr;

	must(parse_pci_addr(pf, &addr) == 0, pf);
	addr.dev = (uint8_t)(0x10 + index / 8);
	addr.fn = index % 8;
	pci_addr_text(&addr, buf);
}

void tree_vf(const char *pf, unsigned index)
{
	char name[PCI_ADDR_TEXT], path[256], link[64], target[64];

	vf_name(pf, index, name);
	tree_fn(name, 0x808610ca, 0x020000,
		index == (unsigned)tree.groupless_vf ? -1 : 20 + (int)index);
	snprintf(target, sizeof(target), "../%s", pf);
	tree_link(fn_path(path, name, "physfn"), target);
	snprintf(link, sizeof(link), "virtfn%u", index);
	snprintf(target, sizeof(target), "../%s", name);
	tree_link(fn_path(path, pf, link), target);
	if (index == (unsigned)tree.dead_vf) {
		uint8_t ones[256];

		memset(ones, 0xff, sizeof(ones));
		tree_bytes(fn_path(path, name, "config"), ones, sizeof(ones));
	}
}

void tree_netdev(const char *fn, const char *name, unsigned ifindex)
{
	static const char *const attrs[][2] = { { "flags", "0x1003" },
						{ "carrier", "1" },
						{ "speed", "1000" },
						{ "mtu", "1500" },
						{ "address", "52:54:00:10:00:00" } };
	char path[256], attr[128];

	for (size_t i = 0; i < ARRAY_SIZE(attrs); i++) {
		snprintf(attr, sizeof(attr), "net/%s/%s", name, attrs[i][0]);
		tree_file(fn_path(path, fn, attr), "%s\n", attrs[i][1]);
	}
	snprintf(attr, sizeof(attr), "net/%s/ifindex", name);
	tree_file(fn_path(path, fn, attr), "%u\n", ifindex);
}

void tree_driver(const char *driver, const char *fn)
{
	char path[256], target[128];

	snprintf(path, sizeof(path), "bus/pci/drivers/%s/unbind", driver);
	tree_file(path, "%s", "");
	if (fn == NULL)
		return;
	snprintf(target, sizeof(target), "../../drivers/%s", driver);
	tree_link(fn_path(path, fn, "driver"), target);
}

/* From here on: the kernel. */

/* Out of sight, not deleted: the kernel never gives the number of a folder out again. */
static void fn_destroy(const char *name)
{
	char path[256], full[512], gone[512];
	struct stat st;

	path_of(full, fn_path(path, name, ""));
	full[strlen(full) - 1] = '\0';
	if (lstat(full, &st) < 0)
		return;
	snprintf(gone, sizeof(gone), "%s/gone/%llu", tree.root, (unsigned long long)st.st_ino);
	parents_make(gone);
	must(rename(full, gone) == 0, full);
}

static int numvfs_written(const char *pf, unsigned n)
{
	char path[256], name[PCI_ADDR_TEXT], link[64];

	if (n != 0 && tree.numvfs_errno != 0)
		return -tree.numvfs_errno;
	if (n != 0)
		n -= (unsigned)u64_min(tree.numvfs_short, n);
	for (unsigned i = 0; n == 0 && i < 64; i++) {
		vf_name(pf, i, name);
		fn_destroy(name);
		snprintf(link, sizeof(link), "virtfn%u", i);
		tree_delete(fn_path(path, pf, link));
	}
	for (unsigned i = 0; i < n; i++)
		if ((int)i != tree.late_vf)
			tree_vf(pf, i);
	tree_file(fn_path(path, pf, "sriov_numvfs"), "%u\n", n);
	return 0;
}

static int probe_written(const char *fn)
{
	char path[256], override[64];
	int root = open(tree.root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	file_read_at(root, fn_path(path, fn, "driver_override"), override, sizeof(override));
	close(root);
	if (tree.probe_refuses)
		return 0;
	if (tree.override_is_ignored)
		tree_driver("other", fn);
	else if (strcmp(override, "(null)") != 0)
		tree_driver(override, fn);
	else if (tree.default_driver != NULL)
		tree_driver(tree.default_driver, fn);
	return 0;
}

/* Below /proc; the kernel picks the first CPU. */
static int affinity_written(const char *path, const char *text)
{
	const char *at = path + strlen(tree.root) + 1;
	char effective[256];

	if (tree.irq_errno != 0)
		return -tree.irq_errno;
	tree_file(at, "%s\n", text);
	snprintf(effective, sizeof(effective), "%.*s/effective_affinity_list",
		 (int)(strrchr(at, '/') - at), at);
	tree_file(effective, "%d\n", atoi(text));
	return 0;
}

static int write_take(int dirfd, const char *path, const char *text)
{
	char fn[PCI_ADDR_TEXT], attr[64];
	char at[256];

	if (tree.write_count < TREE_WRITES_MAX)
		snprintf(tree.writes[tree.write_count], sizeof(tree.writes[0]), "%s=%.40s", path,
			 *text == '\n' ? "-" : text);
	tree.write_count++;
	if (tree.write_count == tree.fail_write)
		return -tree.fail_errno;
	if (strcmp(path, "bus/pci/drivers_probe") == 0)
		return probe_written(text);
	if (strstr(path, "/smp_affinity_list") != NULL)
		return affinity_written(path, text);
	if (sscanf(path, "bus/pci/devices/%19[^/]/%63s", fn, attr) != 2)
		return -ENOENT;
	if (strcmp(attr, "sriov_numvfs") == 0)
		return numvfs_written(fn, (unsigned)atoi(text));
	if (strcmp(attr, "driver/unbind") == 0) {
		if (faccessat(dirfd, path, F_OK, 0) < 0)
			return -ENOENT;
		if (!tree.unbind_refuses)
			tree_delete(fn_path(at, fn, "driver"));
		return 0;
	}
	if (strcmp(attr, "driver_override") == 0 && *text == '\n')
		text = "(null)";
	tree_file(path, "%s\n", text);
	return 0;
}

int __wrap_file_write_at(int dirfd, const char *path, const char *text)
{
	int r;

	if (tree.on_write != NULL)
		tree.on_write(path, text, false);
	r = write_take(dirfd, path, text);
	if (tree.on_write != NULL)
		tree.on_write(path, text, true);
	return r;
}

const char *tree_writes(void)
{
	static char all[4096];

	all[0] = '\0';
	for (unsigned i = 0; i < u64_min(tree.write_count, TREE_WRITES_MAX); i++) {
		const char *eq = strchr(tree.writes[i], '='), *name = eq;

		while (name > tree.writes[i] && name[-1] != '/')
			name--;
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i > 0 ? " " : "",
			 name);
	}
	return all;
}
