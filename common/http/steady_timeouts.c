#include "common/http/steady_timeouts.h"

#include <dlfcn.h>
#include <h2o.h>
#include <sys/time.h>

#include "common/base/clock.h"
#include "common/base/compiler.h"

static uint64_t steady_ms(void)
{
	return (uint64_t)clock_boot_ms();
}

/* As h2o reads it. */
static uint64_t wall_ms(void)
{
	struct timeval now;
	CHECK(gettimeofday(&now, NULL) == 0);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_usec / 1000;
}

static h2o_timeout_entry_t *first_of(h2o_timeout_t *timeout)
{
	if (h2o_linklist_is_empty(&timeout->_entries))
		return NULL;
	return H2O_STRUCT_FROM_MEMBER(h2o_timeout_entry_t, _link, timeout->_entries.next);
}

void h2o_timeout_link(h2o_loop_t *loop, h2o_timeout_t *timeout, h2o_timeout_entry_t *entry)
{
	CHECK(!h2o_timeout_is_linked(entry));
	h2o_linklist_insert(&timeout->_entries, &entry->_link);
	entry->registered_at = steady_ms();
	h2o_timeout__do_link(loop, timeout, entry);
}

void h2o_timeout_run(h2o_loop_t *loop, h2o_timeout_t *timeout, uint64_t wall_now_ms)
{
	(void)wall_now_ms;
	h2o_timeout_entry_t *entry = first_of(timeout);
	if (entry == NULL)
		return;
	uint64_t now = steady_ms();
	for (; entry != NULL && entry->registered_at + timeout->timeout <= now; entry = first_of(timeout)) {
		h2o_timeout_unlink(entry);
		entry->cb(entry);
		h2o_timeout__do_post_callback(loop);
	}
}

/* The wall clock's time when the first one will pass, as that clock goes now; UINT64_MAX: none. */
uint64_t h2o_timeout_get_wake_at(h2o_linklist_t *timeouts)
{
	uint64_t wake_at = UINT64_MAX;
	for (h2o_linklist_t *link = timeouts->next; link != timeouts; link = link->next) {
		h2o_timeout_t *timeout = H2O_STRUCT_FROM_MEMBER(h2o_timeout_t, _link, link);
		h2o_timeout_entry_t *entry = first_of(timeout);
		if (entry != NULL && entry->registered_at + timeout->timeout < wake_at)
			wake_at = entry->registered_at + timeout->timeout;
	}
	if (wake_at == UINT64_MAX)
		return wake_at;
	uint64_t now = steady_ms();
	return wall_ms() + (wake_at > now ? wake_at - now : 0);
}

bool steady_timeouts_in_place(void)
{
	return dlsym(RTLD_DEFAULT, "h2o_timeout_link") == (void *)h2o_timeout_link &&
		   dlsym(RTLD_DEFAULT, "h2o_timeout_run") == (void *)h2o_timeout_run &&
		   dlsym(RTLD_DEFAULT, "h2o_timeout_get_wake_at") == (void *)h2o_timeout_get_wake_at;
}
