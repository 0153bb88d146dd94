// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmspec.h"

#include "vf-manager/vmdisk.h"
#include "vf-manager/vmextra.h"
#include "vf-manager/vmfile.h"
#include "vf-manager/vmport.h"
#include "vf-manager/yamlload.h"

#include "base/json.h"
#include "base/parse.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>

#define FIRMWARE_MEMORY MIB(128)

static int text_size(const char *text, const char *key, uint64_t *out, struct err *e)
{
	int r = parse_size(text, out);

	if (r == -ERANGE)
		return err_set(e, ERANGE, "%s: %.32s is more than a number can hold", key, text);
	if (r < 0)
		return err_set(e, EINVAL, "%s: '%.32s' is no size (such as 512M or 2G)", key, text);
	return 0;
}

static int numa_parse(const char *text, struct vm_spec *out, struct err *e)
{
	uint64_t node;

	out->numa = VM_NUMA_AUTO;
	if (text == NULL || strcmp(text, "auto") == 0)
		return 0;
	if (strcmp(text, "off") == 0) {
		out->numa = VM_NUMA_OFF;
		return 0;
	}
	if (parse_u64(text, VMM_MAX_NODE, &node) < 0)
		return err_set(e, EINVAL,
			       "memory.numa: '%.16s' is not auto, off or a node (0 to %d)", text,
			       VMM_MAX_NODE);
	out->numa = VM_NUMA_NODE;
	out->numa_node = (int)node;
	return 0;
}

static int memory_parse(const struct vmfile *file, struct vm_spec *out, struct err *e)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} pages[] = { { "auto", MIB(2) }, { "off", 0 }, { "2M", MIB(2) }, { "1G", GIB(1) } };
	const struct vmfile_memory *m = file->memory;
	uint64_t unit = MIB(2);
	size_t i = 0;
	int r = text_size(m->size, "memory.size", &out->memory_bytes, e);

	if (r < 0)
		return r;
	while (m->hugepages != NULL && i < ARRAY_SIZE(pages) &&
	       strcmp(pages[i].text, m->hugepages) != 0)
		i++;
	if (i == ARRAY_SIZE(pages))
		return err_set(e, EINVAL, "memory.hugepages: '%.16s' is not auto, 2M, 1G or off",
			       m->hugepages);
	out->hugepage_bytes = pages[i].bytes;
	out->hugepage_fallback = i == 0;
	unit = u64_max(unit, pages[i].bytes);
	if (out->memory_bytes < VMM_MIN_MEMORY || out->memory_bytes > VMM_MAX_MEMORY)
		return err_set(e, ERANGE, "memory.size: %s is not between %lluM and %lluG", m->size,
			       VMM_MIN_MEMORY >> 20, VMM_MAX_MEMORY >> 30);
	if (!is_aligned(out->memory_bytes, unit))
		return err_set(e, EINVAL, "memory.size: %s is not a multiple of %lluM", m->size,
			       (unsigned long long)unit >> 20);
	r = numa_parse(m->numa, out, e);
	if (r < 0)
		return r;
	if (file->test == NULL || file->test->low_ram_limit == NULL)
		return 0;
	r = text_size(file->test->low_ram_limit, "test.low_ram_limit", &out->low_limit_bytes, e);
	if (r == 0 && (!is_aligned(out->low_limit_bytes, unit) || out->low_limit_bytes < MIB(64)))
		r = err_set(e, EINVAL,
			    "test.low_ram_limit: less than 64M or not a multiple of %lluM",
			    (unsigned long long)unit >> 20);
	return r;
}

/* libcyaml's own booleans take any word for true. */
static int core_words_parse(const struct vmfile_cpus *c, struct vm_spec *out, struct err *e)
{
	bool is_on = false;
	int r = yaml_bool(c->dedicated, "cpus.dedicated", &out->is_dedicated, e);

	if (r == 0)
		r = yaml_bool(c->core_scheduling, "cpus.core_scheduling", &is_on, e);
	if (r < 0)
		return r;
	if (c->core_scheduling != NULL)
		out->core_sched = is_on ? VM_CORE_ON : VM_CORE_OFF;
	if (c->shares != NULL && (*c->shares < 1 || *c->shares > VM_SHARES_MAX))
		return err_set(e, ERANGE, "cpus.shares: %u is not between 1 and %d", *c->shares,
			       VM_SHARES_MAX);
	out->shares = c->shares != NULL ? *c->shares : 0;
	return 0;
}

static int count_refuse(unsigned int count, struct err *e)
{
	err_set(e, ERANGE, "cpus.count: %u is not between 1 and %d", count, VMM_MAX_CPUS);
	if (count <= VMM_MAX_CPUS)
		return -ERANGE;
	return err_hint(
		e, "more vCPUs need x2APIC ids, and interrupts that a virtual VT-d remaps to them: "
		   "not built; give two VMs the work, or lower cpus.count");
}

static int cpus_parse(const struct vmfile_cpus *c, struct vm_spec *out, struct err *e)
{
	int r;

	out->cpu_count = 1;
	if (c == NULL)
		return 0;
	r = core_words_parse(c, out, e);
	if (r < 0)
		return r;
	if (c->count != NULL)
		out->cpu_count = *c->count;
	else if (c->pin_count > 0)
		out->cpu_count = c->pin_count;
	if (out->cpu_count < 1 || out->cpu_count > VMM_MAX_CPUS)
		return count_refuse(out->cpu_count, e);
	if (c->pin_count != 0 && c->pin_count != out->cpu_count)
		return err_set(e, EINVAL, "cpus.pin: %u host CPUs for %u vCPUs", c->pin_count,
			       out->cpu_count);
	for (unsigned int i = 0; i < c->pin_count; i++) {
		out->pin[i] = c->pin[i];
		for (unsigned int k = 0; k < i; k++)
			if (c->pin[k] == c->pin[i])
				return err_set(e, EINVAL, "cpus.pin: host CPU %u is there twice",
					       c->pin[i]);
		if (c->pin[i] >= CPU_SETSIZE) {
			err_set(e, ERANGE, "cpus.pin: there is no CPU %u (0 to %d)", c->pin[i],
				CPU_SETSIZE - 1);
			return err_hint(e, "cat /sys/devices/system/cpu/online");
		}
	}
	out->pin_count = c->pin_count;
	if (!out->is_dedicated || out->pin_count > 0)
		return 0;
	err_set(e, EINVAL, "cpus.dedicated: needs cpus.pin, a host CPU for each vCPU");
	return err_hint(e, "cpus: {pin: [2, 3], dedicated: true}; host CPUs: lscpu -e");
}

/* One of the words; NULL is the first. */
static int word_parse(const char *word, const char *key, const char *const *words,
		      unsigned int *out, struct err *e)
{
	char all[64] = "";
	size_t len = 0;

	*out = 0;
	for (unsigned int i = 0; words[i] != NULL; i++) {
		if (word == NULL || strcmp(words[i], word) == 0) {
			*out = i;
			return 0;
		}
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", i > 0 ? ", " : "",
					words[i]);
	}
	return err_set(e, EINVAL, "%s: '%.16s' is none of %s", key, word, all);
}

static int life_parse(const struct vmfile *file, struct vm_spec *out, struct err *e)
{
	static const char *const panics[VMM_PANICS + 1] = VMM_PANIC_WORDS;
	static const char *const watchdogs[VMM_WATCHDOGS + 1] = VMM_WATCHDOG_WORDS;
	unsigned int panic, watchdog;
	int r = word_parse(file->on_panic, "on_panic", panics, &panic, e);

	if (r == 0)
		r = word_parse(file->watchdog, "watchdog", watchdogs, &watchdog, e);
	if (r < 0)
		return r;
	out->on_panic = panic;
	out->watchdog = watchdog;
	return vm_keep_parse(file, &out->keep, e);
}

int vm_path_parse(const char *path, const char *key, const char *base_dir, char out[PATH_MAX],
		  struct err *e)
{
	int n;

	if (path[0] == '/')
		n = snprintf(out, PATH_MAX, "%s", path);
	else if (base_dir[0] == '/')
		n = snprintf(out, PATH_MAX, "%s/%s", base_dir, path);
	else
		return err_set(e, EINVAL, "%s: '%.200s' is not an absolute path", key, path);
	if (n < 0 || n >= PATH_MAX)
		return err_set(e, EINVAL, "%s: the path is too long", key);
	return 0;
}

/* text may be NULL. */
static int line_parse(const char *text, const char *key, char *out, size_t cap, struct err *e)
{
	if (text == NULL)
		return 0;
	for (const char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return err_set(e, EINVAL, "%s holds a control character", key);
	if (strlen(text) >= cap)
		return err_set(e, EINVAL, "%s has more than %zu bytes", key, cap - 1);
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

static int firmware_parse(const struct vmfile_boot *b, bool has_disks, struct vm_spec *out,
			  struct err *e)
{
	out->has_firmware = b->firmware != NULL;
	if (b->firmware != NULL && strcmp(b->firmware, "ovmf") != 0)
		return err_set(e, EINVAL, "boot.firmware: '%.16s' is not ovmf", b->firmware);
	if (b->firmware != NULL && out->memory_bytes < FIRMWARE_MEMORY)
		return err_set(e, ERANGE, "memory.size: firmware needs %lluM at least",
			       (unsigned long long)FIRMWARE_MEMORY >> 20);
	if (b->kernel != NULL)
		return 0;
	if (b->firmware == NULL && has_disks) {
		err_set(e, EINVAL, "boot: neither firmware nor kernel: nothing starts the disks");
		return err_hint(e, "boot: {firmware: ovmf}");
	}
	if (b->firmware == NULL) {
		err_set(e, EINVAL, "boot.kernel is missing");
		return err_hint(e, "name a bzImage or vmlinux file: boot: {kernel: "
				   "/boot/vmlinuz-...}; or boot: {firmware: ovmf}");
	}
	if (b->initrd != NULL || b->cmdline != NULL)
		return err_set(e, EINVAL, "boot.%s: without boot.kernel nobody reads it",
			       b->initrd != NULL ? "initrd" : "cmdline");
	return 0;
}

static int boot_parse(const struct vmfile *file, const char *base_dir, struct vm_spec *out,
		      struct err *e)
{
	const struct vmfile_boot *b = file->boot;
	int r = firmware_parse(b, file->disks_count > 0, out, e);

	if (r == 0 && b->kernel != NULL)
		r = vm_path_parse(b->kernel, "boot.kernel", base_dir, out->kernel, e);
	if (r == 0 && b->initrd != NULL)
		r = vm_path_parse(b->initrd, "boot.initrd", base_dir, out->initrd, e);
	if (r < 0)
		return r;
	r = line_parse(b->cmdline, "boot.cmdline", out->cmdline, sizeof(out->cmdline), e);
	return r == 0 ? line_parse(b->ready, "boot.ready", out->ready, sizeof(out->ready), e) : r;
}

/* The VM's word for those of its ports that have none. */
static int grace_spread(const struct vmfile *file, struct vm_spec *out, json_t *warnings,
			struct err *e)
{
	unsigned int ms = PORT_GRACE_MS;
	int r = file->backend_grace != NULL ? grace_parse(file->backend_grace, &ms, e) : 0;

	for (unsigned int i = 0; r == 0 && i < out->port_count; i++)
		if (!out->ports[i].has_grace)
			out->ports[i].grace_ms = ms;
	if (r == 0 && file->backend_grace != NULL && vm_spec_ports(out, PORT_VF) == out->port_count)
		json_array_append_new(warnings,
				      json_string("backend_grace: no port has a backend"));
	return r;
}

static int ports_parse(const struct vmfile *file, struct vm_spec *out, json_t *warnings,
		       struct err *e)
{
	for (unsigned int i = 0; i < file->ports_count; i++) {
		struct vm_port *port = &out->ports[i];
		int r = vm_port_parse(&file->ports[i], port, warnings, e);

		for (unsigned int k = 0; r == 0 && k < i; k++) {
			const struct vm_port *other = &out->ports[k];

			if (strcmp(other->name, port->name) == 0)
				r = err_set(e, EINVAL, "the name is there twice");
			else if ((port->attrs.mask & other->attrs.mask & BIT(VF_ATTR_MAC)) != 0 &&
				 memcmp(port->attrs.mac, other->attrs.mac, 6) == 0)
				r = err_set(e, EINVAL, "mac: port %s has the same", other->name);
			else if (port->source == PORT_FROM_VF && other->source == PORT_FROM_VF &&
				 strcmp(port->target, other->target) == 0)
				r = err_set(e, EINVAL, "vf: port %s has the same", other->name);
		}
		if (r < 0)
			return err_wrap(e, "port %.64s", file->ports[i].name);
		out->port_count++;
	}
	return 0;
}

static int function_parse(const struct vmfile_function *in, struct vm_function *out, struct err *e)
{
	int r;

	if (parse_name(in->name) < 0)
		return err_set(e, EINVAL, "name: '%.64s' is no name", in->name);
	snprintf(out->name, sizeof(out->name), "%s", in->name);
	if (parse_pci_addr(in->address, &out->addr) < 0) {
		err_set(e, EINVAL, "address: '%.64s' is no PCI address (such as 0000:03:00.0)",
			in->address);
		return err_hint(e, "viaduct function list   shows addresses beside the names");
	}
	r = yaml_bool(in->take, "take", &out->take, e);
	return r < 0 ? r : on_fault_parse(in->on_fault, &out->on_fault, e);
}

static int name_is_new(const struct vm_spec *spec, const char *name, struct err *e)
{
	for (unsigned int i = 0; i < spec->port_count; i++)
		if (strcmp(spec->ports[i].name, name) == 0)
			return err_set(e, EINVAL, "a port has the same name");
	for (unsigned int i = 0; i < spec->function_count; i++)
		if (strcmp(spec->functions[i].name, name) == 0)
			return err_set(e, EINVAL, "the name is there twice");
	return 0;
}

static int functions_parse(const struct vmfile *file, struct vm_spec *out, struct err *e)
{
	for (unsigned int i = 0; i < file->functions_count; i++) {
		struct vm_function *fn = &out->functions[i];
		int r = function_parse(&file->functions[i], fn, e);

		if (r == 0)
			r = name_is_new(out, fn->name, e);
		for (unsigned int k = 0; r == 0 && k < i; k++)
			if (pci_addr_cmp(&out->functions[k].addr, &fn->addr) == 0)
				r = err_set(e, EINVAL, "address: function %s has the same",
					    out->functions[k].name);
		if (r < 0)
			return err_wrap(e, "function %.64s", file->functions[i].name);
		out->function_count++;
	}
	if (out->port_count + out->function_count <= VMM_MAX_DEVICES)
		return 0;
	return err_set(e, EINVAL, "%u ports and functions: a VM has %d at most",
		       out->port_count + out->function_count, VMM_MAX_DEVICES);
}

int vm_spec_parse(const struct vm_text *text, struct vm_spec *out, json_t *warnings, struct err *e)
{
	struct vmfile *file = NULL;
	int r;

	memset(out, 0, sizeof(*out));
	r = vmfile_load(text->yaml, strlen(text->yaml), &file, e);
	if (r < 0)
		return r;
	if (parse_name(file->name) < 0) {
		r = err_set(e, EINVAL, "name: '%.64s' is no name", file->name);
		err_hint(e, "names have 1 to 63 of a-z 0-9 . _ - and start with a letter or digit");
		goto out;
	}
	snprintf(out->name, sizeof(out->name), "%s", file->name);
	r = memory_parse(file, out, e);
	if (r == 0)
		r = cpus_parse(file->cpus, out, e);
	if (r == 0)
		r = boot_parse(file, text->base_dir, out, e);
	if (r == 0)
		r = life_parse(file, out, e);
	if (r == 0)
		r = vm_extras_parse(file, out, e);
	if (r == 0)
		r = ports_parse(file, out, warnings, e);
	if (r == 0)
		r = grace_spread(file, out, warnings, e);
	if (r == 0)
		r = functions_parse(file, out, e);
	if (r == 0)
		r = vm_disks_parse(file, text->base_dir, out, e);
	if (r == 0)
		r = vm_cloud_parse(file, text->base_dir, out, e);
	if (r == 0 && vm_spec_devices_max(out) > 0 && out->hugepage_bytes == 0)
		json_array_append_new(
			warnings,
			json_string("memory.hugepages is off: mapping 4 KiB pages for DMA takes "
				    "longer to start and more of the IOMMU's cache"));
out:
	vmfile_free(file);
	return r;
}

static json_t *numa_json(const struct vm_spec *spec)
{
	if (spec->numa == VM_NUMA_NODE)
		return json_integer(spec->numa_node);
	return json_string(spec->numa == VM_NUMA_OFF ? "off" : "auto");
}

json_t *vm_spec_json(const struct vm_spec *spec)
{
	static const char *const panics[VMM_PANICS] = VMM_PANIC_WORDS;
	static const char *const watchdogs[VMM_WATCHDOGS] = VMM_WATCHDOG_WORDS;
	static const char *const cores[] = {
		[VM_CORE_AUTO] = "auto", [VM_CORE_ON] = "on", [VM_CORE_OFF] = "off"
	};
	json_t *pin = json_array(), *ports = json_array(), *functions = json_array(), *j;
	char addr[PCI_ADDR_TEXT];

	for (unsigned int i = 0; i < spec->pin_count; i++)
		json_array_append_new(pin, json_integer(spec->pin[i]));
	for (unsigned int i = 0; i < spec->port_count; i++)
		json_array_append_new(ports, vm_port_json(&spec->ports[i]));
	for (unsigned int i = 0; i < spec->function_count; i++)
		json_array_append_new(functions,
				      json_pack("{s:s, s:s, s:b, s:s}", "name",
						spec->functions[i].name, "address",
						pci_addr_text(&spec->functions[i].addr, addr),
						"take", spec->functions[i].take, "on_fault",
						on_fault_text(spec->functions[i].on_fault)));
	j = json_pack(
		"{s:s, s:{s:I, s:I, s:b, s:I, s:o}, s:{s:i, s:o, s:b, s:s, s:o}, s:{s:s*, s:s*, s:s*, s:s, s:s*}, s:o, s:o,"
		" s:o, s:s, s:s, s:o, s:o*}",
		"name", spec->name, "memory", "size", (json_int_t)spec->memory_bytes, "hugepage",
		(json_int_t)spec->hugepage_bytes, "hugepage_fallback", spec->hugepage_fallback,
		"low_limit", (json_int_t)spec->low_limit_bytes, "numa", numa_json(spec), "cpus",
		"count", (int)spec->cpu_count, "pin", pin, "dedicated", (int)spec->is_dedicated,
		"core_scheduling", cores[spec->core_sched], "shares",
		spec->shares != 0 ? json_integer(spec->shares) : json_null(), "boot", "firmware",
		spec->has_firmware ? "ovmf" : NULL, "kernel",
		spec->kernel[0] != '\0' ? spec->kernel : NULL, "initrd",
		spec->initrd[0] != '\0' ? spec->initrd : NULL, "cmdline", spec->cmdline, "ready",
		spec->ready[0] != '\0' ? spec->ready : NULL, "disks", vm_disks_json(spec), "ports",
		ports, "functions", functions, "on_panic", panics[spec->on_panic], "watchdog",
		watchdogs[spec->watchdog], "life", vm_keep_json(&spec->keep), "cloud_init",
		cloud_init_json(&spec->cloud_init));
	vm_extras_json(spec, spec->vsock_cid, j);
	return j;
}

unsigned int vm_ram_slots(const struct vm_spec *spec, struct range out[2])
{
	uint64_t low = spec->memory_bytes <= VMM_LOW_RAM_MAX ? spec->memory_bytes
							     : VMM_LOW_RAM_SPLIT;
	uint64_t high;

	if (spec->low_limit_bytes != 0)
		low = u64_min(low, spec->low_limit_bytes);
	out[0] = (struct range){ 0, low - 1 };
	if (low == spec->memory_bytes)
		return 1;
	high = spec->memory_bytes - low > VMM_HIGH_RAM_ROOM ? VMM_FAR_RAM : VMM_HIGH_RAM;
	out[1] = (struct range){ high, high + (spec->memory_bytes - low) - 1 };
	return 2;
}
