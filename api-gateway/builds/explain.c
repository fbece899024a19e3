#include "api-gateway/builds/explain.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/str.h"

const char *explain_standing_name(enum explain_standing standing)
{
	static const char *const names[] = {"free", "busy", "draining", "lost", "silent", "behind"};
	return names[standing];
}

/* --- by the dispatcher's own match --- */

static const struct match_worker *find_ready(const struct explain_input *input, const char *id)
{
	for (size_t i = 0; i < input->ready_len; i++) {
		if (strcmp(input->ready[i].address.worker_id, id) == 0)
			return &input->ready[i];
	}
	return NULL;
}

/* Moves those that can serve the build to the front. Whether one is free is the dispatcher's word. */
static size_t find_fitting(struct explain_input *input)
{
	size_t fitting = 0;
	for (size_t i = 0; i < input->workers_len; i++) {
		struct explain_worker worker = input->workers[i];
		if (!match_can_serve(&input->all[i], input->class_name))
			continue;
		const struct match_worker *ready = find_ready(input, worker.id);
		if (ready != NULL)
			worker.standing = EXPLAIN_FREE;
		else if (worker.standing == EXPLAIN_FREE)
			worker.standing = EXPLAIN_BUSY;
		input->workers[i] = input->workers[fitting];
		input->workers[fitting++] = worker;
	}
	return fitting;
}

static bool any(const struct explain_input *input, size_t fitting, enum explain_standing standing)
{
	for (size_t i = 0; i < fitting; i++) {
		if (input->workers[i].standing == standing)
			return true;
	}
	return false;
}

/* Only this build, and all that is free: what stands in its way that is not another build. */
static struct match_candidate match_alone(const struct explain_input *input)
{
	struct match_candidate alone = {.class_name = input->class_name, .limit = input->limit};
	memcpy(alone.build_id, input->build_id, UUID_TEXT_SIZE);
	memcpy(alone.project_id, input->project_id, UUID_TEXT_SIZE);
	int32_t *before = xcalloc(input->ready_len + 1, sizeof(*before));
	for (size_t i = 0; i < input->ready_len; i++)
		before[i] = input->ready[i].free;
	(void)match(input->ready, input->ready_len, &alone, 1, input->slots, input->slots_len); /* `alone` tells it all */
	for (size_t i = 0; i < input->ready_len; i++)
		input->ready[i].free = before[i];
	free(before);
	return alone;
}

/* One that is parked comes back into the line for a place in its project, after those before it. */
static bool comes_back(const struct explain_input *input)
{
	int64_t places = input->limit;
	for (size_t i = 0; i < input->slots_len; i++)
		places -= strcmp(input->slots[i].project_id, input->project_id) == 0;
	return input->limit == 0 || input->project_ahead < places;
}

/* As the dispatcher would do it now. */
static bool match_all(const struct explain_input *input)
{
	(void)match(input->ready, input->ready_len, input->candidates, input->candidates_len, input->slots,
				input->slots_len); /* the candidates tell it all */
	for (size_t i = 0; i < input->candidates_len; i++) {
		if (strcmp(input->candidates[i].build_id, input->build_id) == 0)
			return input->candidates[i].worker != NULL;
	}
	return false;
}

static unsigned find_blockers(const struct explain_input *input, size_t fitting)
{
	unsigned blockers = input->delayed ? EXPLAIN_NOT_BEFORE : 0;
	struct match_candidate alone = match_alone(input);
	if (alone.full)
		blockers |= EXPLAIN_PROJECT_FULL;
	if (input->project_gone)
		blockers |= EXPLAIN_PROJECT_GONE;
	if (fitting == 0)
		return blockers | EXPLAIN_NO_WORKER;
	if (!any(input, fitting, EXPLAIN_FREE))
		return blockers | (any(input, fitting, EXPLAIN_BUSY) ? EXPLAIN_SLOTS_BUSY : EXPLAIN_WORKERS_AWAY);
	if (blockers == 0 && !(input->parked ? comes_back(input) : match_all(input)))
		blockers |= EXPLAIN_BEHIND_OTHERS;
	return blockers;
}

/* --- its turn --- */

/* Builds before it that could take what it waits for: of a class that some worker which fits it can serve as well. */
static int64_t count_ahead(const struct explain_input *input)
{
	int64_t ahead = 0;
	for (size_t i = 0; i < input->line_len; i++) {
		bool competes = strcmp(input->line[i].class_name, input->class_name) == 0;
		for (size_t w = 0; !competes && w < input->workers_len; w++)
			competes = match_can_serve(&input->all[w], input->class_name) &&
					   match_can_serve(&input->all[w], input->line[i].class_name);
		if (competes)
			ahead += input->line[i].ahead;
	}
	return ahead;
}

/* --- when --- */

static int compare_times(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
	return left < right ? -1 : left > right;
}

/*
 * The time from now at which the one with `ahead` others before it gets one of `len` places, of which these get free at
 * `times`. When all run equally long, mean_ms, what gets free first is taken first and gets free again mean_ms later:
 * one round of all places after the other, in the order of `times`, which are mean_ms apart at most.
 */
static int64_t turn_ms(int64_t *times, size_t len, int64_t ahead, int64_t mean_ms)
{
	qsort(times, len, sizeof(*times), compare_times);
	return times[ahead % (int64_t)len] + ahead / (int64_t)len * mean_ms;
}

static int64_t left_ms(const struct explain_held *held, int64_t mean_ms)
{
	return held->elapsed_ms >= mean_ms ? 0 : mean_ms - held->elapsed_ms;
}

static bool gives_slots(const struct explain_input *input, size_t fitting, const char *worker_id)
{
	for (size_t i = 0; i < fitting; i++) {
		const struct explain_worker *worker = &input->workers[i];
		if (strcmp(worker->id, worker_id) == 0)
			return worker->standing == EXPLAIN_FREE || worker->standing == EXPLAIN_BUSY;
	}
	return false;
}

/* The slots that fit, free and busy ones. -1: there is none. */
static int64_t slot_ms(const struct explain_input *input, size_t fitting, int64_t ahead)
{
	size_t size = input->held_len, len = 0;
	for (size_t i = 0; i < fitting; i++)
		size += input->workers[i].free > 0 ? (size_t)input->workers[i].free : 0;
	CLEANUP(free_p) int64_t *times = xcalloc(size + 1, sizeof(*times));
	for (size_t i = 0; i < fitting; i++) {
		for (int32_t slot = 0; input->workers[i].standing == EXPLAIN_FREE && slot < input->workers[i].free; slot++)
			times[len++] = 0;
	}
	for (size_t i = 0; i < input->held_len; i++) {
		if (gives_slots(input, fitting, input->held[i].worker_id))
			times[len++] = left_ms(&input->held[i], input->mean_ms);
	}
	return len > 0 ? turn_ms(times, len, ahead, input->mean_ms) : -1;
}

/* The places in its project. */
static int64_t place_ms(const struct explain_input *input)
{
	size_t len = 0, limit = (size_t)input->limit;
	CLEANUP(free_p) int64_t *times = xcalloc(input->held_len + limit + 1, sizeof(*times));
	for (size_t i = 0; i < input->held_len; i++) {
		if (strcmp(input->held[i].project_id, input->project_id) == 0)
			times[len++] = left_ms(&input->held[i], input->mean_ms);
	}
	/* More than may run, because the limit was lowered: the first ones to end make no room. */
	size_t surplus = len > limit ? len - limit : 0;
	while (len < limit)
		times[len++] = 0;
	qsort(times, len, sizeof(*times), compare_times);
	return turn_ms(times + surplus, limit, input->project_ahead, input->mean_ms);
}

static int64_t estimate_us(const struct explain_input *input, const struct explanation *found, int64_t ahead)
{
	int64_t wait_ms = 0;
	if (input->project_gone)
		return -1;
	if (found->blockers != 0 && (found->blockers & ~(unsigned)EXPLAIN_NOT_BEFORE) != 0) {
		if (input->mean_ms < 0)
			return -1;
		wait_ms = slot_ms(input, found->fitting, ahead);
		if (wait_ms < 0)
			return -1;
		int64_t room_ms = input->limit > 0 ? place_ms(input) : 0;
		wait_ms = room_ms > wait_ms ? room_ms : wait_ms;
	}
	int64_t starts_us = input->now_us + wait_ms * 1000;
	return input->delayed && input->not_before_us > starts_us ? input->not_before_us : starts_us;
}

struct explanation explain(struct explain_input *input)
{
	struct explanation found = {.fitting = 0};
	int64_t ahead = count_ahead(input); /* before the workers are moved */
	found.fitting = find_fitting(input);
	found.blockers = find_blockers(input, found.fitting);
	found.in_project_line = (found.blockers & EXPLAIN_PROJECT_FULL) != 0;
	found.position = 1 + (found.in_project_line ? input->project_ahead : ahead);
	found.starts_us = estimate_us(input, &found, ahead);
	return found;
}

/* --- in words --- */

static bool anybody_has(const struct explain_input *input, const char *agent, const char *label)
{
	for (size_t i = 0; i < input->workers_len; i++) {
		const struct match_worker *worker = &input->all[i];
		if (strv_contains(worker->agents, agent) && (label == NULL || strv_contains(worker->labels, label)))
			return true;
	}
	return false;
}

/* Those of the labels that nobody has, or all; how many. A buffer is looked at when it is used. */
static size_t list_labels(const struct explain_input *input, char *const *parts, bool all, struct buffer *ret)
{
	size_t count = 0;
	for (char *const *label = parts + 1; *label != NULL; label++) {
		if (all || !anybody_has(input, parts[0], *label))
			(void)buffer_appendf(ret, "%s\"%s\"", count++ > 0 ? ", " : "", *label);
	}
	return count;
}

void explain_no_worker(const struct explain_input *input, struct buffer *ret)
{
	CLEANUP(strv_free_p) char **parts = strv_split(input->class_name, ',');
	CLEANUP(buffer_release_p) struct buffer labels;
	buffer_init(&labels, 4096); /* 32 labels of 63 characters, and what is around them */
	if (input->workers_len == 0 || parts[0] == NULL) {
		(void)buffer_append_str(ret, "There is no worker."); /* it fits, like the rest */
	} else if (!anybody_has(input, parts[0], NULL)) {
		(void)buffer_appendf(ret, "No worker has the agent \"%s\".", parts[0]);
	} else {
		size_t missing = list_labels(input, parts, false, &labels);
		if (missing == 0) /* each is somewhere */
			(void)list_labels(input, parts, true, &labels);
		(void)buffer_appendf(ret, "No worker with the agent \"%s\" has %s %s.", parts[0],
							 missing == 0   ? "all of the labels"
							 : missing == 1 ? "the label"
											: "one of the labels",
							 labels.data != NULL ? labels.data : "");
	}
}
