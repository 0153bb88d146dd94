// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/yamlload.h"

#include <yaml.h>

#include <errno.h>
#include <stdio.h>
#include <strings.h>

/* What libcyaml says comes as log lines: the first is the error, the second with a position where. */
struct said {
	char text[256];
	unsigned line, column;
	bool is_more_documents;
};

PRINTF_LIKE(3, 0)
static void said_line(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct said *said = ctx;
	char line[256];
	const char *at;

	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = '\0';
	if (strstr(line, "documents after first") != NULL)
		said->is_more_documents = true;
	if (level < CYAML_LOG_ERROR)
		return;
	at = strstr(line, "(line: ");
	if (at != NULL && said->line == 0)
		sscanf(at, "(line: %u, column: %u)", &said->line, &said->column);
	else if (strncmp(line, "Load: ", 6) == 0 && strcmp(line, "Load: Backtrace:") != 0 &&
		 said->text[0] == '\0')
		snprintf(said->text, sizeof(said->text), "%s", line + 6);
}

static int event_check(const yaml_event_t *event, unsigned *depth, struct err *e)
{
	unsigned line = (unsigned)event->start_mark.line + 1;

	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return err_set(e, EINVAL, "line %u: aliases are not allowed", line);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		if (++*depth > YAML_MAX_DEPTH)
			return err_set(e, EINVAL, "line %u: nested deeper than %d levels", line,
				       YAML_MAX_DEPTH);
		return 0;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		--*depth;
		return 0;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
	case YAML_SCALAR_EVENT:
		return 0;
	}
	return 0;
}

/* The text's form, before anything is built from it. libcyaml's own position is that of the event
 * before a bad key, so the key's line (if `key` is given) is looked for here: the first scalar of
 * that text after the position. */
static int events_walk(const char *text, size_t len, const char *key, struct said *said,
		       struct err *e)
{
	yaml_parser_t parser;
	unsigned depth = 0, nodes = 0;
	int r = 0;

	if (!yaml_parser_initialize(&parser))
		return err_set(e, ENOMEM, "no memory for the YAML parser");
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	for (bool is_end = false; !is_end && r == 0;) {
		yaml_event_t event;
		unsigned line;

		if (!yaml_parser_parse(&parser, &event)) {
			r = err_set(e, EINVAL, "line %zu: %s", parser.problem_mark.line + 1,
				    parser.problem != NULL ? parser.problem : "no YAML");
			break;
		}
		line = (unsigned)event.start_mark.line + 1;
		r = event_check(&event, &depth, e);
		if (r == 0 && ++nodes > YAML_MAX_NODES)
			r = err_set(e, EINVAL, "line %u: more than %d values", line,
				    YAML_MAX_NODES);
		is_end = event.type == YAML_STREAM_END_EVENT;
		if (key != NULL && event.type == YAML_SCALAR_EVENT &&
		    (line > said->line ||
		     (line == said->line && event.start_mark.column + 1 >= said->column)) &&
		    strcmp((const char *)event.data.scalar.value, key) == 0) {
			said->line = line;
			is_end = true;
		}
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return r;
}

static int key_refuse(const struct yaml_kind *kind, unsigned line, const char *key, struct err *e)
{
	for (const struct yaml_later *l = kind->later; l != NULL && l->key != NULL; l++) {
		if (strcmp(l->key, key) != 0)
			continue;
		if (l->never != NULL)
			err_set(e, EINVAL, "line %u: %s: %s not offered: %s", line, key, l->what,
				l->never);
		else
			err_set(e, EINVAL, "line %u: %s: %s not available yet", line, key, l->what);
		err_code(e, l->never != NULL ? "by-design" : "not-yet");
		return err_hint(e, "remove the key '%s'", key);
	}
	err_set(e, EINVAL, "line %u: unknown key '%.64s'", line, key);
	err_code(e, "unknown-key");
	return err_hint(e, "%s lists the keys", kind->manual);
}

static int load_failed(const struct yaml_kind *kind, const char *text, size_t len,
		       struct said *said, struct err *e)
{
	static const char unexpected[] = "Unexpected key: ";
	static const char missing[] = "Missing required mapping field: ";

	if (strncmp(said->text, unexpected, strlen(unexpected)) == 0) {
		const char *key = said->text + strlen(unexpected);

		events_walk(text, len, key, said, NULL);
		return key_refuse(kind, said->line, key, e);
	}
	if (strncmp(said->text, missing, strlen(missing)) == 0)
		err_set(e, EINVAL, "the key '%s' is missing (before line %u)",
			said->text + strlen(missing), said->line + 1);
	else
		err_set(e, EINVAL, "line %u: %s", said->line,
			said->text[0] != '\0' ? said->text : "not of the documented form");
	err_code(e, "yaml");
	return err_hint(e, "%s shows the form", kind->manual);
}

static cyaml_config_t config_for(struct said *said)
{
	return (cyaml_config_t){ .log_fn = said_line,
				 .log_ctx = said,
				 .mem_fn = cyaml_mem,
				 .log_level = CYAML_LOG_WARNING,
				 .flags = CYAML_CFG_NO_ALIAS };
}

int yaml_load(const struct yaml_kind *kind, const char *text, size_t len, void **out, struct err *e)
{
	struct said said = { .text = "" };
	cyaml_config_t config = config_for(&said);
	cyaml_data_t *data = NULL;
	int r;

	if (len > YAML_MAX_BYTES)
		return err_set(e, EINVAL, "larger than %u bytes", YAML_MAX_BYTES);
	if (memchr(text, '\0', len) != NULL)
		return err_set(e, EINVAL, "holds a zero byte");
	r = events_walk(text, len, NULL, &said, e);
	if (r < 0)
		return err_code(e, "yaml");
	if (cyaml_load_data((const uint8_t *)text, len, &config, kind->schema, &data, NULL) !=
	    CYAML_OK)
		return load_failed(kind, text, len, &said, e);
	if (data == NULL || said.is_more_documents) {
		r = err_set(e, EINVAL, data == NULL ? "is empty" : "holds more than one document");
		yaml_free(kind, data);
		return r;
	}
	*out = data;
	return 0;
}

void yaml_free(const struct yaml_kind *kind, void *data)
{
	struct said said = { .text = "" };
	cyaml_config_t config = config_for(&said);

	if (data != NULL)
		cyaml_free(&config, kind->schema, data, 0);
}

int yaml_bool(const char *text, const char *key, bool *out, struct err *e)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = { { "true", true },	  { "yes", true }, { "on", true },
		      { "false", false }, { "no", false }, { "off", false } };

	if (text == NULL)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(words[i].word, text) == 0) {
			*out = words[i].value;
			return 0;
		}
	}
	return err_set(e, EINVAL, "%s: '%.32s' is neither on nor off", key, text);
}
