#include "executor/daemon/mailbox.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/mutex.h"
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
	mutex_init(&mailbox->lock);
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
	mutex_lock(&mailbox->lock);
	list_append(&mailbox->mails, &mail->node);
	if (mail->kind == MAIL_COMMAND)
		mailbox->commands++;
	mutex_unlock(&mailbox->lock);
	wakeup_signal(&mailbox->wakeup);
}

bool mailbox_command_room(struct mailbox *mailbox)
{
	mutex_lock(&mailbox->lock);
	bool room = mailbox->commands < MAX_COMMANDS;
	mutex_unlock(&mailbox->lock);
	return room;
}

int mailbox_fd(struct mailbox *mailbox)
{
	return mailbox->wakeup.fd;
}

void mailbox_take(struct mailbox *mailbox, struct list_node *ret)
{
	wakeup_clear(&mailbox->wakeup);
	mutex_lock(&mailbox->lock);
	for (struct list_node *node = list_pop(&mailbox->mails); node != NULL; node = list_pop(&mailbox->mails))
		list_append(ret, node);
	mailbox->commands = 0;
	mutex_unlock(&mailbox->lock);
}
