/* What git says on standard error when the remote cannot be reached, translated once for all commands. */
#include "executor/git/remote.h"

#include <string.h>

#include "common/base/alloc.h"
#include "common/base/str.h"

static const struct {
	const char *text;
	enum error_kind kind;
} meanings[] = {
	/* Our own side first: its texts are the most specific. */
	{"No space left on device", ERR_LIMIT},
	{"Disk quota exceeded", ERR_LIMIT},
	{"fatal: not a git repository", ERR_INTERNAL},
	{"bad object", ERR_INTERNAL},
	{"is corrupt", ERR_INTERNAL},
	{"corrupt loose object", ERR_INTERNAL},
	{"did not send all necessary objects", ERR_INTERNAL},
	{"does not point to a valid object", ERR_INTERNAL},
	/* It was listed, so it is being changed, or the remote's servers do not agree yet: nothing of ours collides. */
	{"couldn't find remote ref", ERR_UNAVAILABLE},
	{"Authentication failed", ERR_DENIED},
	{"could not read Username", ERR_DENIED},
	{"could not read Password", ERR_DENIED},
	{"HTTP Basic: Access denied", ERR_DENIED},
	{"returned error: 401", ERR_DENIED},
	{"returned error: 403", ERR_DENIED},
	{"Permission denied (", ERR_DENIED},
	{"Host key verification failed", ERR_DENIED},
	{"Permission to ", ERR_DENIED},
	{"Repository not found", ERR_NOT_FOUND},
	{"does not appear to be a git repository", ERR_NOT_FOUND},
	{"returned error: 404", ERR_NOT_FOUND},
	{"returned error: 410", ERR_NOT_FOUND},
};

/* Without what the server says over the connection, which may be a hook's words, or an agent's. Heap. */
static char *gits_own(const char *errors)
{
	char *own = xstrdup(errors), *end = own;
	while (*errors != '\0') {
		size_t len = strcspn(errors, "\n");
		len += errors[len] == '\n' ? 1 : 0;
		if (!str_starts(errors, "remote: "))
			end = mempcpy(end, errors, len);
		errors += len;
	}
	*end = '\0';
	return own;
}

static enum error_kind kind_of(const char *errors)
{
	for (size_t i = 0; i < ARRAY_LEN(meanings); i++) {
		if (strstr(errors, meanings[i].text) != NULL)
			return meanings[i].kind;
	}
	/* "fatal: repository 'https://…/' not found" */
	const char *repository = strstr(errors, "repository '");
	const char *line_end = repository == NULL ? NULL : strchrnul(repository, '\n');
	const char *not_found = repository == NULL ? NULL : strstr(repository, "' not found");
	if (not_found != NULL && not_found < line_end)
		return ERR_NOT_FOUND;
	return ERR_UNAVAILABLE;
}

enum error_kind remote_error_kind(const char *errors)
{
	CLEANUP(free_p) char *own = gits_own(errors);
	return kind_of(own);
}
