// SPDX-License-Identifier: BSD-3-Clause
/* Intents in the ledger, and the attributes of a VF as text. */
#include "vf-manager/ledger_db.h"

#include <errno.h>
#include <stdio.h>

static const char *const names[INTENT_KINDS] = {
	[INTENT_PF_VFS] = "pf-vfs",
	[INTENT_VF_ATTRS] = "vf-attrs",
};

char *db_attrs_text(const struct vf_attrs *a, char buf[DB_ATTRS_TEXT])
{
	char mac[MAC_TEXT];

	buf[0] = '\0';
	if (a->mask != 0)
		snprintf(buf, DB_ATTRS_TEXT, "%x %u %u %s %u %u %x %u %u %u", a->mask, a->trust,
			 a->spoofchk, mac_text(a->mac, mac), a->vlan, a->qos, a->vlan_proto,
			 a->min_mbps, a->max_mbps, a->link_state);
	return buf;
}

int db_attrs_parse(const char *text, struct vf_attrs *out)
{
	unsigned int mask, trust, spoofchk, vlan, qos, proto, link;
	struct vf_attrs a = { 0 };
	char mac[MAC_TEXT];
	int end = 0;

	if (*text == '\0') {
		*out = a;
		return 0;
	}
	if (sscanf(text, "%x %u %u %17s %u %u %x %u %u %u%n", &mask, &trust, &spoofchk, mac, &vlan,
		   &qos, &proto, &a.min_mbps, &a.max_mbps, &link, &end) != 10 ||
	    text[end] != '\0' || (mask & ~VF_ATTRS_ALL) != 0 || trust > 1 || spoofchk > 1 ||
	    vlan > VLAN_ID_MAX || qos > VLAN_QOS_MAX || link > VF_LINK_DOWN ||
	    parse_mac(mac, a.mac) < 0)
		return -EBADMSG;
	a.mask = mask;
	a.trust = trust != 0;
	a.spoofchk = spoofchk != 0;
	a.vlan = (uint16_t)vlan;
	a.qos = (uint8_t)qos;
	a.vlan_proto = (uint16_t)proto;
	a.link_state = (enum vf_link_state)link;
	*out = a;
	return 0;
}

static int kind_parse(const char *text, enum intent_kind *out)
{
	for (unsigned int i = 0; i < INTENT_KINDS; i++) {
		if (strcmp(names[i], text) == 0) {
			*out = (enum intent_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int row_cmp(const void *a, const void *b)
{
	const struct intent_row *x = a, *y = b;
	int c = pci_addr_cmp(&x->pf, &y->pf);

	if (c == 0)
		c = (int)x->kind - (int)y->kind;
	return c != 0 ? c : (int)x->index - (int)y->index;
}

void ledger_intent_init(struct ledger *l)
{
	l->intents = (struct table){ .item_bytes = sizeof(struct intent_row), .cmp = row_cmp };
}

int ledger_intents_load(struct ledger *l, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	int rc, r = db_prepare(l,
			       "SELECT kind, pf, idx, vfs, generation, attrs, uid, boot_id"
			       " FROM intents",
			       &st, e);

	if (r < 0)
		return r;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct intent_row row = { .index = (uint16_t)sqlite3_column_int(st, 2),
					  .vfs = (uint16_t)sqlite3_column_int(st, 3),
					  .uid = (uid_t)sqlite3_column_int64(st, 6) };

		if (kind_parse(db_text(st, 0), &row.kind) < 0 ||
		    parse_pci_addr(db_text(st, 1), &row.pf) < 0 ||
		    db_attrs_parse(db_text(st, 5), &row.before) < 0)
			return err_set(e, EBADMSG, "the state holds an intent that is damaged");
		row.generation = (uint64_t)sqlite3_column_int64(st, 4);
		snprintf(row.boot_id, sizeof(row.boot_id), "%s", db_text(st, 7));
		r = table_put(&l->intents, &row, e);
		if (r < 0)
			return r;
	}
	return rc == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

const struct intent_row *ledger_intent_find(const struct ledger *l, enum intent_kind kind,
					    const struct pci_addr *pf, uint16_t index)
{
	const struct intent_row key = { .kind = kind, .pf = *pf, .index = index };

	return table_find(&l->intents, &key);
}

size_t ledger_intent_count(const struct ledger *l)
{
	return l->intents.count;
}

const struct intent_row *ledger_intent_at(const struct ledger *l, size_t i)
{
	return (const struct intent_row *)l->intents.items + i;
}

int ledger_intent_put(struct ledger *l, const struct intent_row *row, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	char pf[PCI_ADDR_TEXT], before[DB_ATTRS_TEXT];
	int r = table_reserve(&l->intents, e);

	if (r == 0)
		r = db_prepare(l, "INSERT OR REPLACE INTO intents VALUES(?,?,?,?,?,?,?,?)", &st, e);
	if (r < 0)
		return r;
	db_bind_text(st, 1, names[row->kind]);
	db_bind_text(st, 2, pci_addr_text(&row->pf, pf));
	sqlite3_bind_int(st, 3, row->index);
	sqlite3_bind_int(st, 4, row->vfs);
	sqlite3_bind_int64(st, 5, (sqlite3_int64)row->generation);
	db_bind_text(st, 6, db_attrs_text(&row->before, before));
	sqlite3_bind_int64(st, 7, row->uid);
	db_bind_text(st, 8, row->boot_id);
	if (sqlite3_step(st) != SQLITE_DONE)
		return db_failed(l->db, e);
	return table_put(&l->intents, row, e);
}

/* In the database alone. */
static int intent_erase(struct ledger *l, const struct intent_row *row, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	char pf[PCI_ADDR_TEXT];
	int r = db_prepare(l, "DELETE FROM intents WHERE kind = ? AND pf = ? AND idx = ?", &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, names[row->kind]);
	db_bind_text(st, 2, pci_addr_text(&row->pf, pf));
	sqlite3_bind_int(st, 3, row->index);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int ledger_intent_del(struct ledger *l, const struct intent_row *row, struct err *e)
{
	const struct intent_row key = *row; /* `row` may be the table's own */
	int r = intent_erase(l, &key, e);

	if (r == 0)
		table_del(&l->intents, &key);
	return r;
}

static int erase_also(struct ledger *l, const void *arg, struct err *e)
{
	return intent_erase(l, arg, e);
}

int ledger_intent_confirm(struct ledger *l, const struct intent_row *intent,
			  const struct vf_row *row, struct err *e)
{
	const struct vf_row *now = ledger_vf_find(l, &row->pf, row->index);
	const struct also also = { erase_also, intent };
	int r;

	if (now == NULL)
		return err_set(e, ENOENT, "the ledger has no such VF");
	r = now->state == row->state ? 0 : vf_state_check(now->state, row->state, e);
	if (r == 0)
		r = ledger_vf_force_also(l, row, &also, e);
	if (r == 0)
		table_del(&l->intents, intent);
	return r;
}
