// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/launch.h"

#include "base/control.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/parse.h"

#include <errno.h>
#include <sched.h>
#include <sys/socket.h>

void pmd_launch_init(struct pmd_launch *l)
{
	memset(l, 0, sizeof(*l));
	l->listener = -1;
	l->uplink_kinds = BIT(PMD_UPLINK_KINDS) - 1;
}

void pmd_launch_fini(struct pmd_launch *l)
{
	fd_close(&l->listener);
}

int pmd_role_refuse(const struct pmd_launch *l, struct err *e)
{
	static const char *const words[] = PMD_ROLE_WORDS;

	err_set(e, EOPNOTSUPP, "a request that role \"%s\" has not", words[l->role]);
	return err_code(e, "unknown-request");
}

int pmd_word_find(const char *const *words, size_t count, const char *key, const char *text,
		  struct err *e)
{
	char list[128] = "";

	for (size_t i = 0; i < count; i++) {
		if (strcmp(words[i], text) == 0)
			return (int)i;
		strncat(list, i == 0 ? "" : ", ", sizeof(list) - strlen(list) - 1);
		strncat(list, words[i], sizeof(list) - strlen(list) - 1);
	}
	return err_set(e, EINVAL, "%s: \"%.32s\" is none of %s", key, text, list);
}

static int cpus_parse(struct pmd_launch *l, const json_t *spec, struct err *e)
{
	json_t *list = NULL, *item;
	size_t i;
	int r = json_get_array(spec, "cpus", PMD_MAX_LCORES, &list, e);

	if (r < 0)
		return r;
	json_array_foreach(list, i, item) {
		json_int_t cpu = json_is_integer(item) ? json_integer_value(item) : -1;

		if (cpu < 0 || cpu >= CPU_SETSIZE)
			return err_set(e, EINVAL, "cpus: item %zu is no number of a CPU", i);
		for (unsigned int k = 0; k < l->cpu_count; k++)
			if (l->cpus[k] == (unsigned int)cpu)
				return err_set(e, EINVAL, "cpus: CPU %u is there twice",
					       l->cpus[k]);
		l->cpus[l->cpu_count++] = (unsigned int)cpu;
	}
	return 0;
}

static int uids_parse(struct pmd_launch *l, const json_t *spec, struct err *e)
{
	json_t *list = NULL;
	uint32_t *out[2] = { &l->guest_uid_first, &l->guest_uid_count };
	int r = json_get_array(spec, "guest_uid", 2, &list, e);

	if (r < 0)
		return r;
	if (json_array_size(list) != 2)
		return err_set(e, EINVAL, "guest_uid: two numbers, the first uid and how many");
	for (size_t i = 0; i < 2; i++) {
		json_t *item = json_array_get(list, i);
		json_int_t v = json_is_integer(item) ? json_integer_value(item) : -1;

		if (v < 0 || v > UINT32_MAX)
			return err_set(e, EINVAL, "guest_uid: item %zu is no uid", i);
		*out[i] = (uint32_t)v;
	}
	if (l->guest_uid_count > UINT32_MAX - l->guest_uid_first)
		return err_set(e, EINVAL, "guest_uid: goes beyond the last uid");
	return 0;
}

static int kinds_parse(struct pmd_launch *l, const json_t *spec, struct err *e)
{
	static const char *const words[] = PMD_UPLINK_WORDS;
	json_t *list = NULL, *item;
	size_t i;
	int r;

	if (json_object_get(spec, "uplink_kinds") == NULL)
		return 0;
	r = json_get_array(spec, "uplink_kinds", PMD_UPLINK_KINDS, &list, e);
	if (r < 0)
		return r;
	l->uplink_kinds = 0;
	json_array_foreach(list, i, item) {
		const char *text = json_string_value(item);

		r = pmd_word_find(words, ARRAY_SIZE(words), "uplink_kinds", text ? text : "", e);
		if (r < 0)
			return r;
		l->uplink_kinds |= BIT(r);
	}
	return 0;
}

static int memory_parse(struct pmd_launch *l, const json_t *spec, struct err *e)
{
	int r = json_get_u64(spec, "memory", PMD_MAX_MEMORY, &l->memory, e);

	if (r == 0 && (l->memory < PMD_MIN_MEMORY || !is_aligned(l->memory, MIB(2))))
		r = err_set(e, EINVAL, "memory: whole 2 MiB, 16 MiB or more");
	return r < 0 ? r : json_get_bool_opt(spec, "hugepages", &l->hugepages, e);
}

/* What the role alone has. */
static int role_parse(struct pmd_launch *l, const json_t *spec, struct err *e)
{
	static const char *const words[] = PMD_ROLE_WORDS;
	static const char *const net_keys[] = { "memory", "hugepages", "uplink_kinds" };
	char text[16] = "net";
	int r = json_get_str_opt(spec, "role", text, sizeof(text), e);

	if (r == 0)
		r = pmd_word_find(words, ARRAY_SIZE(words), "role", text, e);
	if (r < 0)
		return r;
	l->role = (enum pmd_role)r;
	if (l->role == PMD_ROLE_NET)
		return memory_parse(l, spec, e);
	for (size_t i = 0; i < ARRAY_SIZE(net_keys); i++)
		if (json_object_get(spec, net_keys[i]) != NULL)
			return err_set(e, EINVAL, "%s: not with role \"%s\"", net_keys[i], text);
	return 0;
}

static int spec_parse(struct pmd_launch *l, const json_t *spec, struct err *e)
{
	static const char *const keys[] = { "name",	 "role",	 "cpus",
					    "memory",	 "hugepages",	 "idle",
					    "guest_uid", "uplink_kinds", NULL };
	static const char *const idles[] = PMD_IDLE_WORDS;
	char idle[16] = "poll";
	int r = json_check_keys(spec, keys, e);

	if (r == 0)
		r = json_get_str(spec, "name", l->name, sizeof(l->name), e);
	if (r == 0 && parse_name(l->name) < 0)
		r = err_set(e, EINVAL, "name: \"%s\" is no name", l->name);
	if (r == 0)
		r = cpus_parse(l, spec, e);
	if (r == 0)
		r = role_parse(l, spec, e);
	if (r == 0)
		r = json_get_str_opt(spec, "idle", idle, sizeof(idle), e);
	if (r == 0)
		r = pmd_word_find(idles, ARRAY_SIZE(idles), "idle", idle, e);
	if (r < 0)
		return r;
	l->idle = (enum pmd_idle)r;
	r = uids_parse(l, spec, e);
	return r < 0 ? r : kinds_parse(l, spec, e);
}

static bool is_listener(int fd)
{
	int type = 0, listens = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens != 0;
}

static int fds_take(struct pmd_launch *l, struct seqmsg *m, struct err *e)
{
	json_t *list = NULL;
	const char *word;
	int r = json_get_array(m->body, "fds", 1, &list, e);

	if (r < 0)
		return r;
	word = json_string_value(json_array_get(list, 0));
	if (m->fd_count != 1 || word == NULL || strcmp(word, "listener") != 0)
		return err_set(e, EINVAL, "fds: one, \"listener\"; %zu came", m->fd_count);
	if (!is_listener(m->fds[0]))
		return err_set(e, EINVAL, "fds: the listener is no listening SOCK_SEQPACKET");
	l->listener = fd_take(&m->fds[0]);
	return 0;
}

int pmd_launch_parse(struct pmd_launch *l, struct seqmsg *m, struct err *e)
{
	static const char *const keys[] = { "v", "op", "fds", "spec", NULL };
	json_t *spec = NULL;
	char op[CONTROL_OP_TEXT];
	int r = control_head_parse(m->body, PMD_MSG_VERSION, op, e);

	if (r == 0 && strcmp(op, "launch") != 0)
		r = err_set(e, EINVAL, "the first message must be \"launch\", not \"%s\"", op);
	if (r == 0)
		r = json_check_keys(m->body, keys, e);
	if (r == 0)
		r = json_get_obj(m->body, "spec", &spec, e);
	if (r == 0)
		r = spec_parse(l, spec, e);
	return r < 0 ? r : fds_take(l, m, e);
}
