// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/api_handlers.h"
#include "vf-manager/backend_view.h"
#include "vf-manager/configview.h"
#include "vf-manager/yamlload.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME_MAX 4096

int api_networks(struct request *req, struct err *e)
{
	json_t *list = json_array();
	int r;

	state_lock(req->d);
	r = daemon_scan(req->d, e);
	for (unsigned int i = 0; r == 0 && i < req->d->config.network_count; i++)
		json_array_append_new(list,
				      config_network_view(req->d, &req->d->config.networks[i]));
	state_unlock(req->d);
	req->reply = json_pack("{s:o}", "networks", list);
	return r;
}

int api_network(struct request *req, struct err *e)
{
	const struct config_network *net = config_network_find(&req->d->config, req->arg);
	bool is_cut = false;
	json_t *macs;
	int r;

	if (net == NULL) {
		err_set(e, ENOENT, "there is no network '%.64s'", req->arg);
		err_code(e, "no-such-network");
		return err_hint(e, "viaduct network list");
	}
	state_lock(req->d);
	r = daemon_scan(req->d, e);
	if (r == 0)
		req->reply = config_network_view(req->d, net);
	state_unlock(req->d);
	if (r < 0)
		return r;
	/* Asked without a lock: the process may take its time. */
	macs = config_network_is_polled(net) ? backend_fdb_view(req->d, net->name, &is_cut)
					     : json_null();
	json_object_set_new(req->reply, "macs", macs);
	json_object_set_new(req->reply, "macs_cut", json_boolean(is_cut));
	return 0;
}

int api_uplinks(struct request *req, struct err *e)
{
	req->reply = json_pack("{s:o, s:o}", "uplinks", backend_uplinks_view(req->d), "backend",
			       backend_process_view(req->d));
	return 0;
}

int api_uplink(struct request *req, struct err *e)
{
	return backend_uplink_view(req->d, req->arg, &req->reply, e);
}

int api_config(struct request *req, struct err *e)
{
	auto_free struct config *file = malloc(sizeof(*file));
	int r;

	if (file == NULL)
		return err_set(e, ENOMEM, "no memory");
	r = config_load(req->d->opt->config, false, file, e);
	if (r < 0) {
		req->is_valid = true; /* what is wrong is the file, not the request */
		err_code(e, "bad-config");
		return err_hint(e, "mend it before the daemon is restarted: it would not come up");
	}
	state_lock(req->d);
	r = daemon_scan(req->d, e);
	if (r == 0)
		req->reply = json_pack("{s:s, s:o, s:o}", "path", req->d->opt->config, "running",
				       config_view(&req->d->config), "differences",
				       config_differences(req->d, file));
	state_unlock(req->d);
	return r;
}

int api_config_check(struct request *req, struct err *e)
{
	auto_free struct config *config = malloc(sizeof(*config));
	char text[FILE_NAME_MAX];
	const char *yaml;
	int r = json_get_str(req->body, "file", text, sizeof(text), e);

	if (config == NULL)
		return err_set(e, ENOMEM, "no memory");
	if (r < 0)
		return r;
	yaml = json_string_value(json_object_get(req->body, "yaml"));
	if (yaml == NULL || strlen(yaml) > YAML_MAX_BYTES)
		return err_set(e, EINVAL, "yaml: not a text of at most %u KiB",
			       YAML_MAX_BYTES >> 10);
	r = config_parse(yaml, strlen(yaml), config, e);
	if (r < 0)
		return err_wrap(e, "%.200s", text);
	req->is_valid = true;
	state_lock(req->d);
	r = daemon_scan(req->d, e);
	if (r == 0)
		req->reply = json_pack("{s:o, s:o}", "config", config_view(config), "warnings",
				       config_warnings(req->d, config));
	state_unlock(req->d);
	return r;
}
