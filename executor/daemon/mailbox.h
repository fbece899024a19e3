/*
 * What Kafka's threads and the state's writer have for the main thread, in one order: a cancel that was read before an
 * announcement was acknowledged is handled before it (docs/protocol.md, M9). One mutex; deliveries are as many as there
 * are messages under way, commands are bounded by mailbox_command_room.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/base/list.h"
#include "common/kafka/cloudevent.h"

struct mailbox;

enum mail_kind {
	MAIL_COMMAND,    /* a record of our assignments partition with our key */
	MAIL_POSITIONED, /* the assignments are being read, from offset `value` on */
	MAIL_DELIVERED,  /* the fate of `message` (sender.h) */
	MAIL_HEARTBEAT,  /* Kafka has acknowledged the heartbeat that was created at `value` (clock_boot_ms) */
	MAIL_SAVED,      /* the result of `lease_id` is on the disk, or will not be: `outcome`, `data` says why */
};

struct mail {
	struct list_node node;
	enum mail_kind kind;
	char *type, *data; /* heap. MAIL_COMMAND: ce_type and value; MAIL_SAVED: NULL and the error's text, or NULL */
	size_t len;
	char traceparent[CLOUDEVENT_TRACEPARENT_SIZE]; /* MAIL_COMMAND: "" = none */
	void *message;                                 /* MAIL_DELIVERED */
	enum error_kind outcome;                       /* MAIL_DELIVERED, MAIL_SAVED: ERR_NONE = acknowledged, saved */
	char lease_id[UUID_TEXT_SIZE];                 /* MAIL_SAVED */
	int64_t value;
};

struct mailbox *mailbox_new(void);
void mailbox_free(struct mailbox *mailbox); /* with what is in it */

/* Any thread. The mail (heap) is handed over. */
void mailbox_post(struct mailbox *mailbox, struct mail *mail);
/* Whether another command may be posted now. Any thread. */
bool mailbox_command_room(struct mailbox *mailbox);

/* The main thread: readable when there is mail; moves all of it to `ret` (an initialised list head). */
int mailbox_fd(struct mailbox *mailbox);
void mailbox_take(struct mailbox *mailbox, struct list_node *ret);
void mail_free(struct mail *mail);
