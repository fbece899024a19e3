#include <errno.h>
#include <poll.h>
#include <stdatomic.h>

#include "common/base/clock.h"
#include "common/pg/pg_private.h"

int pg_wait_socket(struct pg_conn *conn, bool want_write, int64_t deadline_ms, struct error *err)
{
	struct pollfd poller = {.fd = PQsocket(conn->pg), .events = (short)(POLLIN | (want_write ? POLLOUT : 0))};
	if (poller.fd < 0)
		return pg_connection_error(conn, ERR_UNAVAILABLE, err);
	for (;;) {
		/* Also after the deadline the socket is looked at: this process may have been frozen with the answer waiting.
		 */
		int left_ms = clock_left_ms(deadline_ms);
		int count = poll(&poller, 1, left_ms);
		if (count > 0)
			return 0;
		if (count == 0 && clock_left_ms(deadline_ms) == 0)
			return error_set(err, ERR_TIMEOUT, "postgres: no answer in time");
		if (count < 0 && errno != EINTR)
			return error_set_errno(err, errno, "poll");
	}
}

int pg_wait_result(struct pg_conn *conn, int64_t deadline_ms, struct error *err)
{
	for (;;) {
		int unsent = PQflush(conn->pg);
		if (unsent < 0)
			return pg_connection_error(conn, ERR_UNAVAILABLE, err);
		if (unsent == 0 && PQisBusy(conn->pg) == 0)
			return 0;
		if (pg_wait_socket(conn, unsent == 1, deadline_ms, err) < 0)
			return -1;
		if (PQconsumeInput(conn->pg) == 0)
			return pg_connection_error(conn, ERR_UNAVAILABLE, err);
	}
}

/* True when there was one of another session. */
static bool take_notifications(struct pg_conn *conn, void (*each)(void *ctx, const char *payload), void *ctx)
{
	bool taken = false;
	PGnotify *notification;
	while (conn->pg != NULL && (notification = PQnotifies(conn->pg)) != NULL) {
		if (notification->be_pid != PQbackendPID(conn->pg)) {
			taken = true;
			if (each != NULL)
				each(ctx, notification->extra);
		}
		PQfreemem(notification);
	}
	return taken;
}

/* True when the wakeup is signalled. */
static bool wait_told(struct pg_conn *conn, const struct wakeup *wakeup, int timeout_ms)
{
	PGconn *pg = conn->pg;
	struct pollfd pollers[] = {
		{.fd = wakeup->fd, .events = POLLIN},
		{.fd = pg == NULL ? -1 : PQsocket(pg), .events = POLLIN},
	};
	(void)poll(pollers, ARRAY_LEN(pollers), timeout_ms); /* EINTR is a wait that was shorter */
	if (pollers[1].revents != 0 && PQconsumeInput(pg) == 0)
		pg_disconnect(conn);
	return pollers[0].revents != 0;
}

void pg_wait_notified(struct pg_conn *conn, const struct pg_notified *wait, int64_t deadline_ms)
{
	int left_ms;
	while (!atomic_load(wait->stop) && !take_notifications(conn, wait->each, wait->ctx) &&
		   (left_ms = clock_left_ms(deadline_ms)) > 0) {
		if (wait_told(conn, wait->wakeup, left_ms))
			return;
	}
}
