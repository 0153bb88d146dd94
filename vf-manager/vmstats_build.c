// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/delivery.h"
#include "vf-manager/irqlines.h"
#include "vf-manager/vmstats.h"

#include "base/json.h"
#include "vmm/vmm_msg.h"

#include <errno.h>

#define NAMES_MAX   64
#define NAME_TEXT   48
#define REGIONS_MAX 128
#define REGION_TEXT 128

static const char *const exit_kinds[] = { "io", "mmio", "hlt", "other", NULL };
static const char *const access_kinds[] = { "reads", "writes", NULL };

static void sum_add(json_t *total, const char *name, uint64_t n)
{
	uint64_t have = (uint64_t)json_integer_value(json_object_get(total, name));

	/* Both are at most INT64_MAX. */
	json_object_set_new(total, name, json_integer((json_int_t)u64_min(have + n, INT64_MAX)));
}

/* An object of just these numbers, which are also added to total (unless NULL). */
static int counts_take(const json_t *from, const char *const *names, json_t *total, json_t **out,
		       struct err *e)
{
	auto_json json_t *j = json_object();

	for (size_t i = 0; names[i] != NULL; i++) {
		uint64_t n = 0;
		int r = json_get_u64(from, names[i], INT64_MAX, &n, e);

		if (r < 0)
			return r;
		json_object_set_new(j, names[i], json_integer((json_int_t)n));
		if (total != NULL)
			sum_add(total, names[i], n);
	}
	*out = json_incref(j);
	return 0;
}

static int member_counts_take(const json_t *from, const char *key, const char *const *names,
			      json_t *to, struct err *e)
{
	json_t *obj, *counts;
	int r = json_get_obj(from, key, &obj, e);

	if (r == 0)
		r = counts_take(obj, names, NULL, &counts, e);
	if (r == 0)
		json_object_set_new(to, key, counts);
	return r;
}

/* {"total":{..},"vcpus":[{..}..]} of what the VMM's own loop counted. */
static int returns_take(const json_t *reply, json_t *to, struct err *e)
{
	auto_json json_t *total = json_object(), *list = json_array();
	json_t *vcpus, *vcpu, *counts;
	size_t i;
	int r = json_get_array(reply, "vcpus", VMM_MAX_CPUS, &vcpus, e);

	if (r < 0)
		return r;
	json_array_foreach(vcpus, i, vcpu) {
		r = counts_take(vcpu, exit_kinds, total, &counts, e);
		if (r < 0)
			return err_wrap(e, "vCPU %zu", i);
		json_array_append_new(list, counts);
	}
	json_object_set_new(to, "returns", json_pack("{s:O, s:O}", "total", total, "vcpus", list));
	return 0;
}

static bool is_metric_name(const char *name)
{
	size_t len = name != NULL ? strlen(name) : 0;

	return len > 0 && len < NAME_TEXT &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

/* {NAME: value} of a list of names and a list of as many values. */
static int numbers_take(const json_t *names, const json_t *values, json_t *total, json_t **out,
			struct err *e)
{
	auto_json json_t *j = json_object();

	if (!json_is_array(values) || json_array_size(values) != json_array_size(names))
		return err_set(e, EINVAL, "%zu values for %zu names", json_array_size(values),
			       json_array_size(names));
	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));
		const json_t *value = json_array_get(values, i);

		if (!is_metric_name(name))
			return err_set(e, EINVAL, "name %zu is no name of a number", i);
		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return err_set(e, EINVAL, "%s is not a number of zero or more", name);
		json_object_set(j, name, (json_t *)value);
		if (total != NULL)
			sum_add(total, name, (uint64_t)json_integer_value(value));
	}
	*out = json_incref(j);
	return 0;
}

/* {"vm":{..},"total":{..},"vcpus":[{..}..]} of what KVM counted. */
static int kvm_take(const json_t *kvm, size_t vcpu_count, json_t *to, struct err *e)
{
	auto_json json_t *total = json_object(), *list = json_array(), *vm = NULL;
	json_t *vm_names, *vcpu_names, *vcpus, *values, *numbers;
	size_t i;
	int r = json_get_array(kvm, "vm_names", NAMES_MAX, &vm_names, e);

	if (r == 0)
		r = json_get_array(kvm, "vcpu_names", NAMES_MAX, &vcpu_names, e);
	if (r == 0)
		r = json_get_array(kvm, "vcpus", VMM_MAX_CPUS, &vcpus, e);
	if (r == 0)
		r = numbers_take(vm_names, json_object_get(kvm, "vm"), NULL, &vm, e);
	if (r < 0)
		return r;
	if (json_array_size(vcpus) != vcpu_count)
		return err_set(e, EINVAL, "%zu vCPUs here, %zu there", json_array_size(vcpus),
			       vcpu_count);
	json_array_foreach(vcpus, i, values) {
		r = numbers_take(vcpu_names, values, total, &numbers, e);
		if (r < 0)
			return err_wrap(e, "vCPU %zu", i);
		json_array_append_new(list, numbers);
	}
	json_object_set_new(to, "kvm",
			    json_pack("{s:O, s:O, s:O}", "vm", vm, "total", total, "vcpus", list));
	json_object_set_new(to, "kvm_absent", json_null());
	return 0;
}

static int kvm_or_absent_take(const json_t *reply, json_t *to, struct err *e)
{
	size_t vcpu_count = json_array_size(json_object_get(reply, "vcpus"));
	char absent[256] = "";
	json_t *kvm;
	int r;

	if (json_object_get(reply, "kvm") == NULL) {
		r = json_get_str(reply, "kvm_absent", absent, sizeof(absent), e);
		json_object_set_new(to, "kvm", json_null());
		json_object_set_new(to, "kvm_absent", json_string(absent));
		return r;
	}
	r = json_get_obj(reply, "kvm", &kvm, e);
	return r < 0 ? r : kvm_take(kvm, vcpu_count, to, e) < 0 ? err_wrap(e, "kvm") : 0;
}

static int region_take(const json_t *from, json_t *list, struct err *e)
{
	char space[8], name[REGION_TEXT];
	json_t *counts;
	int r = json_get_str(from, "space", space, sizeof(space), e);

	if (r == 0)
		r = json_get_str(from, "name", name, sizeof(name), e);
	if (r == 0 && strcmp(space, "pio") != 0 && strcmp(space, "mmio") != 0)
		r = err_set(e, EINVAL, "there is no space '%s'", space);
	if (r == 0)
		r = counts_take(from, access_kinds, NULL, &counts, e);
	if (r < 0)
		return r;
	json_object_set_new(counts, "space", json_string(space));
	json_object_set_new(counts, "name", json_string(name));
	json_array_append_new(list, counts);
	return 0;
}

static int regions_take(const json_t *reply, json_t *to, struct err *e)
{
	auto_json json_t *list = json_array();
	json_t *regions, *region;
	size_t i;
	int r = json_get_array(reply, "regions", REGIONS_MAX, &regions, e);

	if (r < 0)
		return r;
	json_array_foreach(regions, i, region) {
		r = region_take(region, list, e);
		if (r < 0)
			return err_wrap(e, "region %zu", i);
	}
	json_object_set(to, "regions", list);
	return 0;
}

static const json_t *device_find(const json_t *devices, const char *addr)
{
	json_t *dev;
	size_t i;

	json_array_foreach((json_t *)devices, i, dev) {
		const char *a = json_string_value(json_object_get(dev, "address"));

		if (a != NULL && strcmp(a, addr) == 0)
			return dev;
	}
	return NULL;
}

struct vectors {
	json_t *list;
	uint64_t total;
};

static void vector_add(void *arg, const struct irq_line *line)
{
	struct vectors *v = arg;

	v->total += line->count;
	json_array_append_new(v->list,
			      json_pack("{s:I, s:I, s:s, s:I}", "vector", (json_int_t)line->vector,
					"irq", (json_int_t)line->irq, "chip", line->chip,
					"interrupts", (json_int_t)u64_min(line->count, INT64_MAX)));
}

/* Of one port: trapped accesses by the VMM's word (null: it has no such device any more), interrupts by
 * the host's. */
static int port_build(const struct stats_source *src, const json_t *port, json_t *out,
		      struct err *e)
{
	const char *addr = json_string_value(json_object_get(port, "vf"));
	const json_t *dev = addr != NULL ? device_find(json_object_get(src->reply, "devices"), addr)
					 : NULL;
	struct vectors v = { .list = json_array() };
	enum delivery delivery = DELIVERY_UNKNOWN;
	char why[128] = "the port has no VF";
	int r = 0;

	json_object_set(out, "name", json_object_get(port, "name"));
	json_object_set(out, "vf", json_object_get(port, "vf"));
	json_object_set_new(out, "bar", json_null());
	json_object_set_new(out, "config", json_null());
	if (dev != NULL)
		r = member_counts_take(dev, "bar", access_kinds, out, e);
	if (dev != NULL && r == 0)
		r = member_counts_take(dev, "config", access_kinds, out, e);
	if (addr != NULL) {
		irq_lines_each(src->interrupts, addr, vector_add, &v);
		delivery = delivery_read(src->sysfs_fd, addr, why);
	}
	json_object_set_new(out, "interrupts",
			    json_integer((json_int_t)u64_min(v.total, INT64_MAX)));
	json_object_set_new(out, "vectors", v.list);
	json_object_set_new(out, "delivery", json_string(delivery_name(delivery)));
	json_object_set_new(out, "delivery_why", json_string(why));
	return r;
}

static int ports_build(const struct stats_source *src, json_t *to, struct err *e)
{
	auto_json json_t *list = json_array();
	json_t *devices, *port;
	size_t i;
	int r = json_get_array(src->reply, "devices", VMM_MAX_DEVICES, &devices, e);

	if (r < 0)
		return r;
	json_array_foreach((json_t *)src->ports, i, port) {
		json_t *one = json_object();

		json_array_append_new(list, one);
		r = port_build(src, port, one, e);
		if (r < 0)
			return err_wrap(e, "devices");
	}
	json_object_set(to, "ports", list);
	return 0;
}

int stats_build(const struct stats_source *src, json_t **out, struct err *e)
{
	auto_json json_t *j = json_object();
	uint64_t uptime_ns = 0;
	int r = json_get_u64(src->reply, "uptime_ns", INT64_MAX, &uptime_ns, e);

	if (r == 0)
		r = returns_take(src->reply, j, e);
	if (r == 0)
		r = kvm_or_absent_take(src->reply, j, e);
	if (r == 0)
		r = regions_take(src->reply, j, e);
	if (r == 0)
		r = ports_build(src, j, e);
	if (r < 0)
		return r;
	json_object_set_new(j, "uptime_ns", json_integer((json_int_t)uptime_ns));
	*out = json_incref(j);
	return 0;
}
