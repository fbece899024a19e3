#include "executor/trash.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/base/alloc.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/str.h"

void trash_move(const char *state_dir, const char *folder, const char *name)
{
	char id[UUID_TEXT_SIZE];
	uuid_v4(id); /* a second workspace of the same lease may come */
	CLEANUP(free_p) char *from = xasprintf("%s/%s/%s", state_dir, folder, name);
	CLEANUP(free_p) char *to = xasprintf("%s/trash/%s-%s", state_dir, name, id);
	(void)chmod(from, 0700); /* a directory that its agent made unwritable cannot be moved */
	if (rename(from, to) < 0 && errno != ENOENT)
		log_warn("cannot be moved to the trash", "path", from, NULL);
}

void trash_move_spare(const char *state_dir, int pid)
{
	char name[24];
	(void)snprintf(name, sizeof(name), "%d", pid);
	trash_move(state_dir, "spares", name);
	(void)snprintf(name, sizeof(name), "%d.new", pid); /* it was still being made */
	trash_move(state_dir, "spares", name);
}
