#include "tests/unit/unit.h"

#include "common/base/list.h"

struct item {
	int value;
	struct list_node node;
};

static int value_of(struct list_node *node)
{
	return node != NULL ? LIST_ITEM(node, struct item, node)->value : -1;
}

TEST(a_new_list_is_empty)
{
	struct list_node head;
	list_init(&head);
	assert_true(list_empty(&head));
	assert_null(list_pop(&head));
}

TEST(nodes_are_popped_in_the_order_of_their_appending)
{
	struct list_node head;
	struct item items[3] = {{.value = 1}, {.value = 2}, {.value = 3}};
	list_init(&head);
	for (int i = 0; i < 3; i++)
		list_append(&head, &items[i].node);
	for (int i = 1; i <= 3; i++)
		assert_int_equal(value_of(list_pop(&head)), i);
	assert_true(list_empty(&head));
}

TEST(removing_an_unlinked_node_is_harmless)
{
	struct item item;
	list_init(&item.node);
	list_remove(&item.node);
	list_remove(&item.node);
	assert_true(list_empty(&item.node));
}

TEST(the_current_node_may_be_removed_while_iterating)
{
	struct list_node head;
	struct item items[4] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
	list_init(&head);
	for (int i = 0; i < 4; i++)
		list_append(&head, &items[i].node);
	int visited = 0;
	LIST_FOR_EACH (node, &head) {
		visited++;
		if (value_of(node) % 2 == 0)
			list_remove(node);
	}
	assert_int_equal(visited, 4);
	assert_int_equal(value_of(list_pop(&head)), 1);
	assert_int_equal(value_of(list_pop(&head)), 3);
	assert_null(list_pop(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_list_is_empty),
		cmocka_unit_test(nodes_are_popped_in_the_order_of_their_appending),
		cmocka_unit_test(removing_an_unlinked_node_is_harmless),
		cmocka_unit_test(the_current_node_may_be_removed_while_iterating),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
