// SPDX-License-Identifier: BSD-3-Clause
#include "bench/gen/request.h"

#include "base/parse.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static int mac_read(const json_t *q, const char *key, uint8_t mac[6], bool *has, struct err *e)
{
	char text[MAC_TEXT];
	int r;

	*has = json_object_get(q, key) != NULL;
	if (!*has)
		return 0;
	r = json_get_str(q, key, text, sizeof(text), e);
	if (r < 0)
		return r;
	return parse_mac(text, mac) < 0 ? err_set(e, EINVAL, "%s '%s' is no MAC address", key, text)
					: 0;
}

/* One, or a list of them. */
static int targets_read(const json_t *q, struct probe_addresses *out, struct err *e)
{
	json_t *list;
	bool has;
	int r;

	if (!json_is_array(json_object_get(q, "dst_mac"))) {
		r = mac_read(q, "dst_mac", out->target[0], &has, e);
		out->target_count = has;
		return r;
	}
	r = json_get_array(q, "dst_mac", PROBE_TARGETS, &list, e);
	if (r == 0 && json_array_size(list) == 0)
		r = err_set(e, EINVAL, "dst_mac is a list of none");
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (text == NULL || parse_mac(text, out->target[i]) < 0)
			r = err_set(e, EINVAL, "dst_mac: no. %zu is no MAC address", i + 1);
		out->target_count++;
	}
	return r;
}

static int at_least_one(uint64_t n, const char *key, struct err *e)
{
	return n == 0 ? err_set(e, ERANGE, "%s is 0, at least 1 is possible", key) : 0;
}

/* What trials and bursts have in common. */
static int common_read(const json_t *q, struct trial_spec *s, struct err *e)
{
	char sizes[16];
	int r = json_get_str(q, "tx", s->tx, sizeof(s->tx), e);

	if (r == 0)
		r = json_get_str(q, "rx", s->rx, sizeof(s->rx), e);
	if (r == 0)
		r = json_get_str(q, "sizes", sizes, sizeof(sizes), e);
	if (r == 0 && !probe_sizes_parse(&s->sizes, sizes))
		r = err_set(e, EINVAL, "sizes '%s' is neither imix nor a number from %d to %d",
			    sizes, PROBE_MIN, PROBE_MAX);
	if (r == 0)
		r = json_get_u64_opt(q, "flows", PROBE_FLOWS, &s->flows, e);
	if (r == 0)
		r = at_least_one(s->flows, "flows", e);
	if (r == 0)
		r = json_get_u64_opt(q, "drain_ms", TRIAL_MS_MAX, &s->drain_ms, e);
	if (r == 0)
		r = json_get_u64_opt(q, "window", TRIAL_WINDOW_MAX, &s->window, e);
	if (r == 0)
		r = targets_read(q, &s->addresses, e);
	if (r == 0 && s->flows < s->addresses.target_count)
		r = err_set(e, ERANGE, "flows is %llu, at least %u for as many dst_mac",
			    (unsigned long long)s->flows, s->addresses.target_count);
	if (r == 0)
		r = mac_read(q, "src_mac", s->addresses.source, &s->has_source, e);
	return r;
}

static int spec_read(const json_t *q, const char *const *known, struct trial_spec *s, struct err *e)
{
	int r = json_check_keys(q, known, e);

	if (r == 0)
		r = common_read(q, s, e);
	if (r == 0)
		r = json_get_u64_opt(q, "rate_pps", TRIAL_RATE_MAX, &s->rate_pps, e);
	if (r == 0)
		r = json_get_u64_opt(q, "ms", TRIAL_MS_MAX, &s->ms, e);
	return r;
}

int trial_spec_read(const json_t *q, struct trial_spec *out, struct err *e)
{
	static const char *const known[] = { "op",	"tx",	    "rx",     "sizes",
					     "flows",	"rate_pps", "ms",     "drain_ms",
					     "dst_mac", "src_mac",  "window", NULL };
	struct trial_spec s = { .flows = 1, .drain_ms = 200 };
	int r = spec_read(q, known, &s, e);

	if (r == 0 && json_object_get(q, "ms") == NULL)
		r = err_set(e, ENOENT, "ms is missing");
	if (r == 0)
		r = at_least_one(s.ms, "ms", e);
	if (r == 0)
		*out = s;
	return r;
}

int burst_spec_read(const json_t *q, struct trial_spec *out, struct err *e)
{
	static const char *const known[] = { "op",	"tx",	    "rx", "sizes",    "flows",
					     "frames",	"rate_pps", "ms", "drain_ms", "dst_mac",
					     "src_mac", "window",   NULL };
	struct trial_spec s = { .flows = 1, .drain_ms = 200 };
	int r = spec_read(q, known, &s, e);

	if (r == 0)
		r = json_get_u64(q, "frames", TRIAL_FRAMES_MAX, &s.frames, e);
	if (r == 0)
		r = at_least_one(s.frames, "frames", e);
	if (s.ms == 0)
		s.ms = TRIAL_MS_MAX;
	if (r == 0)
		*out = s;
	return r;
}

int name_read(const json_t *q, char name[DEVICE_NAME_TEXT], struct err *e)
{
	static const char *const known[] = { "op", "name", NULL };
	int r = json_check_keys(q, known, e);

	return r < 0 ? r : json_get_str(q, "name", name, DEVICE_NAME_TEXT, e);
}

static int share_read(const char *key, const char *text, double *out, struct err *e)
{
	char *end;
	double v = strtod(text, &end);

	/* strtod() takes white space, signs, hexadecimal and words, too. */
	if (text[strspn(text, "0123456789.e-")] != '\0' || end == text || *end != '\0' ||
	    !(v >= 0 && v <= 1))
		return err_set(e, EINVAL, "%s '%s' is no share from 0 to 1", key, text);
	*out = v;
	return 0;
}

static int word_read(struct impair_wish *w, const char *key, const char *text, struct err *e)
{
	const struct {
		const char *key;
		double *share;
		uint64_t *number;
		uint64_t max;
	} rows[] = {
		{ "loss", &w->loss, NULL, 0 },
		{ "duplicate", &w->duplicate, NULL, 0 },
		{ "reorder", &w->reorder, NULL, 0 },
		{ "corrupt", &w->corrupt, NULL, 0 },
		{ "delay_us", NULL, &w->delay_us, IMPAIR_DELAY_MAX_US },
		{ "seed", NULL, &w->seed, UINT32_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strcmp(rows[i].key, key) != 0)
			continue;
		if (rows[i].share != NULL)
			return share_read(key, text, rows[i].share, e);
		if (parse_u64(text, rows[i].max, rows[i].number) < 0)
			return err_set(e, EINVAL, "%s '%s' is no number from 0 to %llu", key, text,
				       (unsigned long long)rows[i].max);
		return 0;
	}
	return err_set(e, EINVAL, "no impairment is called '%s'", key);
}

static int words_read(struct impair_wish *w, char *words, struct err *e)
{
	char *save = NULL;
	int r = 0;

	for (char *word = strtok_r(words, ",", &save); r == 0 && word != NULL;
	     word = strtok_r(NULL, ",", &save)) {
		char *value = strchr(word, '=');

		if (value == NULL)
			return err_set(e, EINVAL, "'%s' is no KEY=VALUE", word);
		*value++ = '\0';
		r = word_read(w, word, value, e);
	}
	return r;
}

int impair_wish_read(const char *device, struct impair_wish *out, struct err *e)
{
	struct impair_wish w = { .seed = 1 };
	char words[DEVICE_TEXT];
	const char *rest;
	int r;

	if (strncmp(device, "loop:", 5) == 0) {
		*out = w;
		return 0;
	}
	if (strncmp(device, "impair:", 7) != 0)
		return -ENOENT;
	rest = strchr(device + 7, ':');
	if (rest == NULL || strlen(rest + 1) >= sizeof(words))
		return err_set(e, EINVAL, "'%s' is not impair:NAME:KEY=VALUE,...", device);
	strcpy(words, rest + 1);
	r = words_read(&w, words, e);
	if (r == 0)
		*out = w;
	return r;
}
