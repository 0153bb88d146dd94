// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/backend_core.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/monitor.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TICK_MS 1000
#define STEADY_NS \
	2000000000ULL /* who has served so long is started again at once: guests wait for it */
#define BACKOFF_MOST 30U /* seconds */
#define SILENCES     5U /* looks in a row: it hangs */
#define SECOND_NS    1000000000ULL
#define UPLINK_NS    (10 * SECOND_NS) /* from an uplink that could not be added to the next try */

int backend_create(struct daemon *d, struct err *e)
{
	struct backend *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return err_set(e, ENOMEM, "no memory");
	b->d = d;
	b->pidfd = -1;
	pthread_mutex_init(&b->work, NULL);
	pthread_mutex_init(&b->look, NULL);
	for (unsigned int i = 0; i < d->config.uplink_count; i++)
		if (!uplink_is_taken(d->config.uplinks[i].kind))
			snprintf(b->uplinks[i].device, sizeof(b->uplinks[i].device), "%s",
				 d->config.uplinks[i].device);
	b->is_wanted = d->config.uplink_count > 0;
	b->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->backend = b;
	if (backend_reach_create(b, e) < 0)
		return -ENOMEM;
	return b->kick_fd < 0 ? err_set(e, errno, "eventfd: %s", strerror(errno)) : 0;
}

void backend_kick(struct backend *b)
{
	const uint64_t one = 1;

	if (write(b->kick_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_warn("the watch over viaduct-pmd cannot be woken: %s", strerror(errno));
}

void backend_stop(struct daemon *d)
{
	struct backend *b = d->backend;

	if (b != NULL && b->has_thread) {
		/* release: pairs with acquire in backend_main() */
		atomic_store_explicit(&b->must_end, true, memory_order_release);
		backend_kick(b);
		pthread_join(b->thread, NULL);
		b->has_thread = false;
	}
}

void backend_destroy(struct daemon *d)
{
	struct backend *b = d->backend;

	if (b == NULL)
		return;
	backend_stop(d);
	for (unsigned int i = 0; i < b->port_count; i++)
		json_decref(b->ports[i].policy);
	backend_reach_destroy(b);
	fd_close(&b->pidfd);
	fd_close(&b->kick_fd);
	pthread_mutex_destroy(&b->work);
	pthread_mutex_destroy(&b->look);
	free(b);
	d->backend = NULL;
}

static void tell(struct backend *b, const char *text)
{
	struct err e = { 0 };

	state_lock(b->d);
	if (ledger_event_add(b->d->ledger, "backend", BACKEND_NAME, text, &e) < 0)
		log_err(&e, "viaduct-pmd");
	state_unlock(b->d);
	if (b->d->monitor != NULL)
		monitor_kick(b->d->monitor);
}

static void state_set(struct backend *b, enum backend_state state, const struct err *why)
{
	look_lock(b);
	b->state = state;
	b->why = why != NULL ? *why : (struct err){ 0 };
	if (state != BACKEND_UP)
		b->has_status = false;
	look_unlock(b);
}

static void retry_later(struct backend *b)
{
	unsigned int s = b->failures == 0 ? 0 : 1U << (b->failures - 1 < 5 ? b->failures - 1 : 5);

	b->retry_ns = now_ns() + (s < BACKOFF_MOST ? s : BACKOFF_MOST) * SECOND_NS;
	b->failures++;
}

bool backend_drives(const struct backend *b, const struct pci_addr *addr)
{
	char text[PCI_ADDR_TEXT];

	if (!b->has_status || b->pidfd < 0)
		return false;
	pci_addr_text(addr, text);
	for (unsigned int i = 0; i < b->status.uplink_count; i++)
		if (strcmp(b->status.uplinks[i].device, text) == 0)
			return true;
	return false;
}

static void end_note(struct backend *b)
{
	struct err why = { 0 };
	char text[128], said[192];
	const bool has_served = b->has_status;

	if (!backend_has_ended(b, text))
		return;
	if (has_served && now_ns() - b->up_ns >= STEADY_NS)
		b->failures = 0;
	b->restarts++;
	retry_later(b);
	err_set(&why, ECONNRESET, "%s", text);
	state_set(b, BACKEND_DOWN, &why);
	log_warn("viaduct-pmd: %s", text);
	snprintf(said, sizeof(said), "viaduct-pmd is gone: %s", text);
	tell(b, said);
}

static void start(struct backend *b)
{
	struct err e = { 0 };
	char text[96];

	if (backend_spawn(b, &e) < 0) {
		bool is_news = strcmp(e.text, b->why.text) != 0;

		retry_later(b);
		state_set(b, BACKEND_DOWN, &e);
		if (is_news)
			log_err(&e, "polled backend");
		return;
	}
	state_set(b, BACKEND_UP, NULL);
	for (unsigned int i = 0; i < b->d->config.uplink_count; i++)
		b->uplinks[i].retry_ns = 0;
	log_info("viaduct-pmd: started, pid %d", (int)b->peer.pid);
	snprintf(text, sizeof(text), "viaduct-pmd started, pid %d", (int)b->peer.pid);
	tell(b, text);
}

int backend_ask(struct backend *b, json_t *body, json_t **result, struct err *e)
{
	struct pmd_peer peer;

	look_lock(b);
	peer = b->peer;
	look_unlock(b);
	return pmd_call(b->d, &peer, body, result, e);
}

static int status_read(struct backend *b, struct err *e)
{
	auto_json json_t *body = json_pack("{s:s}", "op", "status"), *result = NULL;
	int r = pmd_call(b->d, &b->peer, body, &result, e);

	return r < 0 ? r : pmd_status_read(result, &b->fresh, e);
}

/* Where what came of a request is kept; NULL: nowhere. */
static struct err *why_of(struct backend *b, const char *op, json_t *body)
{
	const char *name = json_string_value(json_object_get(body, "name"));
	const char *port = json_string_value(json_object_get(body, "port"));

	if (strncmp(op, "uplink", 6) == 0) {
		const struct config_uplink *up = config_uplink_find(&b->d->config, name);

		return up != NULL ? &b->uplinks[up - b->d->config.uplinks].why : NULL;
	}
	if (strncmp(op, "network", 7) == 0) {
		const struct config_network *net = config_network_find(&b->d->config, name);

		return net != NULL ? &b->network_why[net - b->d->config.networks] : NULL;
	}
	for (unsigned int i = 0; i < b->port_count; i++)
		if (strcmp(b->ports[i].name, port) == 0)
			return &b->ports[i].why;
	return NULL;
}

static void why_set(struct backend *b, struct err *at, const struct err *why, const char *op)
{
	const bool is_news = at == NULL || strcmp(at->text, why->text) != 0;

	if (why->errnum != 0 && is_news)
		log_err(why, op);
	if (at == NULL)
		return;
	look_lock(b);
	*at = *why;
	look_unlock(b);
}

static void uplink_asked(struct backend *b, json_t *body, bool is_done)
{
	const struct config_uplink *up =
		config_uplink_find(&b->d->config, json_string_value(json_object_get(body, "name")));
	struct wish_uplink *wish = up != NULL ? &b->uplinks[up - b->d->config.uplinks] : NULL;

	if (wish == NULL)
		return;
	wish->is_asked = is_done;
	/* A new device has none of the ports' addresses. */
	b->reach->next_ns = 0;
	wish->retry_ns = is_done ? 0 : now_ns() + UPLINK_NS;
}

static void port_heard(struct backend *b, const char *name)
{
	for (unsigned int i = 0; i < b->port_count; i++)
		if (strcmp(b->ports[i].name, name) == 0)
			b->ports[i].is_stale = false;
}

static int kind_prepare(struct backend *b, json_t *body, struct err *e)
{
	const char *kind = json_string_value(json_object_get(body, "kind"));
	const char *device = json_string_value(json_object_get(body, "device"));

	if (kind == NULL || device == NULL ||
	    strcmp(kind, config_uplink_kind_text(PMD_UPLINK_AF_XDP)) != 0)
		return 0;
	return backend_xdp_clear(b, device, e);
}

/* Takes the list. How many were made; -errno: it does not answer. */
static int requests_make(struct backend *b, json_t *list)
{
	int n = 0, r = 0;
	json_t *body;
	size_t i;

	json_array_foreach(list, i, body) {
		const char *op = json_string_value(json_object_get(body, "op"));
		struct err e = { 0 };

		r = kind_prepare(b, body, &e);
		if (r == 0)
			r = pmd_call(b->d, &b->peer, body, NULL, &e);
		if (strcmp(op, "uplink-add") == 0)
			uplink_asked(b, body, r == 0);
		else if (r == 0 && (strcmp(op, "port-add") == 0 || strcmp(op, "port-set") == 0))
			port_heard(b, json_string_value(json_object_get(body, "port")));
		why_set(b, why_of(b, op, body), &e, op);
		n++;
		if (r < 0 && strcmp(e.code, "backend-down") == 0)
			break;
		r = 0;
	}
	json_decref(list);
	return r < 0 ? r : n;
}

static void links_note(struct backend *b, bool *is_news)
{
	for (unsigned int i = 0; i < b->d->config.uplink_count; i++) {
		const struct pmd_uplink *up =
			pmd_uplink_find(&b->fresh, b->d->config.uplinks[i].name);
		struct wish_uplink *wish = &b->uplinks[i];
		const bool was_down = wish->down_ns != 0;

		/* It is there as it should be, whatever came of asking for it. */
		if (up != NULL)
			wish->why = (struct err){ 0 };
		if (up != NULL && up->has_link) {
			wish->had_link = true;
			wish->down_ns = 0;
		} else if (wish->down_ns == 0) {
			wish->down_ns = now_ns();
		}
		*is_news |= was_down != (wish->down_ns != 0);
	}
}

static void publish(struct backend *b)
{
	bool is_news = false;

	look_lock(b);
	links_note(b, &is_news);
	b->status = b->fresh;
	is_news |= !b->has_status;
	b->has_status = true;
	look_unlock(b);
	if (is_news && b->d->monitor != NULL)
		monitor_kick(b->d->monitor);
}

/* Each step sees what the one before has made of it. */
static int steps_make(struct backend *b, struct err *e)
{
	const struct sync_wish w = { &b->d->config, b->uplinks, b->ports, b->port_count };
	int n, r = status_read(b, e);

	for (unsigned int step = 0; r == 0 && step < 4; step++) {
		n = requests_make(b, step == 0	 ? sync_clear(&w, &b->fresh)
				     : step == 1 ? sync_uplinks(&w, &b->fresh, now_ns())
				     : step == 2 ? sync_networks(&w, &b->fresh)
						 : sync_ports(&w, &b->fresh));
		if (n != 0)
			r = n < 0 ? err_set(e, -n, "viaduct-pmd does not answer")
				  : status_read(b, e);
	}
	return r;
}

static void look(struct backend *b)
{
	struct err e = { 0 };

	if (steps_make(b, &e) == 0) {
		b->silences = 0;
		publish(b);
		return;
	}
	if (b->silences == 0)
		log_err(&e, "viaduct-pmd");
	if (++b->silences < SILENCES)
		return;
	log_warn("viaduct-pmd: no good answer for %u looks: it is ended", b->silences);
	tell(b, "viaduct-pmd does not answer as it should: it is ended");
	backend_end(b);
	retry_later(b);
	b->restarts++;
	state_set(b, BACKEND_DOWN, &e);
}

static bool uplink_waits(const struct backend *b, unsigned int i, uint64_t now)
{
	return uplink_is_taken(b->d->config.uplinks[i].kind) && b->uplinks[i].device[0] == '\0' &&
	       now >= b->uplinks[i].retry_ns;
}

static void fns_take(struct backend *b)
{
	for (unsigned int i = 0; i < b->d->config.uplink_count; i++) {
		struct err e = { 0 };
		int r;

		if (!uplink_waits(b, i, now_ns()))
			continue;
		r = b->d->config.uplinks[i].kind == PMD_UPLINK_VF ? backend_vf_take(b, i, &e)
								  : backend_fn_take(b, i, &e);
		b->uplinks[i].retry_ns = r < 0 ? now_ns() + UPLINK_NS : 0;
		why_set(b, &b->uplinks[i].why, &e, b->d->config.uplinks[i].name);
	}
}

void backend_settle(struct backend *b, bool has_op)
{
	end_note(b);
	backend_vfs_check(b);
	if (!b->is_wanted && b->pidfd < 0 && b->state == BACKEND_DOWN)
		state_set(b, BACKEND_OFF, NULL);
	if (has_op && b->is_wanted)
		fns_take(b);
	if (b->is_wanted && b->pidfd < 0 && now_ns() >= b->retry_ns)
		start(b);
	if (b->pidfd >= 0)
		look(b);
	if (has_op && b->silences == 0) {
		backend_fns_return(b);
		backend_vfs_return(b);
	}
	backend_reach_settle(b, has_op);
}

/* Work locked. */
static bool needs_op(struct backend *b)
{
	bool is_any = backend_fns_are_left(b) || backend_vfs_are_left(b) ||
		      backend_reach_needs_op(b);

	for (unsigned int i = 0; !is_any && i < b->d->config.uplink_count; i++)
		is_any = uplink_waits(b, i, now_ns());
	return is_any;
}

/* Op and work locked. What is given back, the process has been seen to have let go. */
static void fns_settle(struct backend *b)
{
	if (b->is_wanted)
		fns_take(b);
	if (b->silences == 0 && (b->has_status || b->pidfd < 0)) {
		backend_fns_return(b);
		backend_vfs_return(b);
	}
	backend_reach_settle(b, true);
}

static int wait_ms(const struct backend *b)
{
	uint64_t now = now_ns();

	if (b->pidfd < 0 && b->is_wanted && b->retry_ns < now + TICK_MS * 1000000ULL)
		return b->retry_ns > now ? (int)((b->retry_ns - now) / 1000000) + 1 : 1;
	return TICK_MS;
}

static void *backend_main(void *arg)
{
	struct backend *b = arg;

	/* acquire: pairs with release in backend_destroy() */
	while (!atomic_load_explicit(&b->must_end, memory_order_acquire)) {
		struct pollfd p[2] = { { .fd = b->kick_fd, .events = POLLIN }, { .fd = -1 } };
		bool has_op;
		uint64_t n;
		int ms;

		work_lock(b);
		has_op = needs_op(b);
		work_unlock(b);
		/* Who has it may need us: then next time. */
		has_op = has_op && op_trylock(b->d) == 0;
		/* A start takes long: not with op held. */
		if (has_op) {
			work_lock(b);
			fns_settle(b);
			work_unlock(b);
			op_unlock(b->d);
		}
		work_lock(b);
		backend_settle(b, false);
		p[1] = (struct pollfd){ .fd = b->pidfd, .events = POLLIN };
		ms = wait_ms(b);
		work_unlock(b);
		backend_carriers_follow(b);
		if (poll(p, ARRAY_SIZE(p), ms) > 0 && p[0].revents != 0 &&
		    read(b->kick_fd, &n, sizeof(n)) < 0)
			log_warn("eventfd: %s", strerror(errno));
	}
	return NULL;
}

int backend_start(struct daemon *d, struct err *e)
{
	struct backend *b = d->backend;
	struct err filters = { 0 };
	int r;

	work_lock(b);
	b->is_wanted |= b->port_count > 0;
	if (backend_reach_load(b, &filters) < 0)
		log_err(&filters, "filters");
	backend_find(b);
	work_unlock(b);
	r = -pthread_create(&b->thread, NULL, backend_main, b);
	if (r < 0)
		return err_set(e, r, "the watch over viaduct-pmd: %s", strerror(-r));
	b->has_thread = true;
	return 0;
}
