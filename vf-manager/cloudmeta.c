// SPDX-License-Identifier: BSD-3-Clause
/* meta-data: the operator's mapping with what it lacks, by libyaml's documents. The text is not trusted. */
#include "vf-manager/cloudinit.h"
#include "vf-manager/yamlload.h"

#include "base/fd.h"
#include "image/seed.h"

#include <yaml.h>

#include <errno.h>
#include <stdio.h>

#define HOSTNAME   "local-hostname"
#define INSTANCE   "instance-id"
#define DEPTH_MOST 32

static int unfit(struct err *e, const char *why)
{
	err_set(e, EINVAL, "cloud_init.meta_data: %s", why);
	return err_code(e, "cloud-init-meta");
}

static int append(void *arg, unsigned char *bytes, size_t len)
{
	struct cloud_text *out = arg;
	size_t cap = SEED_FILE_MAX;

	if (out->data == NULL)
		out->data = malloc(cap);
	if (out->data == NULL || len > cap - out->len)
		return 0;
	memcpy(out->data + out->len, bytes, len);
	out->len += len;
	return 1;
}

/* Of the document's outermost mapping. */
static bool has_key(yaml_document_t *doc, const yaml_node_t *map, const char *key)
{
	for (const yaml_node_pair_t *p = map->data.mapping.pairs.start;
	     p < map->data.mapping.pairs.top; p++) {
		const yaml_node_t *node = yaml_document_get_node(doc, p->key);

		if (node != NULL && node->type == YAML_SCALAR_NODE &&
		    node->data.scalar.length == strlen(key) &&
		    memcmp(node->data.scalar.value, key, strlen(key)) == 0)
			return true;
	}
	return false;
}

static int key_add(yaml_document_t *doc, const char *key, const char *value)
{
	int k = yaml_document_add_scalar(doc, NULL, (const yaml_char_t *)key, (int)strlen(key),
					 YAML_PLAIN_SCALAR_STYLE);
	int v = yaml_document_add_scalar(doc, NULL, (const yaml_char_t *)value, (int)strlen(value),
					 YAML_DOUBLE_QUOTED_SCALAR_STYLE);

	/* The outermost mapping is the first node. */
	return k != 0 && v != 0 && yaml_document_append_mapping_pair(doc, 1, k, v) != 0 ? 0
											: -ENOMEM;
}

/* A VM's name may have what a host's may not. */
static void hostname_of(const char *name, char out[CLOUD_HOSTNAME])
{
	size_t len = 0;

	for (; name[len] != '\0' && len < CLOUD_HOSTNAME - 1; len++)
		out[len] = name[len] == '_' ? '-' : name[len];
	while (len > 0 && (out[len - 1] == '-' || out[len - 1] == '.'))
		len--;
	out[len] = '\0';
}

struct meta {
	const char *hostname; /* "": not said */
	const struct cloud_who *vm;
	bool is_whole; /* the file lacks nothing */
};

static int lacks_add(yaml_document_t *doc, struct meta *m, struct err *e)
{
	const yaml_node_t *root = yaml_document_get_root_node(doc);
	bool has_host = has_key(doc, root, HOSTNAME), has_id = has_key(doc, root, INSTANCE);
	char own[CLOUD_HOSTNAME];
	int r = 0;

	if (has_host && m->hostname[0] != '\0') {
		unfit(e, "it has a " HOSTNAME ", and there is cloud_init.hostname");
		return err_hint(e, "leave one of both out");
	}
	hostname_of(m->vm->name, own);
	m->is_whole = has_host && has_id;
	if (!has_id)
		r = key_add(doc, INSTANCE, m->vm->uuid);
	if (r == 0 && !has_host)
		r = key_add(doc, HOSTNAME, m->hostname[0] != '\0' ? m->hostname : own);
	return r < 0 ? err_set(e, r, "no memory") : 0;
}

/* The document belongs to the emitter from the dump on. */
static int document_write(yaml_document_t *doc, struct cloud_text *out, struct err *e)
{
	yaml_emitter_t emitter;
	int ok;

	if (yaml_emitter_initialize(&emitter) == 0) {
		yaml_document_delete(doc);
		return err_set(e, ENOMEM, "no memory");
	}
	yaml_emitter_set_output(&emitter, append, out);
	yaml_emitter_set_unicode(&emitter, 1);
	yaml_emitter_set_width(&emitter, -1);
	/* One document, whose beginning and end need no words. */
	doc->start_implicit = doc->end_implicit = 1;
	ok = yaml_emitter_open(&emitter) != 0 && yaml_emitter_dump(&emitter, doc) != 0 &&
	     yaml_emitter_close(&emitter) != 0;
	if (!ok)
		yaml_document_delete(doc);
	yaml_emitter_delete(&emitter);
	return ok ? 0 : unfit(e, "it cannot be written with what it lacks");
}

/* An empty document is an empty mapping. */
static int root_check(yaml_document_t *doc, struct err *e)
{
	const yaml_node_t *root = yaml_document_get_root_node(doc);

	if (root != NULL && root->type == YAML_MAPPING_NODE)
		return 0;
	if (root != NULL)
		return unfit(e, "it is no mapping (KEY: VALUE)");
	return yaml_document_add_mapping(doc, NULL, YAML_BLOCK_MAPPING_STYLE) == 1
		       ? 0
		       : unfit(e, "it is no mapping (KEY: VALUE)");
}

/* One document and no more. Deleted by whoever got it. */
static int document_read(yaml_parser_t *parser, yaml_document_t *doc, struct err *e)
{
	yaml_document_t more;
	char why[160];
	bool is_last;

	if (yaml_parser_load(parser, doc) == 0) {
		/* The text itself is not told: what is there may be secret. */
		snprintf(why, sizeof(why), "no YAML, line %zu: %s", parser->problem_mark.line + 1,
			 parser->problem != NULL ? parser->problem : "it cannot be read");
		return unfit(e, why);
	}
	if (yaml_document_get_root_node(doc) == NULL)
		return 0;
	if (yaml_parser_load(parser, &more) == 0) {
		yaml_document_delete(doc);
		return unfit(e, "no YAML behind its first document");
	}
	is_last = yaml_document_get_root_node(&more) == NULL;
	yaml_document_delete(&more);
	if (is_last)
		return 0;
	yaml_document_delete(doc);
	return unfit(e, "more than one document");
}

static int meta_complete(yaml_parser_t *parser, struct meta *m, struct cloud_text *out,
			 struct err *e)
{
	yaml_document_t doc;
	int r = document_read(parser, &doc, e);

	if (r < 0)
		return r;
	r = root_check(&doc, e);
	if (r == 0)
		r = lacks_add(&doc, m, e);
	if (r < 0 || m->is_whole) {
		yaml_document_delete(&doc);
		return r;
	}
	return document_write(&doc, out, e);
}

/* How deep it is nested, before libyaml builds anything: its time grows with the square of that, to minutes. */
static int depth_check(const char *text, size_t len, struct err *e)
{
	yaml_parser_t parser;
	unsigned int depth = 0;
	bool is_end = false;

	if (yaml_parser_initialize(&parser) == 0)
		return err_set(e, ENOMEM, "no memory");
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	while (!is_end && depth <= DEPTH_MOST) {
		yaml_event_t event;

		/* What is no YAML is told by who reads it next, with its line. */
		if (yaml_parser_parse(&parser, &event) == 0)
			break;
		is_end = event.type == YAML_STREAM_END_EVENT;
		depth += event.type == YAML_SEQUENCE_START_EVENT ||
			 event.type == YAML_MAPPING_START_EVENT;
		depth -= event.type == YAML_SEQUENCE_END_EVENT ||
			 event.type == YAML_MAPPING_END_EVENT;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return depth > DEPTH_MOST ? unfit(e, "nested deeper than 32 levels") : 0;
}

int cloud_meta_make(const struct cloud_text *file, const char *hostname, const struct cloud_who *vm,
		    struct cloud_text *out, struct err *e)
{
	const char *text = file->data != NULL ? file->data : "{}";
	size_t len = file->data != NULL ? file->len : 2;
	struct meta m = { .hostname = hostname, .vm = vm };
	struct cloud_text made = { NULL, 0 };
	yaml_parser_t parser;
	int r;

	if (len > YAML_MAX_BYTES)
		return unfit(e, "more than 256 KiB");
	r = depth_check(text, len, e);
	if (r < 0)
		return r;
	if (yaml_parser_initialize(&parser) == 0)
		return err_set(e, ENOMEM, "no memory");
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	r = meta_complete(&parser, &m, &made, e);
	yaml_parser_delete(&parser);
	if (r == 0 && m.is_whole && append(&made, (unsigned char *)text, len) == 0)
		r = unfit(e, "more than 1 MiB");
	if (r < 0)
		cloud_text_free(&made);
	else
		*out = made;
	return r;
}
