/* A folder of a test's own, removed at its end. */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "executor/remove_tree.h"

static char folder[64];

static int folder_make(void **state UNUSED)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/kiln-unit-XXXXXX");
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static int folder_remove(void **state UNUSED)
{
	struct error err = ERROR_INIT;
	return remove_tree(AT_FDCWD, folder, clock_boot_ms() + 30000, &err);
}

static inline void folder_write(const char *name, const char *text)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static inline void folder_mkdir(const char *name)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

static inline void folder_link(const char *target, const char *name)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(symlink(target, path), 0);
}
