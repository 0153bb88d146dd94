// SPDX-License-Identifier: BSD-3-Clause
/* What the report says of the machine: makes and versions, never what tells one machine from another of its kind. */
#include "vf-manager/hostcheck.h"
#include "vf-manager/posture.h"
#include "vf-manager/selftest.h"

#include "base/fd.h"
#include "sriov/drvinfo.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#define CPUINFO_BYTES 4096 /* the first CPU's names stand at its beginning */
#define TEXT	      128

static json_t *text_or_null(const char *text)
{
	return text[0] != '\0' ? json_string(text) : json_null();
}

/* "model\t\t: 1" */
static json_t *cpuinfo_field(const char *text, const char *key)
{
	size_t len = strlen(key);
	char value[TEXT];

	for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
		const char *at = line + len;

		if (strncmp(line, key, len) == 0 && (*at == '\t' || *at == ':')) {
			at += strspn(at, "\t:");
			at += strspn(at, " ");
			snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\n"), at);
			return text_or_null(value);
		}
		if (line[strcspn(line, "\n")] == '\0')
			break;
	}
	return json_null();
}

static json_t *cpu_facts(int root)
{
	static const struct {
		const char *member, *key;
	} fields[] = {
		{ "vendor", "vendor_id" }, { "family", "cpu family" }, { "model", "model" },
		{ "name", "model name" },  { "stepping", "stepping" }, { "microcode", "microcode" },
	};
	auto_fd int fd = openat(root, "proc/cpuinfo", O_RDONLY | O_CLOEXEC);
	char text[CPUINFO_BYTES];
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
	json_t *j = json_object();

	text[n > 0 ? n : 0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		json_object_set_new(j, fields[i].member, cpuinfo_field(text, fields[i].key));
	return j;
}

/* Serial numbers, asset tags and UUIDs lie beside these and stay there. */
static json_t *board_facts(int root)
{
	static const char *const names[] = { "sys_vendor", "product_name", "board_vendor",
					     "board_name", "bios_vendor",  "bios_version",
					     "bios_date" };
	char path[64], text[TEXT];
	json_t *j = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "sys/class/dmi/id/%s", names[i]);
		if (file_read_at(root, path, text, sizeof(text)) < 0)
			text[0] = '\0';
		json_object_set_new(j, names[i], text_or_null(text));
	}
	return j;
}

json_t *selftest_facts(const struct daemon *d)
{
	auto_fd int given = host_root_open(d);
	auto_fd int root = given >= 0 ? fd_take(&given)
				      : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct utsname host;

	if (uname(&host) < 0)
		memset(&host, 0, sizeof(host));
	return json_pack("{s:s, s:s, s:o, s:o}", "version", VIADUCT_VERSION, "kernel", host.release,
			 "cpu", cpu_facts(root), "board", board_facts(root));
}

static json_t *id_text(uint16_t vendor, uint16_t device)
{
	char text[16];

	snprintf(text, sizeof(text), "%04x:%04x", vendor, device);
	return json_string(text);
}

json_t *selftest_vf_facts(const struct daemon *d, const struct pci_fn *vf)
{
	const struct pci_fn *pf = vf->pf;
	struct driver_info info = { .version = "" };
	char id[PCI_ADDR_TEXT + 8], path[80];

	/* Not by the PF's name, which somebody chose. */
	snprintf(id, sizeof(id), "%s#%u", pf->name, vf->vf_index);

	snprintf(path, sizeof(path), "nvme/%s/firmware_rev", pf->dev_name);
	if (pf->ifindex != 0)
		(void)driver_info_read(pf->dev_name, &info);
	else if (pf->kind != FN_NVME || sysfs_fn_read(inventory_sysfs(d->inv), &pf->addr, path,
						      info.firmware, sizeof(info.firmware)) < 0)
		info.firmware[0] = '\0';
	return json_pack("{s:s, s:s, s:o, s:{s:s, s:o, s:o, s:o, s:o}}", "address", vf->name, "id",
			 id, "device", id_text(vf->vendor, vf->device), "pf", "address", pf->name,
			 "device", id_text(pf->vendor, pf->device), "driver",
			 text_or_null(pf->driver), "driver_version", text_or_null(info.version),
			 "firmware", text_or_null(info.firmware));
}

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || strchr("_.-:@", c) != NULL;
}

/* The whole word only: "pf0" is in "pf0#1", not in "pf01". */
static const char *word_find(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = text; len > 0 && (at = strstr(at, word)) != NULL; at++)
		if ((at == text || !is_name_char(at[-1])) &&
		    (at[len] == '\0' || !is_name_char(at[len])))
			return at;
	return NULL;
}

static void member_hide(json_t *step, const char *key, const struct selftest_name *name)
{
	const char *at, *text = json_string_value(json_object_get(step, key));
	char buf[1024];

	while (text != NULL && (at = word_find(text, name->name)) != NULL &&
	       strcmp(name->name, name->address) != 0) {
		snprintf(buf, sizeof(buf), "%.*s%s%s", (int)(at - text), text, name->address,
			 at + strlen(name->name));
		json_object_set_new(step, key, json_string(buf));
		text = json_string_value(json_object_get(step, key));
	}
}

void selftest_names_hide(json_t *steps, const struct selftest_name *names, size_t count)
{
	json_t *step;
	size_t i;

	json_array_foreach(steps, i, step)
		for (size_t k = 0; k < count; k++) {
			member_hide(step, "text", &names[k]);
			member_hide(step, "hint", &names[k]);
		}
}
