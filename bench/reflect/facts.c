// SPDX-License-Identifier: BSD-3-Clause
#include "bench/reflect/facts.h"

#include "base/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define DEVICES_MAX 64
#define NETS_MAX    16
#define VECTORS_MAX 256
#define LINE_MAX_   8192 /* bytes of a line of /proc/interrupts: some hundred CPUs */

/* Names of a folder, in the order of the file system; fn returns false when it has enough. */
static void folder_walk(const char *path, bool (*fn)(const char *name, void *arg), void *arg)
{
	const struct dirent *entry;
	DIR *dir = opendir(path);

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.' && !fn(entry->d_name, arg))
			break;
	if (dir != NULL)
		closedir(dir);
}

static bool net_add(const char *name, void *arg)
{
	json_array_append_new(arg, json_string(name));
	return json_array_size(arg) < NETS_MAX;
}

static bool device_add(const char *name, void *arg)
{
	char path[320], text[64];
	json_t *nets = json_array(), *driver = json_null();

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.64s/class", name);
	if (file_read_at(AT_FDCWD, path, text, sizeof(text)) <= 0 ||
	    strncmp(text, "0x02", 4) != 0) {
		json_decref(nets);
		return true;
	}
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.64s/driver", name);
	if (link_base_at(AT_FDCWD, path, text, sizeof(text)) == 0)
		driver = json_string(text);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.64s/net", name);
	folder_walk(path, net_add, nets);
	json_array_append_new(arg, json_pack("{s:s, s:o, s:o}", "device", name, "driver", driver,
					     "net", nets));
	return json_array_size(arg) < DEVICES_MAX;
}

/* A network device of hardware, a port by the kernel's driver. */
static bool interface_add(const char *name, void *arg)
{
	char path[320], driver[64];

	snprintf(path, sizeof(path), "/sys/class/net/%.15s/device/driver", name);
	if (link_base_at(AT_FDCWD, path, driver, sizeof(driver)) == 0)
		json_array_append_new(arg, json_sprintf("af-packet:%s", name));
	return json_array_size(arg) < DEVICES_MAX;
}

static void sort(json_t *list)
{
	for (size_t i = 1; i < json_array_size(list); i++)
		for (size_t k = i; k > 0; k--) {
			json_t *a = json_array_get(list, k - 1), *b = json_array_get(list, k);

			if (strcmp(json_string_value(a), json_string_value(b)) <= 0)
				break;
			json_incref(a);
			json_array_set(list, k - 1, b);
			json_array_set_new(list, k, a);
		}
}

json_t *facts_devices(void)
{
	json_t *devices = json_array(), *functions = json_array(), *interfaces = json_array();
	const json_t *device;
	size_t i;

	folder_walk("/sys/bus/pci/devices", device_add, devices);
	json_array_foreach(devices, i, device)
		json_array_append(functions, json_object_get(device, "device"));
	folder_walk("/sys/class/net", interface_add, interfaces);
	sort(functions);
	sort(interfaces);
	return json_pack("{s:b, s:o, s:o, s:o}", "ok", 1, "functions", functions, "interfaces",
			 interfaces, "devices", devices);
}

struct vectors {
	unsigned long irqs[VECTORS_MAX];
	unsigned int count;
};

static bool vector_add(const char *name, void *arg)
{
	struct vectors *v = arg;

	v->irqs[v->count++] = strtoul(name, NULL, 10);
	return v->count < VECTORS_MAX;
}

/* "  24:   17   0  PCI-MSIX-0000:00:04.0   0-edge   eth0-rx-0": the counts of all CPUs. */
static uint64_t line_sum(char *at)
{
	uint64_t sum = 0;
	char *end;

	for (;;) {
		unsigned long n = strtoul(at, &end, 10);

		if (end == at || (*end != ' ' && *end != '\n'))
			return sum;
		sum += n;
		at = end;
	}
}

static uint64_t vectors_sum(const struct vectors *v, FILE *f)
{
	static char line[LINE_MAX_];
	uint64_t sum = 0;

	while (fgets(line, sizeof(line), f) != NULL) {
		char *end;
		unsigned long irq = strtoul(line, &end, 10);

		if (end == line || *end != ':')
			continue;
		for (unsigned int i = 0; i < v->count; i++)
			sum += v->irqs[i] == irq ? line_sum(end + 1) : 0;
	}
	return sum;
}

bool facts_interrupts(const char *device, uint64_t *out)
{
	/* The function itself, or that of a virtio device. */
	static const char *const places[] = { "msi_irqs", "../msi_irqs" };
	struct vectors v = { .count = 0 };
	char path[128];
	FILE *f;

	for (unsigned int i = 0; i < ARRAY_SIZE(places) && v.count == 0; i++) {
		snprintf(path, sizeof(path), "/sys/class/net/%.15s/device/%s", device, places[i]);
		folder_walk(path, vector_add, &v);
	}
	f = v.count == 0 ? NULL : fopen("/proc/interrupts", "re");
	if (f == NULL)
		return false;
	*out = vectors_sum(&v, f);
	fclose(f);
	return true;
}
