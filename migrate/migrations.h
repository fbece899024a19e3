/* One file of migrations/, compiled in; the generated table kiln_migrations[] is in the order of the names and ends
 * with name NULL. */
#pragma once

#include <stddef.h>

struct migration_file {
	const char *name; /* "0002_projects.sql" */
	const char *data; /* NUL-terminated */
	size_t len;
};
