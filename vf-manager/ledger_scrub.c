// SPDX-License-Identifier: BSD-3-Clause
/* Evidence of the wiping of VFs, in the ledger. */
#include "vf-manager/ledger_db.h"

#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>

int ledger_scrub_put(struct ledger *l, struct ledger_scrub *scrub, struct err *e)
{
	auto_stmt sqlite3_stmt *st = NULL;
	auto_free char *steps = json_dumps(scrub->steps, JSON_COMPACT);
	char pf[PCI_ADDR_TEXT];
	int r;

	if (steps == NULL)
		return err_set(e, ENOMEM, "no memory for the evidence");
	r = db_prepare(l, "INSERT OR REPLACE INTO scrubs VALUES(?,?,?,?,?,?)", &st, e);
	if (r < 0)
		return r;
	scrub->at = time(NULL);
	db_bind_text(st, 1, pci_addr_text(&scrub->pf, pf));
	sqlite3_bind_int(st, 2, scrub->index);
	sqlite3_bind_int64(st, 3, (sqlite3_int64)scrub->birth);
	sqlite3_bind_int64(st, 4, scrub->at);
	sqlite3_bind_int(st, 5, scrub->is_clean);
	db_bind_text(st, 6, steps);
	return sqlite3_step(st) == SQLITE_DONE ? 0 : db_failed(l->db, e);
}

int ledger_scrub_get(struct ledger *l, const struct pci_addr *pf, uint16_t index,
		     struct ledger_scrub *out, struct err *e)
{
	auto_hot sqlite3_stmt *st = NULL;
	char text[PCI_ADDR_TEXT];
	json_t *steps;
	int rc, r = db_prepare_hot(l, HOT_SCRUB_GET, &st, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, pci_addr_text(pf, text));
	sqlite3_bind_int(st, 2, index);
	rc = sqlite3_step(st);
	if (rc == SQLITE_DONE)
		return -ENOENT;
	if (rc != SQLITE_ROW)
		return db_failed(l->db, e);
	steps = json_loads(db_text(st, 3), JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_array(steps)) {
		json_decref(steps);
		return err_set(e, EBADMSG, "the state holds evidence that is damaged");
	}
	*out = (struct ledger_scrub){ .pf = *pf,
				      .index = index,
				      .birth = (uint64_t)sqlite3_column_int64(st, 0),
				      .at = sqlite3_column_int64(st, 1),
				      .is_clean = sqlite3_column_int(st, 2) != 0,
				      .steps = steps };
	return 0;
}
