#include "executor/daemon/tidying.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "executor/daemon/attempts.h"
#include "executor/git/library.h"

#define MAX_UNDER_WAY 2
#define MAX_BYTES 65536

struct tidy {
	struct list_node node;
	struct fencing_token token;
	char *assignment;
	size_t len;
};

void tidying_init(struct tidying *tidying)
{
	*tidying = (struct tidying){.waiting_len = 0};
	list_init(&tidying->waiting);
}

static void tidy_free(struct tidy *tidy)
{
	free(tidy->assignment);
	free(tidy);
}

static struct tidy *pop(struct tidying *tidying)
{
	struct list_node *node = list_pop(&tidying->waiting);
	if (node == NULL)
		return NULL;
	tidying->waiting_len--;
	return LIST_ITEM(node, struct tidy, node);
}

void tidying_release(struct tidying *tidying)
{
	if (tidying->waiting_len > 0)
		log_warn("fence refs of ended builds stay", "builds", LOG_INT((int64_t)tidying->waiting_len), NULL);
	for (struct tidy *tidy = pop(tidying); tidy != NULL; tidy = pop(tidying))
		tidy_free(tidy);
}

static struct tidy *tidy_new(const struct fencing_token *token, const struct reported_text *stored)
{
	struct fencing_token own = *token;
	uuid_v4(own.lease_id); /* its own lock and workspace */
	struct buffer text;
	buffer_init(&text, MAX_BYTES);
	struct json_writer w;
	json_writer_init(&w, &text);
	json_object_begin(&w, NULL);
	fencing_token_write(&w, &own);
	json_string(&w, "mode", "tidy");
	json_bool(&w, "quiet", true);
	json_string(&w, "fence", stored->fence);
	json_tree(&w, "project", json_get(stored->assignment, "project"));
	json_tree(&w, "git", json_get(stored->assignment, "git"));
	json_object_end(&w);
	if (!buffer_ok(&text)) {
		buffer_release(&text);
		return NULL;
	}
	struct tidy *tidy = xcalloc(1, sizeof(*tidy));
	tidy->token = own;
	tidy->assignment = buffer_detach(&text, &tidy->len);
	return tidy;
}

void tidying_want(struct daemon *daemon, const struct fencing_token *token, const struct reported_text *stored)
{
	/* A closing mark stays for ever: it keeps out pushes that a server may still be working on, and it is rare. */
	if (stored->fence == NULL || str_equal(stored->fence, GIT_EMPTY_BLOB_SHA))
		return;
	struct tidying *tidying = &daemon->tidying;
	struct tidy *tidy = tidying->waiting_len < TIDYING_MAX_WAITING ? tidy_new(token, stored) : NULL;
	if (tidy == NULL) {
		log_warn("the fence ref of an ended build stays", "build_id", token->build_id, NULL);
		return;
	}
	list_append(&tidying->waiting, &tidy->node);
	tidying->waiting_len++;
}

static bool may_start(const struct daemon *daemon)
{
	return daemon->state == DAEMON_READY && !daemon->dead &&
		   daemon->held_len - attempts_slots_used(daemon) < MAX_UNDER_WAY;
}

void tidying_tick(struct daemon *daemon)
{
	while (may_start(daemon)) {
		struct tidy *tidy = pop(&daemon->tidying);
		if (tidy == NULL)
			return;
		const struct assigned assigned = {.data = tidy->assignment, .len = tidy->len, .traceparent = ""};
		(void)attempts_start(daemon, &tidy->token, &assigned,
							 true); /* without a child the fence stays: it has told why */
		tidy_free(tidy);
	}
}
