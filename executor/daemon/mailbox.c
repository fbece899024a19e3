#include "executor/daemon/mailbox.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/wakeup.h"

#define MAX_COMMANDS 1000

struct mailbox {
	pthread_mutex_t lock;
	struct list_node mails;
	size_t commands;
	struct wakeup wakeup;
};

struct mailbox *mailbox_new(void)
{
	struct mailbox *mailbox = xcalloc(1, sizeof(*mailbox));
	CHECK(pthread_mutex_init(&mailbox->lock, NULL) == 0);
	list_init(&mailbox->mails);
	wakeup_init(&mailbox->wakeup);
	return mailbox;
}

void mail_free(struct mail *mail)
{
	free(mail->type);
	free(mail->data);
	free(mail);
}

void mailbox_free(struct mailbox *mailbox)
{
	for (struct list_node *node = list_pop(&mailbox->mails); node != NULL; node = list_pop(&mailbox->mails))
		mail_free(LIST_ITEM(node, struct mail, node));
	wakeup_release(&mailbox->wakeup);
	CHECK(pthread_mutex_destroy(&mailbox->lock) == 0);
	free(mailbox);
}

void mailbox_post(struct mailbox *mailbox, struct mail *mail)
{
	CHECK(pthread_mutex_lock(&mailbox->lock) == 0);
	list_append(&mailbox->mails, &mail->node);
	if (mail->kind == MAIL_COMMAND)
		mailbox->commands++;
	CHECK(pthread_mutex_unlock(&mailbox->lock) == 0);
	wakeup_signal(&mailbox->wakeup);
}

bool mailbox_command_room(struct mailbox *mailbox)
{
	CHECK(pthread_mutex_lock(&mailbox->lock) == 0);
	bool room = mailbox->commands < MAX_COMMANDS;
	CHECK(pthread_mutex_unlock(&mailbox->lock) == 0);
	return room;
}

int mailbox_fd(struct mailbox *mailbox)
{
	return mailbox->wakeup.fd;
}

void mailbox_take(struct mailbox *mailbox, struct list_node *ret)
{
	wakeup_clear(&mailbox->wakeup);
	CHECK(pthread_mutex_lock(&mailbox->lock) == 0);
	for (struct list_node *node = list_pop(&mailbox->mails); node != NULL; node = list_pop(&mailbox->mails))
		list_append(ret, node);
	mailbox->commands = 0;
	CHECK(pthread_mutex_unlock(&mailbox->lock) == 0);
}
