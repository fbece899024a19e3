#include <stdatomic.h>

#include "common/pg/outbox.h"
#include "kiln_pg_sql.h"

/* At most one NOTIFY of this process is under way: whoever comes meanwhile leaves its wish to the one who sends. */
enum { IDLE, SENDING, SENDING_WITH_WISH };
static _Atomic int state = IDLE;

int outbox_notify(struct pg_conn *conn, struct error *err)
{
	int seen = IDLE;
	while (!atomic_compare_exchange_weak(&state, &seen, seen == IDLE ? SENDING : SENDING_WITH_WISH))
		;
	if (seen != IDLE)
		return 0;
	for (;;) {
		int result = pg_query(conn, &sql_outbox_notify, NULL, 0, NULL, err);
		int expected = SENDING;
		if (result < 0) {
			/* The wishes are lost with ours: the relays' timer is the safety net. */
			atomic_store(&state, IDLE);
			return -1;
		}
		if (atomic_compare_exchange_strong(&state, &expected, IDLE))
			return 0;
		atomic_store(&state, SENDING);
	}
}
