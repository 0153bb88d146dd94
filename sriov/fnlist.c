// SPDX-License-Identifier: BSD-3-Clause
/*
 * Which functions exist. On a real host libpciaccess says; its global state lives only inside this
 * call. Below another root the folder's entries say.
 */
#include "sriov/fnread.h"

#include "base/fd.h"

#include <pciaccess.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define FN_MAX (1U << 20)

struct addr_list {
	struct pci_addr *items;
	size_t count, cap;
};

static int list_add(struct addr_list *list, const struct pci_addr *addr)
{
	if (list->count == FN_MAX)
		return -E2BIG;
	if (list->count == list->cap) {
		size_t cap = list->cap != 0 ? list->cap * 2 : 64;
		struct pci_addr *items = reallocarray(list->items, cap, sizeof(*items));

		if (items == NULL)
			return -ENOMEM;
		list->items = items;
		list->cap = cap;
	}
	list->items[list->count++] = *addr;
	return 0;
}

static int list_host(struct addr_list *list)
{
	struct pci_device_iterator *iter;
	struct pci_device *dev;
	int r = pci_system_init();

	if (r != 0)
		return -abs(r);
	iter = pci_slot_match_iterator_create(NULL);
	r = iter != NULL ? 0 : -ENOMEM;
	while (r == 0 && (dev = pci_device_next(iter)) != NULL) {
		struct pci_addr addr = {
			.domain = dev->domain, .bus = dev->bus, .dev = dev->dev, .fn = dev->func
		};

		r = list_add(list, &addr);
	}
	if (iter != NULL)
		pci_iterator_destroy(iter);
	pci_system_cleanup();
	return r;
}

static int list_folder(const struct sysfs *sys, struct addr_list *list)
{
	int fd = openat(sys->root_fd, "bus/pci/devices", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *dir;
	int r = 0;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (dir == NULL) {
		fd_close(&fd);
		return -ENOMEM;
	}
	while (r == 0 && (entry = readdir(dir)) != NULL) {
		struct pci_addr addr;

		if (parse_pci_addr(entry->d_name, &addr) == 0)
			r = list_add(list, &addr);
	}
	closedir(dir);
	return r;
}

int fn_list(const struct sysfs *sys, bool is_quick, struct pci_addr **out, size_t *count,
	    struct err *e)
{
	struct addr_list list = { 0 };
	int r = sys->is_host && !is_quick ? list_host(&list) : list_folder(sys, &list);

	if (r < 0) {
		free(list.items);
		return err_set(e, r, "list PCI functions: %s", strerror(-r));
	}
	*out = list.items;
	*count = list.count;
	return 0;
}
