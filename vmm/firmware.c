// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/firmware.h"

#include "vmm/disks.h"
#include "vmm/firmware_kernel.h"
#include "vmm/flash_writer.h"
#include "vmm/fwcfg_acpi.h"
#include "vmm/layout.h"
#include "vmm/machine.h"
#include "vmm/smbios.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define CODE_BASE (VMM_HIGH_RAM - VMM_CODE_IMAGE)
#define VARS_BASE (CODE_BASE - VMM_VARS_IMAGE)

/* An e820 entry as fw_cfg has it */
#define E820_ENTRY 20
#define E820_RAM   1

struct firmware {
	struct machine *m; /* borrowed */
	uint8_t *code, *vars; /* mappings of their own, since they are slots */
	uint32_t vars_slot;
	struct flash flash;
	struct flash_store store;
	struct flash_writer *writer;
	struct io_region vars_region;
	struct fwcfg *fwcfg;
	struct fwcfg_acpi acpi;
};

static int pages_map(size_t size, uint8_t **out, struct err *e)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return err_set(e, errno, "firmware: map %zu bytes: %s", size, strerror(errno));
	*out = p;
	return 0;
}

/* A copy: the package may be changed or removed while the VM runs. */
static int code_load(struct firmware *fw, struct err *e)
{
	int fd = fw->m->spec->firmware_fd, r = pages_map(VMM_CODE_IMAGE, &fw->code, e);
	uint32_t slot;
	struct stat st;

	if (r < 0)
		return r;
	r = fd_stat(fd, &st);
	if (r == 0 && st.st_size != VMM_CODE_IMAGE) {
		err_set(e, EINVAL, "firmware: the file has %llu bytes, not %u as OVMF_CODE_4M.fd",
			(unsigned long long)st.st_size, VMM_CODE_IMAGE);
		return err_code(e, "firmware-unfit");
	}
	if (r == 0)
		r = fd_pread_all(fd, fw->code, VMM_CODE_IMAGE, 0);
	if (r == 0)
		r = slots_add_rom(&fw->m->slots, CODE_BASE, VMM_CODE_IMAGE, fw->code, &slot);
	return r < 0 ? err_set(e, r, "firmware: %s", strerror(-r)) : 0;
}

/* The flash's own slot comes and goes while the guest looks at its status. */
static void vars_show(void *arg, bool array)
{
	struct firmware *fw = arg;
	struct slots *slots = &fw->m->slots;
	int r = array ? slots_add_rom(slots, VARS_BASE, VMM_VARS_IMAGE, fw->vars, &fw->vars_slot)
		      : slots_del(slots, fw->vars_slot);

	if (r < 0)
		machine_end_request(fw->m, MACHINE_INTERNAL_ERROR,
				    "variable flash: memory slot: %s", strerror(-r));
}

static void vars_settled(void *arg)
{
	flash_writer_wake(((struct firmware *)arg)->writer);
}

static int vars_create(struct firmware *fw, struct err *e)
{
	struct machine *m = fw->m;
	int r = pages_map(VMM_VARS_IMAGE, &fw->vars, e);

	if (r == 0)
		r = flash_store_open(&fw->store, m->spec->vars_fd, fw->vars, e);
	if (r < 0)
		return r;
	r = flash_init(&fw->flash, fw->vars, VMM_VARS_IMAGE);
	if (r < 0)
		return err_set(e, r, "variable flash: %s", strerror(-r));
	fw->flash.show = vars_show;
	fw->flash.settled = vars_settled;
	fw->flash.arg = fw;
	r = flash_writer_create(&fw->flash, &fw->store, &fw->writer, e);
	if (r < 0)
		return r;
	fw->vars_region = (struct io_region){ .name = "variable flash",
					      .base = VARS_BASE,
					      .size = VMM_VARS_IMAGE,
					      .ops = &flash_ops,
					      .owner = &fw->flash };
	r = bus_add(&m->mmio, &fw->vars_region);
	if (r < 0)
		fw->vars_region.size = 0;
	if (r == 0)
		r = slots_add_rom(&m->slots, VARS_BASE, VMM_VARS_IMAGE, fw->vars, &fw->vars_slot);
	return r < 0 ? err_set(e, r, "variable flash: %s", strerror(-r)) : 0;
}

static int e820_add(struct firmware *fw)
{
	const struct gmem *gm = &fw->m->gmem;
	uint8_t map[E820_ENTRY * ARRAY_SIZE(gm->slots)];

	for (unsigned int i = 0; i < gm->slot_count; i++) {
		put_le64(map + E820_ENTRY * i, gm->slots[i].gpa);
		put_le64(map + E820_ENTRY * i + 8, gm->slots[i].size);
		put_le32(map + E820_ENTRY * i + 16, E820_RAM);
	}
	return fwcfg_add_bytes(fw->fwcfg, 0, "etc/e820", map, E820_ENTRY * gm->slot_count);
}

static int smbios_add(struct firmware *fw)
{
	const struct vmm_spec *spec = fw->m->spec;
	const struct gmem *gm = &fw->m->gmem;
	const struct smbios_facts facts = { .name = spec->name,
					    .uuid = spec->uuid,
					    .cpu_count = spec->cpu_count,
					    .memory = spec->memory_size,
					    .low_ram = gm->slots[0].size,
					    .high_start = gm->slot_count > 1 ? gm->slots[1].gpa
									     : 0 };
	uint8_t anchor[SMBIOS_ANCHOR], tables[SMBIOS_TABLES];
	size_t len = smbios_make(&facts, anchor, tables);
	int r = fwcfg_add_bytes(fw->fwcfg, 0, "etc/smbios/smbios-anchor", anchor, sizeof(anchor));

	return r == 0 ? fwcfg_add_bytes(fw->fwcfg, 0, "etc/smbios/smbios-tables", tables, len) : r;
}

static int bootorder_add(struct firmware *fw)
{
	char order[DISKS_BOOTORDER];
	size_t len = disks_bootorder(fw->m->disks, order);

	/* An empty one would be another word than none: no boot option at all. */
	return len == 0 ? 0 : fwcfg_add_bytes(fw->fwcfg, 0, "bootorder", order, len);
}

static int fwcfg_fill(struct firmware *fw, struct err *e)
{
	const struct vmm_spec *spec = fw->m->spec;
	int r = fwcfg_add_le(fw->fwcfg, FWCFG_CPUS, 2, spec->cpu_count);

	if (r == 0)
		r = fwcfg_add_le(fw->fwcfg, FWCFG_CPUS_MAX, 2, spec->cpu_count);
	if (r == 0)
		r = fwcfg_add_bytes(fw->fwcfg, FWCFG_UUID, "", spec->uuid, sizeof(spec->uuid));
	if (r == 0)
		r = e820_add(fw);
	if (r == 0)
		r = smbios_add(fw);
	if (r == 0)
		r = bootorder_add(fw);
	if (r == 0)
		r = fwcfg_acpi_init(&fw->acpi, fw->m->pci, spec->cpu_count, fw->fwcfg);
	if (r < 0)
		return err_set(e, r, "fw_cfg: %s", strerror(-r));
	return firmware_kernel_add(fw->fwcfg, spec, e);
}

int firmware_create(struct machine *m, struct firmware **out, struct err *e)
{
	struct firmware *fw = calloc(1, sizeof(*fw));
	int r;

	if (fw == NULL)
		return err_set(e, ENOMEM, "firmware: out of memory");
	fw->m = m;
	r = code_load(fw, e);
	if (r == 0 && m->spec->vars_fd >= 0)
		r = vars_create(fw, e);
	if (r == 0)
		r = fwcfg_create(&m->gmem, &m->pio, &fw->fwcfg, e);
	if (r == 0)
		r = fwcfg_fill(fw, e);
	if (r < 0) {
		firmware_destroy(fw);
		return r;
	}
	*out = fw;
	return 0;
}

void firmware_destroy(struct firmware *fw)
{
	if (fw == NULL)
		return;
	fwcfg_destroy(fw->fwcfg);
	if (fw->vars_region.size != 0)
		bus_del(&fw->m->mmio, &fw->vars_region);
	flash_writer_destroy(fw->writer);
	flash_store_close(&fw->store);
	flash_fini(&fw->flash);
	/* Nobody runs the VM any more: its slots go with it. */
	if (fw->vars != NULL)
		munmap(fw->vars, VMM_VARS_IMAGE);
	if (fw->code != NULL)
		munmap(fw->code, VMM_CODE_IMAGE);
	free(fw);
}

void firmware_reset(struct firmware *fw)
{
	fwcfg_reset(fw->fwcfg);
	fwcfg_acpi_reset(&fw->acpi);
	if (fw->vars != NULL)
		flash_reset(&fw->flash);
}

json_t *firmware_status(struct firmware *fw)
{
	struct flash_writer_facts facts = { 0 };
	const char *state = "none";

	if (fw->writer != NULL) {
		flash_writer_facts(fw->writer, &facts);
		state = facts.error != 0 ? "failed" : facts.is_waiting ? "waiting" : "stored";
	}
	return json_pack("{s:s, s:I, s:s}", "vars", state, "commits", (json_int_t)facts.commits,
			 "error", facts.error != 0 ? strerror(facts.error) : "");
}
