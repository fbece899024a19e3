/* What `git push --porcelain` says about each ref (docs/protocol.md section 7): the lines of stdout decide, not the
 * exit status. */
#pragma once

#include <stddef.h>

#include "common/base/compiler.h"

enum push_fate {
	PUSH_SILENT,   /* no line for this ref, or the remote did not report: it may have happened, or may still */
	PUSH_UPDATED,  /* this push moved the ref (or found it there already) */
	PUSH_STALE,    /* refused because a ref was not where the lease says: look again */
	PUSH_UNTAKEN,  /* the remote did not take in what was sent: a limit, a check of its objects, a full disk */
	PUSH_HIDDEN,   /* the remote does not let this ref be pushed at all */
	PUSH_REJECTED, /* refused by a hook, a rule or permissions: trying again is no use */
};

struct push_line {
	enum push_fate fate;
	char reason[256]; /* the text in parentheses, or the summary */
};

/* Looks at one line of stdout. When it reports on the ref named `ref` ("refs/heads/main"), fills ret_line and returns
 * 1; else 0. */
int push_porcelain_read(const char *line, size_t len, const char *ref, struct push_line *ret_line);

const char *push_fate_name(enum push_fate fate);
