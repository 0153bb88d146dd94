// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmfile.h"

#include "vf-manager/vmspec.h"
#include "vf-manager/yamlload.h"

#include "vmm/vmm_msg.h"

#include <limits.h>

#define OPT	  (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define PORTS_MAX VMM_MAX_DEVICES
#define MACS_MAX  64

static const cyaml_schema_field_t memory_fields[] = {
	CYAML_FIELD_STRING_PTR("size", CYAML_FLAG_POINTER, struct vmfile_memory, size, 1, 32),
	CYAML_FIELD_STRING_PTR("hugepages", OPT, struct vmfile_memory, hugepages, 1, 8),
	CYAML_FIELD_STRING_PTR("numa", OPT, struct vmfile_memory, numa, 1, 16), CYAML_FIELD_END
};

static const cyaml_schema_value_t number = { CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, unsigned int) };

static const cyaml_schema_field_t cpus_fields[] = {
	CYAML_FIELD_UINT_PTR("count", OPT, struct vmfile_cpus, count),
	CYAML_FIELD_SEQUENCE("pin", OPT, struct vmfile_cpus, pin, &number, 0, VMM_MAX_CPUS),
	CYAML_FIELD_STRING_PTR("dedicated", OPT, struct vmfile_cpus, dedicated, 1, 16),
	CYAML_FIELD_STRING_PTR("core_scheduling", OPT, struct vmfile_cpus, core_scheduling, 1, 16),
	CYAML_FIELD_UINT_PTR("shares", OPT, struct vmfile_cpus, shares),
	CYAML_FIELD_END
};

static const cyaml_schema_value_t word = { CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 128) };

static const cyaml_schema_field_t boot_fields[] = {
	CYAML_FIELD_STRING_PTR("kernel", OPT, struct vmfile_boot, kernel, 1, PATH_MAX - 1),
	CYAML_FIELD_STRING_PTR("initrd", OPT, struct vmfile_boot, initrd, 1, PATH_MAX - 1),
	CYAML_FIELD_STRING_PTR("cmdline", OPT, struct vmfile_boot, cmdline, 0, VMM_MAX_CMDLINE),
	CYAML_FIELD_STRING_PTR("firmware", OPT, struct vmfile_boot, firmware, 1, 16),
	CYAML_FIELD_STRING_PTR("ready", OPT, struct vmfile_boot, ready, 1, VMM_MAX_READY),
	CYAML_FIELD_SEQUENCE("order", OPT, struct vmfile_boot, order, &word, 1, VMM_MAX_DISKS),
	CYAML_FIELD_END
};

static const cyaml_schema_field_t vlan_fields[] = {
	CYAML_FIELD_STRING_PTR("mode", OPT, struct vmfile_vlan, mode, 1, 16),
	CYAML_FIELD_SEQUENCE("ids", CYAML_FLAG_POINTER, struct vmfile_vlan, ids, &number, 1, 4094),
	CYAML_FIELD_STRING_PTR("proto", OPT, struct vmfile_vlan, proto, 1, 16),
	CYAML_FIELD_UINT_PTR("qos", OPT, struct vmfile_vlan, qos), CYAML_FIELD_END
};

static const cyaml_schema_value_t mac_text_value = { CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *,
									1, 32) };

#define PORT_TEXT(key, member) CYAML_FIELD_STRING_PTR(key, OPT, struct vmfile_port, member, 1, 128)

static const cyaml_schema_field_t port_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct vmfile_port, name, 1, 128),
	PORT_TEXT("network", network),
	PORT_TEXT("pf", pf),
	PORT_TEXT("vf", vf),
	PORT_TEXT("engine", engine),
	PORT_TEXT("fallback", fallback),
	PORT_TEXT("mac", mac),
	PORT_TEXT("spoofchk", spoofchk),
	PORT_TEXT("trust", trust),
	PORT_TEXT("link", link),
	PORT_TEXT("uplink_loss", uplink_loss),
	PORT_TEXT("on_fault", on_fault),
	PORT_TEXT("rate", rate),
	PORT_TEXT("min_rate", min_rate),
	CYAML_FIELD_UINT_PTR("mtu", OPT, struct vmfile_port, mtu),
	CYAML_FIELD_SEQUENCE("anti_affinity", OPT, struct vmfile_port, anti_affinity, &word, 1,
			     VM_PORT_WORDS),
	CYAML_FIELD_SEQUENCE("macs", OPT, struct vmfile_port, macs, &mac_text_value, 1, MACS_MAX),
	CYAML_FIELD_UINT_PTR("queues", OPT, struct vmfile_port, queues),
	CYAML_FIELD_UINT_PTR("queue_size", OPT, struct vmfile_port, queue_size),
	CYAML_FIELD_UINT_PTR("storm", OPT, struct vmfile_port, storm),
	PORT_TEXT("backend_grace", backend_grace),
	CYAML_FIELD_MAPPING_PTR("vlan", OPT, struct vmfile_port, vlan, vlan_fields),
	CYAML_FIELD_END
};

static const cyaml_schema_value_t port_value = { CYAML_VALUE_MAPPING(
	CYAML_FLAG_DEFAULT, struct vmfile_port, port_fields) };

static const cyaml_schema_field_t disk_fields[] = {
	CYAML_FIELD_STRING_PTR("path", CYAML_FLAG_POINTER, struct vmfile_disk, path, 1,
			       PATH_MAX - 1),
	CYAML_FIELD_STRING_PTR("name", OPT, struct vmfile_disk, name, 1, 128),
	CYAML_FIELD_STRING_PTR("readonly", OPT, struct vmfile_disk, readonly, 1, 8),
	CYAML_FIELD_STRING_PTR("serial", OPT, struct vmfile_disk, serial, 1, 128),
	CYAML_FIELD_STRING_PTR("cache", OPT, struct vmfile_disk, cache, 1, 16),
	CYAML_FIELD_STRING_PTR("format", OPT, struct vmfile_disk, format, 1, 16),
	CYAML_FIELD_STRING_PTR("bandwidth", OPT, struct vmfile_disk, bandwidth, 1, 32),
	CYAML_FIELD_UINT_PTR("queues", OPT, struct vmfile_disk, queues),
	CYAML_FIELD_UINT_PTR("queue_size", OPT, struct vmfile_disk, queue_size),
	CYAML_FIELD_UINT_PTR("iops", OPT, struct vmfile_disk, iops),
	CYAML_FIELD_END
};

static const cyaml_schema_value_t disk_value = { CYAML_VALUE_MAPPING(
	CYAML_FLAG_DEFAULT, struct vmfile_disk, disk_fields) };

static const cyaml_schema_field_t function_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct vmfile_function, name, 1, 128),
	CYAML_FIELD_STRING_PTR("address", CYAML_FLAG_POINTER, struct vmfile_function, address, 1,
			       128),
	CYAML_FIELD_STRING_PTR("take", OPT, struct vmfile_function, take, 1, 8),
	CYAML_FIELD_STRING_PTR("on_fault", OPT, struct vmfile_function, on_fault, 1, 128),
	CYAML_FIELD_END
};

static const cyaml_schema_value_t function_value = { CYAML_VALUE_MAPPING(
	CYAML_FLAG_DEFAULT, struct vmfile_function, function_fields) };

static const cyaml_schema_field_t cloud_init_fields[] = {
	CYAML_FIELD_STRING_PTR("user_data", OPT, struct vmfile_cloud_init, user_data, 1,
			       PATH_MAX - 1),
	CYAML_FIELD_STRING_PTR("meta_data", OPT, struct vmfile_cloud_init, meta_data, 1,
			       PATH_MAX - 1),
	CYAML_FIELD_STRING_PTR("network_config", OPT, struct vmfile_cloud_init, network_config, 1,
			       PATH_MAX - 1),
	CYAML_FIELD_STRING_PTR("hostname", OPT, struct vmfile_cloud_init, hostname, 1, 256),
	CYAML_FIELD_END
};

static const cyaml_schema_field_t autostart_fields[] = {
	CYAML_FIELD_UINT_PTR("order", OPT, struct vmfile_autostart, order),
	CYAML_FIELD_UINT_PTR("delay", OPT, struct vmfile_autostart, delay),
	CYAML_FIELD_SEQUENCE("after", OPT, struct vmfile_autostart, after, &word, 0, KEEP_AFTER),
	CYAML_FIELD_END
};

static const cyaml_schema_field_t on_crash_fields[] = {
	CYAML_FIELD_STRING_PTR("action", OPT, struct vmfile_on_crash, action, 1, 16),
	CYAML_FIELD_UINT_PTR("backoff", OPT, struct vmfile_on_crash, backoff),
	CYAML_FIELD_UINT_PTR("max", OPT, struct vmfile_on_crash, max),
	CYAML_FIELD_UINT_PTR("within", OPT, struct vmfile_on_crash, within), CYAML_FIELD_END
};

static const cyaml_schema_field_t stop_fields[] = {
	CYAML_FIELD_UINT_PTR("timeout", OPT, struct vmfile_stop, timeout), CYAML_FIELD_END
};

static const cyaml_schema_field_t test_fields[] = {
	CYAML_FIELD_STRING_PTR("low_ram_limit", OPT, struct vmfile_test, low_ram_limit, 1, 32),
	CYAML_FIELD_END
};

static const cyaml_schema_field_t file_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct vmfile, name, 1, 128),
	CYAML_FIELD_MAPPING_PTR("memory", CYAML_FLAG_POINTER, struct vmfile, memory, memory_fields),
	CYAML_FIELD_MAPPING_PTR("cpus", OPT, struct vmfile, cpus, cpus_fields),
	CYAML_FIELD_MAPPING_PTR("boot", CYAML_FLAG_POINTER, struct vmfile, boot, boot_fields),
	CYAML_FIELD_SEQUENCE("disks", OPT, struct vmfile, disks, &disk_value, 0, VMM_MAX_DISKS),
	CYAML_FIELD_SEQUENCE("ports", OPT, struct vmfile, ports, &port_value, 0, PORTS_MAX),
	CYAML_FIELD_SEQUENCE("functions", OPT, struct vmfile, functions, &function_value, 0,
			     PORTS_MAX),
	CYAML_FIELD_STRING_PTR("on_panic", OPT, struct vmfile, on_panic, 1, 16),
	CYAML_FIELD_STRING_PTR("watchdog", OPT, struct vmfile, watchdog, 1, 16),
	CYAML_FIELD_STRING_PTR("backend_grace", OPT, struct vmfile, backend_grace, 1, 16),
	CYAML_FIELD_STRING_PTR("rng", OPT, struct vmfile, rng, 1, 16),
	CYAML_FIELD_STRING_PTR("virtio_console", OPT, struct vmfile, virtio_console, 1, 16),
	CYAML_FIELD_STRING_PTR("vsock", OPT, struct vmfile, vsock, 1, 16),
	CYAML_FIELD_MAPPING_PTR("cloud_init", OPT, struct vmfile, cloud_init, cloud_init_fields),
	CYAML_FIELD_MAPPING_PTR("autostart", OPT, struct vmfile, autostart, autostart_fields),
	CYAML_FIELD_MAPPING_PTR("on_crash", OPT, struct vmfile, on_crash, on_crash_fields),
	CYAML_FIELD_MAPPING_PTR("stop", OPT, struct vmfile, stop, stop_fields),
	CYAML_FIELD_MAPPING_PTR("test", OPT, struct vmfile, test, test_fields),
	CYAML_FIELD_END
};

static const cyaml_schema_value_t file_schema = { CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER,
								      struct vmfile, file_fields) };

static const struct yaml_later later[] = {
	{ "owner", "an owner is" },
	{ "balloon", "a memory balloon is",
	  "all of a guest's memory is there from its start and pinned where a device does DMA, so none could be taken back" },
	{ NULL, NULL },
};

static const struct yaml_kind vm_kind = { &file_schema, later, "the manual page viaduct-vm(5)" };

int vmfile_load(const char *text, size_t len, struct vmfile **out, struct err *e)
{
	void *data = NULL;
	int r = yaml_load(&vm_kind, text, len, &data, e);

	if (r == 0)
		*out = data;
	return r;
}

void vmfile_free(struct vmfile *file)
{
	yaml_free(&vm_kind, file);
}
