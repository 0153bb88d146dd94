// SPDX-License-Identifier: BSD-3-Clause
#include "bench/reflect/request.h"

#include "base/parse.h"

#include <errno.h>

static const char *const op_words[REFLECT_OPS] = {
	[REFLECT_DEVICES] = "devices", [REFLECT_PORT] = "port",	  [REFLECT_START] = "start",
	[REFLECT_STATS] = "stats",     [REFLECT_LOOKS] = "looks", [REFLECT_STOP] = "stop",
	[REFLECT_CLOSE] = "close",     [REFLECT_QUIT] = "quit",
};

static const char *const mode_words[REFLECT_MODES] = {
	[REFLECT_REFLECT] = "reflect",
	[REFLECT_FORWARD] = "forward",
	[REFLECT_SINK] = "sink",
};

static const char *const idle_words[] = { "poll", "interrupt" };

static int word_get(const json_t *obj, const char *key, const char *const *words, int count,
		    struct err *e)
{
	char text[16];
	int r = json_get_str(obj, key, text, sizeof(text), e);

	if (r < 0)
		return r;
	for (int i = 0; i < count; i++)
		if (strcmp(words[i], text) == 0)
			return i;
	return err_set(e, EINVAL, "%s: \"%s\" is not known", key, text);
}

static int name_get(const json_t *obj, const char *key, char buf[REFLECT_NAME_TEXT], struct err *e)
{
	int r = json_get_str(obj, key, buf, REFLECT_NAME_TEXT, e);

	if (r == 0 && parse_name(buf) < 0)
		r = err_set(e, EINVAL, "%s: \"%s\" is no name", key, buf);
	return r;
}

static int path_parse(const char *text)
{
	return text[0] == '/' && strpbrk(text, ",= ") == NULL ? 0 : -EINVAL;
}

static int pci_parse(const char *text)
{
	struct pci_addr addr;
	char full[PCI_ADDR_TEXT];

	if (parse_pci_addr(text, &addr) < 0 || strcmp(pci_addr_text(&addr, full), text) != 0)
		return -EINVAL;
	return 0;
}

static int device_get(const json_t *obj, struct reflect_request *out, struct err *e)
{
	static const struct {
		const char *prefix;
		int (*parse)(const char *text);
	} rows[REFLECT_KINDS] = {
		[REFLECT_PCI] = { "", pci_parse },
		[REFLECT_AF_PACKET] = { "af-packet:", parse_netdev },
		[REFLECT_AF_XDP] = { "af-xdp:", parse_netdev },
		[REFLECT_TAP] = { "tap:", parse_netdev },
		[REFLECT_VHOST_USER] = { "vhost-user:", path_parse },
	};
	char text[REFLECT_DEVICE_TEXT + 16];
	int r = json_get_str(obj, "device", text, sizeof(text), e);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t skip = strlen(rows[i].prefix);

		if (strncmp(text, rows[i].prefix, skip) != 0 || rows[i].parse(text + skip) < 0 ||
		    strlen(text + skip) >= sizeof(out->device))
			continue;
		out->kind = (enum reflect_kind)i;
		strcpy(out->device, text + skip);
		return 0;
	}
	return err_set(e, EINVAL, "device: \"%s\" is none", text);
}

static int port_parse(const json_t *obj, struct reflect_request *out, struct err *e)
{
	uint64_t mtu = 0, ring = 0;
	int r = name_get(obj, "name", out->name, e);

	if (r == 0)
		r = device_get(obj, out, e);
	if (r == 0)
		r = json_get_bool_opt(obj, "server", &out->server, e);
	if (r == 0)
		r = json_get_u64_opt(obj, "mtu", REFLECT_MAX_MTU, &mtu, e);
	if (r == 0 && mtu != 0 && mtu < REFLECT_MIN_MTU)
		r = err_set(e, EINVAL, "mtu: %u to %u", REFLECT_MIN_MTU, REFLECT_MAX_MTU);
	if (r == 0)
		r = json_get_u64_opt(obj, "ring", REFLECT_MAX_RING, &ring, e);
	out->mtu = (uint32_t)mtu;
	out->ring = (uint32_t)ring;
	return r;
}

static int dst_mac_get(const json_t *obj, struct reflect_request *out, struct err *e)
{
	char text[MAC_TEXT] = "";
	int r = json_get_str_opt(obj, "dst_mac", text, sizeof(text), e);

	if (r < 0 || text[0] == '\0')
		return r;
	if (out->mode != REFLECT_FORWARD || parse_mac(text, out->dst_mac) < 0)
		return err_set(e, EINVAL, "dst_mac: an address, for \"forward\" alone");
	out->has_dst_mac = true;
	return 0;
}

static int start_parse(const json_t *obj, struct reflect_request *out, struct err *e)
{
	int r = word_get(obj, "mode", mode_words, REFLECT_MODES, e);

	if (r < 0)
		return r;
	out->mode = (enum reflect_mode)r;
	r = word_get(obj, "idle", idle_words, ARRAY_SIZE(idle_words), e);
	if (r < 0)
		return r;
	out->interrupt = r == 1;
	r = name_get(obj, "from", out->from, e);
	if (r == 0 && (out->mode == REFLECT_FORWARD || json_object_get(obj, "to") != NULL))
		r = name_get(obj, "to", out->to, e);
	if (r == 0 && out->mode != REFLECT_FORWARD && out->to[0] != '\0')
		r = err_set(e, EINVAL, "to: only \"forward\" has one");
	return r < 0 ? r : dst_mac_get(obj, out, e);
}

static int close_parse(const json_t *obj, struct reflect_request *out, struct err *e)
{
	return name_get(obj, "name", out->name, e);
}

static int nothing_parse(const json_t *obj, struct reflect_request *out, struct err *e)
{
	return 0;
}

int reflect_request_parse(const char *line, size_t len, struct reflect_request *out, struct err *e)
{
	static const struct {
		int (*fn)(const json_t *obj, struct reflect_request *out, struct err *e);
		const char *known[7];
	} rows[REFLECT_OPS] = {
		[REFLECT_DEVICES] = { nothing_parse, { "op" } },
		[REFLECT_PORT] = { port_parse,
				   { "op", "name", "device", "server", "mtu", "ring" } },
		[REFLECT_START] = { start_parse,
				    { "op", "mode", "from", "to", "dst_mac", "idle" } },
		[REFLECT_STATS] = { nothing_parse, { "op" } },
		[REFLECT_LOOKS] = { nothing_parse, { "op" } },
		[REFLECT_STOP] = { nothing_parse, { "op" } },
		[REFLECT_CLOSE] = { close_parse, { "op", "name" } },
		[REFLECT_QUIT] = { nothing_parse, { "op" } },
	};
	auto_json json_t *obj =
		len > REFLECT_LINE_MAX ? NULL : json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	int r;

	*out = (struct reflect_request){ 0 };
	if (!json_is_object(obj))
		return err_set(e, EINVAL, "not a JSON object of up to %d bytes", REFLECT_LINE_MAX);
	r = word_get(obj, "op", op_words, REFLECT_OPS, e);
	if (r < 0)
		return r;
	out->op = (enum reflect_op)r;
	r = json_check_keys(obj, rows[r].known, e);
	return r < 0 ? r : rows[out->op].fn(obj, out, e);
}
