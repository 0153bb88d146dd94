// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/fnuse.h"

#include "sriov/bind.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>

#define BLOCK_NAME 32
#define LINE_WORDS 16

/* A folder's entries, one after the other; NULL at the end or if there is no such folder. */
static DIR *folder_open(const struct sysfs *sys, const char *path)
{
	int fd = openat(sys->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (dir == NULL)
		fd_close(&fd);
	return dir;
}

static bool folder_first(const struct sysfs *sys, const char *path, const char *prefix,
			 char out[64])
{
	DIR *dir = folder_open(sys, path);
	const struct dirent *entry;
	bool found = false;

	while (dir != NULL && !found && (entry = readdir(dir)) != NULL) {
		found = entry->d_name[0] != '.' &&
			strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
		if (found)
			snprintf(out, 64, "%.63s", entry->d_name + strlen(prefix));
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

/* Calls fn for every line of a file of /proc, cut into words, until it says true. */
typedef bool line_fn(void *arg, char *words[LINE_WORDS], size_t count);

static bool proc_any_line(const struct sysfs *sys, const char *name, line_fn *fn, void *arg)
{
	char path[64], *line = NULL;
	size_t cap = 0;
	bool found = false;
	FILE *f;
	int fd;

	snprintf(path, sizeof(path), "%sproc/%s", sys->is_host ? "/" : "", name);
	fd = openat(sys->root_fd, path, O_RDONLY | O_CLOEXEC);
	f = fd >= 0 ? fdopen(fd, "r") : NULL;
	if (f == NULL) {
		fd_close(&fd);
		return false;
	}
	while (!found && getline(&line, &cap, f) > 0) {
		char *words[LINE_WORDS], *rest = line, *word;
		size_t count = 0;

		while (count < LINE_WORDS && (word = strtok_r(rest, " \t\n", &rest)) != NULL)
			words[count++] = word;
		found = fn(arg, words, count);
	}
	free(line);
	fclose(f);
	return found;
}

/* /proc/net/route: device, destination, gateway, flags, ..., mask at 7. */
static bool is_default4(void *arg, char *words[LINE_WORDS], size_t count)
{
	return count >= 8 && strcmp(words[0], arg) == 0 && strcmp(words[1], "00000000") == 0 &&
	       strcmp(words[7], "00000000") == 0;
}

/* /proc/net/ipv6_route: destination, prefix length, ..., device at 9. */
static bool is_default6(void *arg, char *words[LINE_WORDS], size_t count)
{
	return count >= 10 && strcmp(words[9], arg) == 0 && strcmp(words[1], "00") == 0 &&
	       strspn(words[0], "0") == strlen(words[0]);
}

/* Addresses that somebody gave it; those that every link has by itself do not count. */
static bool address_find(const char *dev, char out[INET6_ADDRSTRLEN])
{
	struct ifaddrs *list = NULL;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (const struct ifaddrs *a = list; a != NULL && !found; a = a->ifa_next) {
		if (a->ifa_addr == NULL || strcmp(a->ifa_name, dev) != 0)
			continue;
		if (a->ifa_addr->sa_family == AF_INET) {
			const struct sockaddr_in *in = (const void *)a->ifa_addr;

			found = inet_ntop(AF_INET, &in->sin_addr, out, INET6_ADDRSTRLEN) != NULL;
		} else if (a->ifa_addr->sa_family == AF_INET6) {
			const struct sockaddr_in6 *in = (const void *)a->ifa_addr;

			found = !IN6_IS_ADDR_LINKLOCAL(&in->sin6_addr) &&
				inet_ntop(AF_INET6, &in->sin6_addr, out, INET6_ADDRSTRLEN) != NULL;
		}
	}
	freeifaddrs(list);
	return found;
}

static void net_look(const struct sysfs *sys, const struct pci_fn *fn, struct fn_use *out)
{
	char path[128], other[64], addr[INET6_ADDRSTRLEN], dev[sizeof(fn->dev_name)];

	memcpy(dev, fn->dev_name, sizeof(dev));
	snprintf(path, sizeof(path), "bus/pci/devices/%s/net/%s", fn->name, dev);
	if (folder_first(sys, path, "upper_", other)) {
		snprintf(out->why, sizeof(out->why), "%s belongs to %s", dev, other);
		snprintf(out->remedy, sizeof(out->remedy), "ip link set %s nomaster", dev);
	} else if (proc_any_line(sys, "net/route", is_default4, dev) ||
		   proc_any_line(sys, "net/ipv6_route", is_default6, dev)) {
		snprintf(out->why, sizeof(out->why), "the host's default route goes through %s",
			 dev);
		snprintf(out->remedy, sizeof(out->remedy), "ip route; ip -6 route   show it");
	} else if (sys->is_host && address_find(dev, addr)) {
		snprintf(out->why, sizeof(out->why), "%s has the address %s", dev, addr);
		snprintf(out->remedy, sizeof(out->remedy),
			 "ip addr flush dev %s; ip link set %s down", dev, dev);
	} else if (fn->net.admin_up) {
		snprintf(out->why, sizeof(out->why), "%s is up", dev);
		snprintf(out->remedy, sizeof(out->remedy), "ip link set %s down", dev);
	}
	out->kind = out->why[0] != '\0' ? FN_USED : FN_IDLE;
}

struct block {
	char name[BLOCK_NAME];
	char dev[16]; /* "259:1" */
};

static bool path_is(const char *path, const struct block *b)
{
	return strncmp(path, "/dev/", 5) == 0 && strcmp(path + 5, b->name) == 0;
}

struct mount_ask {
	const struct block *block;
	char at[96];
};

/* /proc/self/mountinfo: device number at 2, mount point at 4, source two words after the "-". */
static bool is_mounted(void *arg, char *words[LINE_WORDS], size_t count)
{
	struct mount_ask *ask = arg;
	bool is_it = count > 4 && strcmp(words[2], ask->block->dev) == 0;

	for (size_t i = 5; !is_it && i + 2 < count; i++)
		is_it = strcmp(words[i], "-") == 0 && path_is(words[i + 2], ask->block);
	if (is_it)
		snprintf(ask->at, sizeof(ask->at), "%.95s", words[4]);
	return is_it;
}

static bool is_swapped_to(void *arg, char *words[LINE_WORDS], size_t count)
{
	return count > 0 && path_is(words[0], arg);
}

/* `dir` is the block device's folder below the root, or that of one of its partitions. */
static bool block_is_busy(const struct sysfs *sys, const char *dir, const char *name,
			  struct fn_use *out)
{
	struct block block = { .dev = "" };
	struct mount_ask ask = { .block = &block };
	char path[SYSFS_PATH], other[64];

	snprintf(block.name, sizeof(block.name), "%.31s", name);
	snprintf(path, sizeof(path), "%.150s/dev", dir);
	(void)file_read_at(sys->root_fd, path, block.dev, sizeof(block.dev));
	snprintf(path, sizeof(path), "%.150s/holders", dir);
	if (proc_any_line(sys, "self/mountinfo", is_mounted, &ask)) {
		snprintf(out->why, sizeof(out->why), "%s is mounted at %s", block.name, ask.at);
		snprintf(out->remedy, sizeof(out->remedy), "umount %s", ask.at);
	} else if (proc_any_line(sys, "swaps", is_swapped_to, &block)) {
		snprintf(out->why, sizeof(out->why), "%s is swap", block.name);
		snprintf(out->remedy, sizeof(out->remedy), "swapoff /dev/%s", block.name);
	} else if (folder_first(sys, path, "", other)) {
		snprintf(out->why, sizeof(out->why), "%s is part of %s", block.name, other);
		snprintf(out->remedy, sizeof(out->remedy), "lsblk /dev/%s   shows what uses it",
			 block.name);
	}
	return out->why[0] != '\0';
}

static bool block_or_parts_busy(const struct sysfs *sys, const char *name, struct fn_use *out)
{
	char dir[64], part[160];
	const struct dirent *entry;
	DIR *parts;

	snprintf(dir, sizeof(dir), "class/block/%.31s", name);
	if (block_is_busy(sys, dir, name, out))
		return true;
	parts = folder_open(sys, dir);
	while (parts != NULL && out->why[0] == '\0' && (entry = readdir(parts)) != NULL) {
		if (strncmp(entry->d_name, name, strlen(name)) != 0)
			continue;
		snprintf(part, sizeof(part), "%s/%.64s", dir, entry->d_name);
		block_is_busy(sys, part, entry->d_name, out);
	}
	if (parts != NULL)
		closedir(parts);
	return out->why[0] != '\0';
}

static void block_claim(const struct sysfs *sys, const char *name, struct fn_use *out)
{
	char path[64];
	int fd;

	if (out->claim_count == FN_CLAIMS)
		return;
	snprintf(path, sizeof(path), "%sdev/%.31s", sys->is_host ? "/" : "", name);
	fd = openat(sys->root_fd, path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (fd >= 0) {
		out->claims[out->claim_count++] = fd;
	} else if (errno == EBUSY) {
		snprintf(out->why, sizeof(out->why), "%s is in use (it cannot be opened alone)",
			 name);
		snprintf(out->remedy, sizeof(out->remedy), "lsblk /dev/%s; fuser -vm /dev/%s", name,
			 name);
	}
}

/* "nvme0n1", or "nvme0n1" from the path "nvme0c0n1" of a controller that shares its namespaces; false
 * for what is no namespace. */
static bool namespace_name(const char *entry, char out[BLOCK_NAME])
{
	unsigned int subsystem, path, ns;
	int end = 0;

	if (sscanf(entry, "nvme%un%u%n", &subsystem, &ns, &end) != 2 || entry[end] != '\0') {
		end = 0;
		if (sscanf(entry, "nvme%uc%un%u%n", &subsystem, &path, &ns, &end) != 3 ||
		    entry[end] != '\0')
			return false;
	}
	snprintf(out, BLOCK_NAME, "nvme%un%u", subsystem, ns);
	return true;
}

static DIR *namespaces_open(const struct sysfs *sys, const struct pci_addr *addr, char ctrl[64])
{
	char path[SYSFS_PATH], sub[80];

	sysfs_fn_path(addr, "nvme", path);
	if (!folder_first(sys, path, "", ctrl))
		return NULL;
	snprintf(sub, sizeof(sub), "nvme/%.63s", ctrl);
	return folder_open(sys, sysfs_fn_path(addr, sub, path));
}

static void nvme_look(const struct sysfs *sys, const struct pci_fn *fn, bool claim,
		      struct fn_use *out)
{
	char ctrl[64], name[BLOCK_NAME];
	DIR *dir = namespaces_open(sys, &fn->addr, ctrl);
	const struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (!namespace_name(entry->d_name, name))
			continue;
		out->namespaces++;
		if (out->why[0] == '\0' && !block_or_parts_busy(sys, name, out) && claim)
			block_claim(sys, name, out);
	}
	if (dir != NULL)
		closedir(dir);
	out->kind = out->why[0] != '\0' ? FN_BUSY : FN_IDLE;
}

void fn_use_look(const struct sysfs *sys, const struct pci_fn *fn, bool claim, struct fn_use *out)
{
	memset(out, 0, sizeof(*out));
	if (fn->driver[0] == '\0' || strcmp(fn->driver, DRIVER_VFIO) == 0)
		return;
	if (fn->kind == FN_NETWORK && fn->ifindex != 0) {
		net_look(sys, fn, out);
	} else if (fn->kind == FN_NVME && fn->dev_name[0] != '\0') {
		nvme_look(sys, fn, claim, out);
	} else {
		out->kind = FN_USED;
		snprintf(out->why, sizeof(out->why),
			 fn->kind == FN_NETWORK ? "its driver %s has no network device in this "
						  "namespace to look at"
						: "its driver is %s, and what the host does with "
						  "it cannot be seen",
			 fn->driver);
	}
	if (out->kind == FN_BUSY)
		fn_use_end(out);
}

void fn_use_end(struct fn_use *use)
{
	while (use->claim_count > 0)
		fd_close(&use->claims[--use->claim_count]);
}

static bool nvme_is_back(const struct sysfs *sys, const struct pci_addr *addr,
			 unsigned int namespaces)
{
	char ctrl[64], name[BLOCK_NAME], attr[96], state[16] = "";
	DIR *dir = namespaces_open(sys, addr, ctrl);
	const struct dirent *entry;
	unsigned int count = 0;

	if (dir == NULL)
		return false;
	while ((entry = readdir(dir)) != NULL)
		count += namespace_name(entry->d_name, name);
	closedir(dir);
	snprintf(attr, sizeof(attr), "nvme/%s/state", ctrl);
	return sysfs_fn_read(sys, addr, attr, state, sizeof(state)) > 0 &&
	       strcmp(state, "live") == 0 && count >= namespaces;
}

bool fn_use_is_back(const struct sysfs *sys, const struct pci_addr *addr, enum fn_kind kind,
		    unsigned int namespaces)
{
	char path[SYSFS_PATH], name[64];

	switch (kind) {
	case FN_NETWORK:
		return folder_first(sys, sysfs_fn_path(addr, "net", path), "", name);
	case FN_NVME:
		return nvme_is_back(sys, addr, namespaces);
	case FN_OTHER:
		return true;
	}
	return true;
}
