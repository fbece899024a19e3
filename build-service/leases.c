#include "build-service/leases.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/map.h"

#define MAX_WORKERS (1 << 28) /* as many as have rows: one that is not minded would hold its attempts for ever */
#define MAX_TOKENS 10000      /* slots of one worker */

struct lease {
	struct fencing_token token;
	int64_t listed_ms; /* the last time it was listed, or first seen in the database */
	int lacking;
	bool accepted;
	uint64_t over;   /* the number of its leases_end; 0: it is not */
	int64_t told_ms; /* since then its worker says that Kafka has its result; 0: it does not */
	uint64_t round;  /* the worker's, when the database last had it */
};

struct worker_lease {
	char id[UUID_TEXT_SIZE];
	int32_t partition;
	int64_t heard_ms;
	uint64_t round;
	int64_t cut_ms;     /* when some of what was due was left for the next time */
	struct map *tokens; /* lease_id → struct lease */
};

struct leases {
	int64_t lease_ms;
	uint64_t ended; /* calls of leases_end */
	struct map *workers;
};

static void free_worker(void *value)
{
	struct worker_lease *worker = value;
	map_free(worker->tokens);
	free(worker);
}

struct leases *leases_new(int64_t lease_ms)
{
	struct leases *leases = xcalloc(1, sizeof(*leases));
	leases->lease_ms = lease_ms;
	leases->workers = map_new(MAX_WORKERS, free_worker);
	return leases;
}

void leases_free(struct leases *leases)
{
	if (leases == NULL)
		return;
	map_free(leases->workers);
	free(leases);
}

static void drop_partition(struct leases *leases, int32_t partition)
{
	for (struct map_iter it = {0}; map_next(leases->workers, &it);) {
		const struct worker_lease *worker = it.value;
		if (worker->partition == partition)
			(void)map_remove(leases->workers, it.key, it.key_len); /* is there */
	}
}

void leases_taken(struct leases *leases, int32_t partition)
{
	drop_partition(leases, partition);
}

void leases_lost(struct leases *leases, int32_t partition)
{
	drop_partition(leases, partition);
}

bool leases_minds(const struct leases *leases, const char *worker_id)
{
	return map_get_str(leases->workers, worker_id) != NULL;
}

/* NULL: it is not minded here. */
static struct lease *find_lease(const struct leases *leases, const char *worker_id, const struct fencing_token *token)
{
	const struct worker_lease *worker = map_get_str(leases->workers, worker_id);
	return worker == NULL ? NULL : map_get_str(worker->tokens, token->lease_id);
}

static struct worker_lease *add(struct leases *leases, const char *worker_id, int32_t partition)
{
	struct worker_lease *worker = xcalloc(1, sizeof(*worker));
	memcpy(worker->id, worker_id, UUID_TEXT_SIZE);
	worker->partition = partition;
	worker->heard_ms = clock_boot_ms();
	worker->tokens = map_new(MAX_TOKENS, free);
	CHECK(map_set(leases->workers, worker_id, strlen(worker_id), worker) == 0);
	return worker;
}

void leases_watch(struct leases *leases, const char *worker_id, int32_t partition)
{
	if (map_get_str(leases->workers, worker_id) == NULL)
		(void)add(leases, worker_id, partition); /* kept by the map */
}

void leases_run_out(struct leases *leases, const char *worker_id, int32_t partition)
{
	leases_watch(leases, worker_id, partition);
	struct worker_lease *worker = map_get_str(leases->workers, worker_id);
	worker->heard_ms = clock_boot_ms() - leases->lease_ms;
}

void leases_heard(struct leases *leases, const char *worker_id, int32_t partition)
{
	struct worker_lease *worker = map_get_str(leases->workers, worker_id);
	if (worker == NULL)
		worker = add(leases, worker_id, partition);
	worker->heard_ms = clock_boot_ms();
	for (struct map_iter it = {0}; map_next(worker->tokens, &it);) {
		const struct lease *lease = it.value;
		if (lease->round != worker->round)
			(void)map_remove(worker->tokens, it.key, it.key_len); /* is there: its attempt has ended */
	}
	worker->round++;
}

int leases_listed(struct leases *leases, const char *worker_id, const struct fencing_token *token, bool listed)
{
	struct worker_lease *worker = map_get_str(leases->workers, worker_id);
	CHECK(worker != NULL);
	struct lease *lease = map_get_str(worker->tokens, token->lease_id);
	if (lease == NULL) {
		lease = xcalloc(1, sizeof(*lease));
		lease->token = *token;
		lease->listed_ms = clock_boot_ms();
		if (map_set(worker->tokens, token->lease_id, strlen(token->lease_id), lease) < 0) {
			free(lease); /* more attempts than any worker may have: the worker's own lease minds it */
			return 0;
		}
	}
	lease->round = worker->round;
	if (listed) {
		lease->listed_ms = clock_boot_ms();
		lease->lacking = 0;
		lease->over = 0;
	} else {
		lease->lacking++;
	}
	return lease->lacking;
}

void leases_end(struct leases *leases, const char *worker_id, const struct fencing_token *token)
{
	struct lease *lease = find_lease(leases, worker_id, token);
	if (lease != NULL)
		lease->over = ++leases->ended;
}

void leases_told(struct leases *leases, const char *worker_id, const struct fencing_token *token, bool told)
{
	struct lease *lease = find_lease(leases, worker_id, token);
	if (lease != NULL && (!told || lease->told_ms == 0))
		lease->told_ms = told ? clock_boot_ms() : 0;
}

bool leases_accepted(struct leases *leases, const char *worker_id, const struct fencing_token *token)
{
	struct lease *lease = find_lease(leases, worker_id, token);
	if (lease == NULL || lease->accepted)
		return false;
	lease->accepted = true;
	lease->listed_ms = clock_boot_ms();
	return true;
}

static bool is_over(const struct lease *lease, uint64_t by)
{
	return lease->over != 0 && lease->over <= by;
}

static bool has_over(const struct worker_lease *worker, uint64_t by)
{
	for (struct map_iter it = {0}; map_next(worker->tokens, &it);) {
		if (is_over(it.value, by))
			return true;
	}
	return false;
}

static bool is_told(const struct lease *lease, int64_t by_ms)
{
	return lease->told_ms != 0 && lease->told_ms <= by_ms;
}

static bool has_told(const struct worker_lease *worker, int64_t by_ms)
{
	for (struct map_iter it = {0}; map_next(worker->tokens, &it);) {
		if (is_told(it.value, by_ms))
			return true;
	}
	return false;
}

static bool is_due(const struct leases *leases, const struct worker_lease *worker, int64_t now_ms,
				   struct lease_due *due)
{
	*due = (struct lease_due){.partition = worker->partition, .silent = now_ms - worker->heard_ms >= leases->lease_ms};
	memcpy(due->worker_id, worker->id, sizeof(due->worker_id));
	due->over = has_over(worker, leases->ended) ? leases->ended : 0;
	due->rest = worker->cut_ms != 0 && now_ms - worker->cut_ms < leases->lease_ms;
	if (due->silent)
		return true;
	due->told_ms = has_told(worker, now_ms - leases->lease_ms) ? now_ms - leases->lease_ms : 0;
	for (struct map_iter it = {0}; !due->cut && map_next(worker->tokens, &it);) {
		const struct lease *lease = it.value;
		if (lease->over != 0 || now_ms - lease->listed_ms < leases->lease_ms || lease->lacking == 0)
			continue;
		due->cut = due->tokens_len == ARRAY_LEN(due->tokens);
		if (!due->cut)
			due->tokens[due->tokens_len++] = lease->token;
	}
	return due->over != 0 || due->told_ms != 0 || due->tokens_len > 0;
}

size_t leases_due(struct leases *leases, size_t skip, struct lease_due *ret_due, size_t max)
{
	size_t len = 0;
	int64_t now_ms = clock_boot_ms();
	for (struct map_iter it = {0}; len < max && map_next(leases->workers, &it);) {
		if (!is_due(leases, it.value, now_ms, &ret_due[len]))
			continue;
		if (skip > 0)
			skip--;
		else
			len++;
	}
	return len;
}

bool lease_due_has(const struct lease_due *due, const struct fencing_token *token)
{
	if (due->silent)
		return true;
	for (size_t i = 0; i < due->tokens_len; i++) {
		if (fencing_token_equal(&due->tokens[i], token))
			return true;
	}
	return false;
}

bool leases_due_is_over(const struct leases *leases, const struct lease_due *due, const struct fencing_token *token)
{
	const struct lease *lease = find_lease(leases, due->worker_id, token);
	return lease != NULL && is_over(lease, due->over);
}

bool leases_due_is_told(const struct leases *leases, const struct lease_due *due, const struct fencing_token *token)
{
	const struct lease *lease = find_lease(leases, due->worker_id, token);
	return lease != NULL && is_told(lease, due->told_ms);
}

bool leases_still_due(struct leases *leases, struct lease_due *due)
{
	const struct worker_lease *worker = map_get_str(leases->workers, due->worker_id);
	const struct lease_due then = *due;
	if (worker == NULL || !is_due(leases, worker, clock_boot_ms(), due))
		return false;
	due->over = has_over(worker, then.over) ? then.over : 0;
	due->told_ms = has_told(worker, then.told_ms) ? then.told_ms : 0;
	if (due->silent)
		return then.silent;
	size_t left = 0;
	for (size_t i = 0; i < due->tokens_len; i++) {
		if (lease_due_has(&then, &due->tokens[i]))
			due->tokens[left++] = due->tokens[i];
	}
	due->tokens_len = left;
	return due->over != 0 || due->told_ms != 0 || left > 0;
}

void leases_expired_in_part(struct leases *leases, const struct lease_due *due)
{
	struct worker_lease *worker = map_get_str(leases->workers, due->worker_id);
	if (worker != NULL)
		worker->cut_ms = clock_boot_ms();
}

void leases_forget_due(struct leases *leases, const struct lease_due *due)
{
	struct worker_lease *worker = map_get_str(leases->workers, due->worker_id);
	if (worker == NULL)
		return;
	if (due->silent) {
		(void)map_remove(leases->workers, due->worker_id, strlen(due->worker_id)); /* is there */
		return;
	}
	worker->cut_ms = due->cut ? clock_boot_ms() : 0;
	for (struct map_iter it = {0}; map_next(worker->tokens, &it);) {
		const struct lease *lease = it.value;
		if (is_over(lease, due->over) || is_told(lease, due->told_ms) || lease_due_has(due, &lease->token))
			(void)map_remove(worker->tokens, it.key, it.key_len); /* is there */
	}
}
