// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/spec.h"

#include "vmm/kvm.h"
#include "vmm/spec_disks.h"
#include "vmm/spec_extras.h"
#include "vmm/spec_firmware.h"
#include "vmm/spec_nets.h"

#include "base/cpulist.h"
#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define KVM_API 12 /* the only version there has been since Linux 2.6.22 */

/* Names of members of the DMA space */
#define GROUP "group:"
#define CDEV  "cdev:"

#define VHOST "vhost:"
#define DISK  "disk:"
#define IMAGE "image:"

static int file_type_check(int fd, const char *name, mode_t type, struct err *e)
{
	struct stat st;
	int r = fd_stat(fd, &st);

	if (r < 0)
		return err_set(e, r, "fd \"%s\": %s", name, strerror(-r));
	if ((st.st_mode & S_IFMT) != type)
		return err_set(e, EINVAL, "fd \"%s\" is no %s", name,
			       type == S_IFREG	 ? "regular file"
			       : type == S_IFCHR ? "character device"
						 : "socket");
	return 0;
}

static int kvm_check(int fd, const char *name, struct err *e)
{
	int r = file_type_check(fd, name, S_IFCHR, e);

	if (r < 0)
		return r;
	r = kvm_api_version(fd);
	if (r != KVM_API)
		return err_set(e, EINVAL, "fd \"%s\" is not /dev/kvm (API version %d, not %d)",
			       name, r, KVM_API);
	return 0;
}

static int listening_check(int fd, const char *name, int type, struct err *e)
{
	static const struct {
		int option;
		const char *what;
	} options[] = {
		{ SO_DOMAIN, "Unix socket" },
		{ SO_TYPE, "socket of the right type" },
		{ SO_ACCEPTCONN, "listening socket" },
	};
	const int want[ARRAY_SIZE(options)] = { AF_UNIX, type, 1 };
	int r = file_type_check(fd, name, S_IFSOCK, e);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(options); i++) {
		int value = -1;
		socklen_t len = sizeof(value);

		if (getsockopt(fd, SOL_SOCKET, options[i].option, &value, &len) < 0 ||
		    value != want[i])
			r = err_set(e, EINVAL, "fd \"%s\" is no %s", name, options[i].what);
	}
	return r;
}

static int control_listener_check(int fd, const char *name, struct err *e)
{
	return listening_check(fd, name, SOCK_SEQPACKET, e);
}

static int console_listener_check(int fd, const char *name, struct err *e)
{
	return listening_check(fd, name, SOCK_STREAM, e);
}

static int access_check(int fd, const char *name, int denied, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || (flags & O_ACCMODE) == denied || (flags & O_PATH) != 0)
		return err_set(e, EBADF, "fd \"%s\" is not open for %s", name,
			       denied == O_RDONLY ? "writing" : "reading");
	return file_type_check(fd, name, S_IFREG, e);
}

static int writable_check(int fd, const char *name, struct err *e)
{
	return access_check(fd, name, O_RDONLY, e);
}

static int readable_check(int fd, const char *name, struct err *e)
{
	return access_check(fd, name, O_WRONLY, e);
}

static int both_check(int fd, const char *name, struct err *e)
{
	int r = writable_check(fd, name, e);

	return r == 0 ? readable_check(fd, name, e) : r;
}

static int device_check(int fd, const char *name, struct err *e)
{
	return file_type_check(fd, name, S_IFCHR, e);
}

/* Every fd of the launch message: name, where it goes, whether a VM needs it, what it must be. */
static const struct fd_row {
	const char *name;
	size_t offset;
	bool required;
	int (*check)(int fd, const char *name, struct err *e);
} fd_rows[] = {
	{ "kvm", offsetof(struct vmm_spec, kvm_fd), true, kvm_check },
	{ "listener", offsetof(struct vmm_spec, listener_fd), true, control_listener_check },
	{ "console", offsetof(struct vmm_spec, console_fd), true, console_listener_check },
	{ "exit_record", offsetof(struct vmm_spec, exit_record_fd), true, writable_check },
	{ "kernel", offsetof(struct vmm_spec, kernel_fd), false, readable_check },
	{ "initrd", offsetof(struct vmm_spec, initrd_fd), false, readable_check },
	{ "firmware", offsetof(struct vmm_spec, firmware_fd), false, readable_check },
	{ "vars", offsetof(struct vmm_spec, vars_fd), false, both_check },
	{ "console_log", offsetof(struct vmm_spec, console_log_fd), false, writable_check },
	{ "console_log_old", offsetof(struct vmm_spec, console_log_old_fd), false, writable_check },
	{ "hvc0", offsetof(struct vmm_spec, hvc0_fd), false, console_listener_check },
	{ "vhost_vsock", offsetof(struct vmm_spec, vhost_vsock_fd), false, device_check },
	{ "container", offsetof(struct vmm_spec, container_fd), false, device_check },
	{ "iommufd", offsetof(struct vmm_spec, iommufd_fd), false, device_check },
};

static int *fd_member(struct vmm_spec *spec, const struct fd_row *row)
{
	return (int *)((char *)spec + row->offset);
}

void vmm_spec_init(struct vmm_spec *spec)
{
	memset(spec, 0, sizeof(*spec));
	for (size_t i = 0; i < ARRAY_SIZE(fd_rows); i++)
		*fd_member(spec, &fd_rows[i]) = -1;
	for (unsigned int i = 0; i < VMM_MAX_CPUS; i++)
		spec->cpu_pin[i] = -1;
	spec->numa_node = -1;
}

void vmm_spec_fini(struct vmm_spec *spec)
{
	for (size_t i = 0; i < ARRAY_SIZE(fd_rows); i++)
		fd_close(fd_member(spec, &fd_rows[i]));
	for (unsigned int i = 0; i < spec->member_count; i++)
		fd_close(&spec->members[i].fd);
	spec->member_count = 0;
	for (unsigned int i = 0; i < spec->vhost_count; i++)
		fd_close(&spec->vhosts[i].fd);
	spec->vhost_count = 0;
	for (unsigned int i = 0; i < spec->disk_fds_count; i++) {
		fd_close(&spec->disk_fds[i].socket_fd);
		fd_close(&spec->disk_fds[i].image_fd);
	}
	spec->disk_fds_count = 0;
}

/* Names have one spelling, so that devices find their members by them. */
static int member_name(const char *name, char out[32], struct err *e)
{
	char address[PCI_ADDR_TEXT];
	struct pci_addr addr;
	uint64_t nr;

	if (strncmp(name, CDEV, strlen(CDEV)) == 0) {
		if (parse_pci_addr(name + strlen(CDEV), &addr) < 0)
			return err_set(e, EINVAL, "fd \"%s\": no PCI address", name);
		snprintf(out, 32, CDEV "%s", pci_addr_text(&addr, address));
		return 0;
	}
	if (parse_u64(name + strlen(GROUP), UINT32_MAX, &nr) < 0)
		return err_set(e, EINVAL, "fd \"%s\": no group number", name);
	snprintf(out, 32, GROUP "%u", (uint32_t)nr);
	return 0;
}

static int member_take(struct vmm_spec *spec, const char *name, int *fd, struct err *e)
{
	struct vmm_member_spec *m = &spec->members[spec->member_count];
	char text[sizeof(m->name)];
	int r = member_name(name, text, e);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < spec->member_count; i++)
		if (strcmp(spec->members[i].name, text) == 0)
			return err_set(e, EINVAL, "fd \"%s\" is there twice", name);
	if (spec->member_count == ARRAY_SIZE(spec->members))
		return err_set(e, ERANGE, "more than %d groups or device files", VMM_MAX_DEVICES);
	r = device_check(*fd, name, e);
	if (r < 0)
		return r;
	memcpy(m->name, text, sizeof(text));
	m->fd = fd_take(fd);
	spec->member_count++;
	return 0;
}

static int vhost_take(struct vmm_spec *spec, const char *name, int *fd, struct err *e)
{
	int r = console_listener_check(*fd, name, e);

	return r < 0 ? r : spec_vhost_take(spec, name + strlen(VHOST), fd, e);
}

static int disk_socket_take(struct vmm_spec *spec, const char *name, int *fd, struct err *e)
{
	int r = console_listener_check(*fd, name, e);

	return r < 0 ? r : spec_disk_socket_take(spec, name + strlen(DISK), fd, e);
}

static int fd_place(struct vmm_spec *spec, const char *name, int *fd, struct err *e)
{
	if (strncmp(name, VHOST, strlen(VHOST)) == 0)
		return vhost_take(spec, name, fd, e);
	if (strncmp(name, DISK, strlen(DISK)) == 0)
		return disk_socket_take(spec, name, fd, e);
	if (strncmp(name, IMAGE, strlen(IMAGE)) == 0)
		return spec_disk_image_take(spec, name + strlen(IMAGE), fd, e);
	if (strncmp(name, GROUP, strlen(GROUP)) == 0 || strncmp(name, CDEV, strlen(CDEV)) == 0)
		return member_take(spec, name, fd, e);
	for (size_t i = 0; i < ARRAY_SIZE(fd_rows); i++) {
		int r;

		if (strcmp(fd_rows[i].name, name) != 0)
			continue;
		if (*fd_member(spec, &fd_rows[i]) >= 0)
			return err_set(e, EINVAL, "fd \"%s\" is there twice", name);
		r = fd_rows[i].check(*fd, name, e);
		if (r == 0)
			*fd_member(spec, &fd_rows[i]) = fd_take(fd);
		return r;
	}
	return err_set(e, EINVAL, "fd \"%s\" is unknown to this version", name);
}

static int fds_parse(struct vmm_spec *spec, struct seqmsg *m, struct err *e)
{
	json_t *names;
	int r = json_get_array(m->body, "fds", SEQMSG_FDS, &names, e);

	if (r < 0)
		return r;
	if (json_array_size(names) != m->fd_count)
		return err_set(e, EINVAL, "%zu fds came and %zu are named", m->fd_count,
			       json_array_size(names));
	for (size_t i = 0; i < m->fd_count; i++) {
		const char *name = json_string_value(json_array_get(names, i));

		if (name == NULL)
			return err_set(e, EINVAL, "fds: item %zu is no string", i);
		r = fd_place(spec, name, &m->fds[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int fds_required_check(struct vmm_spec *spec, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(fd_rows); i++)
		if (fd_rows[i].required && *fd_member(spec, &fd_rows[i]) < 0)
			return err_set(e, ENOENT, "fd \"%s\" is missing", fd_rows[i].name);
	return 0;
}

/* "" and absent: the empty set. */
static int cpu_list_get(const json_t *obj, const char *key, cpu_set_t *out, struct err *e)
{
	char text[CPU_LIST_TEXT] = "";
	int r = json_get_str_opt(obj, key, text, sizeof(text), e);

	if (r == 0)
		r = cpu_list_parse(text, out);
	return r < 0 ? err_set(e, r, "%s: '%.32s' is no list of host CPUs", key, text) : 0;
}

static int numa_parse(struct vmm_spec *spec, const json_t *mem, struct err *e)
{
	static const char *const keys[] = { "node", "strict", "cpus", NULL };
	uint64_t node = 0;
	json_t *numa;
	int r;

	if (json_object_get(mem, "numa") == NULL)
		return 0;
	r = json_get_obj(mem, "numa", &numa, e);
	if (r == 0)
		r = json_check_keys(numa, keys, e);
	if (r == 0)
		r = json_get_u64(numa, "node", VMM_MAX_NODE, &node, e);
	if (r == 0)
		r = json_get_bool_opt(numa, "strict", &spec->numa_is_strict, e);
	if (r == 0)
		r = cpu_list_get(numa, "cpus", &spec->numa_cpus, e);
	spec->numa_node = (int)node;
	return r < 0 ? err_wrap(e, "numa") : 0;
}

static int memory_parse(struct vmm_spec *spec, const json_t *obj, struct err *e)
{
	static const char *const keys[] = { "size",	 "hugepage", "hugepage_fallback",
					    "low_limit", "numa",     NULL };
	json_t *mem;
	int r = json_get_obj(obj, "memory", &mem, e);

	/* gmem_create() knows which sizes are possible. */
	if (r == 0)
		r = json_check_keys(mem, keys, e);
	if (r == 0)
		r = json_get_u64(mem, "size", UINT64_MAX, &spec->memory_size, e);
	if (r == 0)
		r = json_get_u64_opt(mem, "hugepage", UINT64_MAX, &spec->hugepage, e);
	if (r == 0)
		r = json_get_bool_opt(mem, "hugepage_fallback", &spec->hugepage_fallback, e);
	if (r == 0)
		r = json_get_u64_opt(mem, "low_limit", UINT64_MAX, &spec->low_limit, e);
	return r == 0 ? numa_parse(spec, mem, e) : r;
}

static int pins_parse(struct vmm_spec *spec, const json_t *cpus, struct err *e)
{
	json_t *pins;
	size_t count;
	int r;

	if (json_object_get(cpus, "pin") == NULL)
		return 0;
	r = json_get_array(cpus, "pin", VMM_MAX_CPUS, &pins, e);
	if (r < 0)
		return r;
	count = json_array_size(pins);
	if (count != 0 && count != spec->cpu_count)
		return err_set(e, EINVAL, "pin: %zu host CPUs for %u vCPUs", count,
			       spec->cpu_count);
	for (size_t i = 0; i < count; i++) {
		const json_t *pin = json_array_get(pins, i);
		json_int_t cpu = json_integer_value(pin);

		if (!json_is_integer(pin) || cpu < 0 || cpu >= CPU_SETSIZE)
			return err_set(e, ERANGE, "pin: item %zu is no host CPU (0 to %d)", i,
				       CPU_SETSIZE - 1);
		spec->cpu_pin[i] = (int)cpu;
	}
	return 0;
}

static int dedicated_check(const struct vmm_spec *spec, struct err *e)
{
	if (!spec->cpus_are_dedicated)
		return 0;
	for (unsigned int i = 0; i < spec->cpu_count; i++) {
		if (spec->cpu_pin[i] < 0)
			return err_set(e, EINVAL, "dedicated: vCPU %u is not pinned", i);
		if (CPU_ISSET(spec->cpu_pin[i], &spec->own_cpus))
			return err_set(e, EINVAL, "own: host CPU %d is that of vCPU %u",
				       spec->cpu_pin[i], i);
		for (unsigned int k = 0; k < i; k++)
			if (spec->cpu_pin[k] == spec->cpu_pin[i])
				return err_set(e, EINVAL, "dedicated: host CPU %d has two vCPUs",
					       spec->cpu_pin[i]);
	}
	return 0;
}

static int cpus_parse(struct vmm_spec *spec, const json_t *obj, struct err *e)
{
	static const char *const keys[] = { "count", "pin", "dedicated", "own", NULL };
	uint64_t count = 0;
	json_t *cpus;
	int r = json_get_obj(obj, "cpus", &cpus, e);

	if (r == 0)
		r = json_check_keys(cpus, keys, e);
	if (r == 0)
		r = json_get_u64(cpus, "count", UINT32_MAX, &count, e);
	if (r < 0)
		return r;
	if (count < 1 || count > VMM_MAX_CPUS)
		return err_set(e, ERANGE, "count of %llu vCPUs: must be 1 to %d",
			       (unsigned long long)count, VMM_MAX_CPUS);
	spec->cpu_count = (unsigned int)count;
	r = pins_parse(spec, cpus, e);
	if (r == 0)
		r = json_get_bool_opt(cpus, "dedicated", &spec->cpus_are_dedicated, e);
	if (r == 0)
		r = cpu_list_get(cpus, "own", &spec->own_cpus, e);
	return r == 0 ? dedicated_check(spec, e) : r;
}

/* One kind of DMA space, and members of that kind. */
static int members_check(const struct vmm_spec *spec, struct err *e)
{
	const char *kind = spec->iommufd_fd >= 0 ? CDEV : GROUP;

	if (spec->container_fd >= 0 && spec->iommufd_fd >= 0)
		return err_set(e, EINVAL, "fds \"container\" and \"iommufd\" exclude each other");
	for (unsigned int i = 0; i < spec->member_count; i++)
		if (strncmp(spec->members[i].name, kind, strlen(kind)) != 0)
			return err_set(e, EINVAL,
				       "fd \"%s\": this VM's DMA space takes \"%s\" ones",
				       spec->members[i].name, kind);
	return 0;
}

static int device_member_find(const struct vmm_spec *spec, struct vmm_device_spec *dev,
			      struct err *e)
{
	char name[sizeof(spec->members[0].name)], address[PCI_ADDR_TEXT];

	if (spec->iommufd_fd >= 0)
		snprintf(name, sizeof(name), CDEV "%s", pci_addr_text(&dev->address, address));
	else
		snprintf(name, sizeof(name), GROUP "%u", dev->group);
	for (dev->member = 0; dev->member < spec->member_count; dev->member++)
		if (strcmp(spec->members[dev->member].name, name) == 0)
			break;
	if (dev->member == spec->member_count)
		return err_set(e, ENOENT, "fd \"%s\" is missing", name);
	if (spec->container_fd < 0 && spec->iommufd_fd < 0)
		return err_set(e, ENOENT, "fd \"container\" is missing");
	return 0;
}

static int device_parse(struct vmm_spec *spec, const json_t *obj, struct err *e)
{
	static const char *const keys[] = { "port", "address", "group", NULL };
	struct vmm_device_spec *dev = &spec->devices[spec->device_count];
	char address[PCI_ADDR_TEXT];
	uint64_t group = 0;
	int r = json_check_keys(obj, keys, e);

	if (r == 0)
		r = json_get_str(obj, "port", dev->port, sizeof(dev->port), e);
	if (r == 0)
		r = json_get_str(obj, "address", address, sizeof(address), e);
	if (r == 0)
		r = json_get_u64(obj, "group", UINT32_MAX, &group, e);
	if (r < 0)
		return r;
	if (parse_name(dev->port) < 0)
		return err_set(e, EINVAL, "port \"%s\" is no name", dev->port);
	if (parse_pci_addr(address, &dev->address) < 0)
		return err_set(e, EINVAL, "address \"%s\" is no PCI address", address);
	for (unsigned int i = 0; i < spec->device_count; i++)
		if (strcmp(spec->devices[i].port, dev->port) == 0 ||
		    pci_addr_cmp(&spec->devices[i].address, &dev->address) == 0)
			return err_set(e, EINVAL, "port %s or address %s is there twice", dev->port,
				       address);
	dev->group = (uint32_t)group;
	r = device_member_find(spec, dev, e);
	if (r == 0)
		spec->device_count++;
	return r;
}

static int devices_parse(struct vmm_spec *spec, const json_t *obj, struct err *e)
{
	json_t *list, *item;
	size_t i;
	int r = members_check(spec, e);

	if (r < 0 || json_object_get(obj, "devices") == NULL)
		return r;
	r = json_get_array(obj, "devices", VMM_MAX_DEVICES, &list, e);
	if (r < 0)
		return r;
	json_array_foreach(list, i, item) {
		r = device_parse(spec, item, e);
		if (r < 0)
			return err_wrap(e, "devices: item %zu", i);
	}
	return 0;
}

static int boot_parse(struct vmm_spec *spec, const json_t *obj, struct err *e)
{
	static const char *const keys[] = { "cmdline", "ready", NULL };
	json_t *boot;
	int r = json_get_obj(obj, "boot", &boot, e);

	if (r == 0)
		r = json_check_keys(boot, keys, e);
	if (r == 0)
		r = json_get_str_opt(boot, "cmdline", spec->cmdline, sizeof(spec->cmdline), e);
	if (r == 0)
		r = json_get_str_opt(boot, "ready", spec->ready, sizeof(spec->ready), e);
	return r;
}

/* A word of the table; without the key *out stays. */
static int word_parse(const json_t *obj, const char *key, const char *const *words,
		      unsigned int *out, struct err *e)
{
	char word[16] = "";
	int r = json_get_str_opt(obj, key, word, sizeof(word), e);

	if (r < 0 || word[0] == '\0')
		return r;
	for (unsigned int i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], word) == 0) {
			*out = i;
			return 0;
		}
	}
	return err_set(e, EINVAL, "%s: \"%s\" is unknown to this version", key, word);
}

static int life_parse(struct vmm_spec *spec, const json_t *obj, struct err *e)
{
	static const char *const panics[VMM_PANICS + 1] = VMM_PANIC_WORDS;
	static const char *const watchdogs[VMM_WATCHDOGS + 1] = VMM_WATCHDOG_WORDS;
	unsigned int panic = VMM_PANIC_RESTART, watchdog = VMM_WATCHDOG_RESET;
	int r = word_parse(obj, "on_panic", panics, &panic, e);

	if (r == 0)
		r = word_parse(obj, "watchdog", watchdogs, &watchdog, e);
	spec->on_panic = panic;
	spec->watchdog = watchdog;
	return r;
}

int vmm_spec_parse(struct vmm_spec *spec, struct seqmsg *m, struct err *e)
{
	static const char *const keys[] = { "name",	"memory", "cpus",  "boot",
					    "devices",	"nets",	  "disks", "on_panic",
					    "watchdog", "uuid",	  "rng",   "virtio_console",
					    "vsock",	NULL };
	json_t *obj;
	int r = fds_parse(spec, m, e);

	if (r == 0)
		r = json_get_obj(m->body, "spec", &obj, e);
	if (r == 0)
		r = json_check_keys(obj, keys, e);
	if (r == 0)
		r = json_get_str(obj, "name", spec->name, sizeof(spec->name), e);
	if (r < 0)
		return r;
	if (parse_name(spec->name) < 0)
		return err_set(e, EINVAL, "name \"%s\" is no name for a VM", spec->name);
	r = life_parse(spec, obj, e);
	if (r < 0)
		return r;
	r = memory_parse(spec, obj, e);
	if (r < 0)
		return err_wrap(e, "memory");
	r = cpus_parse(spec, obj, e);
	if (r < 0)
		return err_wrap(e, "cpus");
	r = boot_parse(spec, obj, e);
	if (r < 0)
		return err_wrap(e, "boot");
	r = devices_parse(spec, obj, e);
	if (r == 0)
		r = spec_nets_parse(spec, obj, e);
	if (r == 0)
		r = spec_disks_parse(spec, obj, e);
	if (r == 0)
		r = spec_extras_parse(spec, obj, e);
	if (r == 0)
		r = fds_required_check(spec, e);
	return r == 0 ? spec_firmware_parse(spec, obj, e) : r;
}
