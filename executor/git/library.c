#include "executor/git/library.h"

#include <stdarg.h>

#include "executor/git/rule_files.h"

#define CACHE_BYTES ((size_t)32 * 1024 * 1024)

void git_library_init(void)
{
	CHECK(git_libgit2_init() >= 0);
	CHECK(rule_files_in_place());
	static const int levels[] = {GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG,
								 GIT_CONFIG_LEVEL_GLOBAL};
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		CHECK(git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "") == 0);
	CHECK(git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0) == 0);
	CHECK(git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, (ssize_t)CACHE_BYTES) == 0);
}

int git_library_error(struct error *err, enum error_kind kind, const char *format, ...)
{
	const git_error *last = git_error_last();
	char what[256];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	const char *message = last != NULL && last->message != NULL ? last->message : "libgit2 gave no reason";
	/* It appends strerror; errno itself does not survive its own cleaning up. */
	if (strstr(message, "No space left on device") != NULL || strstr(message, "Disk quota exceeded") != NULL)
		return error_set(err, ERR_LIMIT, "%s: the disk is full", what);
	return error_set(err, kind, "%s: %s", what, message);
}

bool git_library_error_is_corruption(void)
{
	const git_error *last = git_error_last();
	return last != NULL &&
		   (last->klass == GIT_ERROR_ODB || last->klass == GIT_ERROR_ZLIB || last->klass == GIT_ERROR_OBJECT ||
			last->klass == GIT_ERROR_TREE || last->klass == GIT_ERROR_REFERENCE);
}

int git_oid_parse(const char *sha, git_oid *ret_oid, struct error *err)
{
	if (strlen(sha) != GIT_OID_HEXSZ || git_oid_fromstr(ret_oid, sha) < 0)
		return error_set(err, ERR_INVALID, "\"%.64s\" is no commit id that this release can handle", sha);
	return 0;
}

void git_oid_text(const git_oid *oid, char ret[GIT_OID_HEXSZ + 1])
{
	(void)git_oid_tostr(ret, GIT_OID_HEXSZ + 1, oid); /* returns ret */
}
