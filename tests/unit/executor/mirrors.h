/* Mirrors in a state directory that is the test's folder (folder.h). */
#pragma once

#include <unistd.h>

#include "common/base/alloc.h"
#include "executor/git/mirror.h"
#include "tests/unit/executor/folder.h"

static int state_make(void **state)
{
	if (folder_make(state) < 0)
		return -1;
	git_library_init();
	folder_mkdir("mirrors");
	folder_mkdir("trash");
	return 0;
}

/* The one of this URL, for the attempt whose own would be FOLDER/own.git. */
static struct mirror mirror_of(const char *url)
{
	CLEANUP(free_p) char *own_path = xasprintf("%s/own.git", folder);
	struct mirror mirror;
	struct error err = ERROR_INIT;
	if (mirror_open(folder, own_path, url, &mirror, &err) < 0)
		fail_msg("%s", err.message);
	return mirror;
}

static inline bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Of a git_remote. */
static inline bool is_interrupted(void *ctx UNUSED)
{
	return true;
}
