// SPDX-License-Identifier: BSD-3-Clause
/*
 * Room for the ledger's next writes on a disk that is full: blocks behind the end of SQLite's log, where each change goes first.
 * A VM can be stopped then, and a daemon that has ended, however, comes back: the log stays where it is, with its blocks.
 */
#include "vf-manager/ledger_db.h"

#include "base/fd.h"

#include <fcntl.h>
#include <stdio.h>

#define ROOM_BYTES (8 << 20) /* some 500 changes of a few pages each */

const char *ledger_file(const struct ledger *l)
{
	const char *file = sqlite3_db_filename(l->db, "main");

	return file != NULL ? file : "";
}

void ledger_room_keep(struct ledger *l)
{
	const char *file = ledger_file(l);
	char path[4096];
	auto_fd int fd = -1;
	int stays = 1;

	if (file[0] == '\0')
		return; /* in memory */
	sqlite3_file_control(l->db, "main", SQLITE_FCNTL_PERSIST_WAL, &stays);
	/* SQLite has no lock on this file that the closing would drop. */
	snprintf(path, sizeof(path), "%s-wal", file);
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		(void)fallocate(fd, FALLOC_FL_KEEP_SIZE, 0,
				ROOM_BYTES); /* a file system that cannot has none */
}

void ledger_room_leave(struct ledger *l)
{
	int stays = -1; /* asks */

	/* One that could not be opened keeps what it has. */
	if (ledger_file(l)[0] == '\0' ||
	    sqlite3_file_control(l->db, "main", SQLITE_FCNTL_PERSIST_WAL, &stays) != SQLITE_OK ||
	    stays != 1)
		return;
	/* Nothing is left in it that could be taken for news of a file that somebody puts in the ledger's place. The blocks go with
	 * it, and are taken again. */
	if (sqlite3_wal_checkpoint_v2(l->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) ==
	    SQLITE_OK)
		ledger_room_keep(l);
}
