/* Intrusive doubly linked list. A node is in at most one list; an unlinked node points to itself. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/compiler.h"

struct list_node {
	struct list_node *next, *prev;
};

static inline void list_init(struct list_node *node)
{
	node->next = node->prev = node;
}

static inline bool list_empty(const struct list_node *head)
{
	return head->next == head;
}

static inline void list_append(struct list_node *head, struct list_node *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

/* Safe on an unlinked node. */
static inline void list_remove(struct list_node *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* Removes and returns the first node, or NULL. */
static inline struct list_node *list_pop(struct list_node *head)
{
	struct list_node *node = head->next;
	if (node == head)
		return NULL;
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): that a node which was freed is in no list any more is beyond it */
	list_remove(node);
	return node;
}

/* The current node may be removed in the body. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a variable's name cannot be put in parentheses */
#define LIST_FOR_EACH(cursor, head)                                                                                    \
	for (struct list_node *cursor = (head)->next, *cursor##_next = cursor->next; cursor != (head);                     \
		 cursor = cursor##_next, cursor##_next = cursor->next)
/* NOLINTEND(bugprone-macro-parentheses) */

#define LIST_ITEM(node, type, member) CONTAINER_OF(node, type, member)
