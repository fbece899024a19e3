#include "executor/daemon/over.h"

#include <string.h>

#include "common/base/str.h"

bool over_has(const struct over *over, const char *lease_id)
{
	for (size_t i = 0; i < OVER_MAX && over->lease_ids[i][0] != '\0'; i++) {
		if (str_equal(over->lease_ids[i], lease_id))
			return true;
	}
	return false;
}

void over_add(struct over *over, const char *lease_id)
{
	if (over_has(over, lease_id))
		return;
	memcpy(over->lease_ids[over->next], lease_id, UUID_TEXT_SIZE);
	over->next = (over->next + 1) % OVER_MAX;
}
