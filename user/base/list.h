/* SPDX-License-Identifier: MIT */
/* Intrusive doubly linked list. A node must be initialised before it is removed. */
#ifndef OSH_BASE_LIST_H
#define OSH_BASE_LIST_H

#include <stdbool.h>

#include "base/macros.h"

struct osh_list {
	struct osh_list *prev, *next;
};

static inline void osh_list_init(struct osh_list *list)
{
	list->prev = list->next = list;
}

static inline bool osh_list_is_empty(const struct osh_list *list)
{
	return list->next == list;
}

static inline void osh_list_add_tail(struct osh_list *list, struct osh_list *node)
{
	node->prev = list->prev;
	node->next = list;
	list->prev->next = node;
	list->prev = node;
}

static inline void osh_list_add_head(struct osh_list *list, struct osh_list *node)
{
	osh_list_add_tail(list->next, node);
}

static inline void osh_list_del(struct osh_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->prev = node->next = node;
}

#define osh_list_for_each(it, list) for (it = (list)->next; it != (list); it = it->next)
#define osh_list_for_each_safe(it, tmp, list) \
	for (it = (list)->next, tmp = it->next; it != (list); it = tmp, tmp = it->next)
#define osh_list_entry(node, type, member) osh_container_of(node, type, member)

#endif
