#include "executor/git/porcelain.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/str.h"

/* Reasons that mean "the refs have moved, or the others of this push could not": git's own and those of the servers
 * that we know. */
static const char *const stale_reasons[] = {
	"stale info",
	"atomic push failed",
	"atomic transaction failed",
	"fetch first",
	"non-fast-forward",
	"needs force",
	"remote ref updated since checkout",
	"failed to update ref",
	"failed to lock",
	"cannot lock ref",
	"incorrect old value provided",
	"reference already exists",
	"already exists",
	"failed to write",
	"transaction",
	"remote ref is at",
};

static const char *const hidden_reasons[] = {
	"deny updating a hidden ref",
	"hidden ref",
	"funny refname",
};

static bool contains_any(const char *text, const char *const *parts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strstr(text, parts[i]) != NULL)
			return true;
	}
	return false;
}

static enum push_fate fate_of_refusal(const char *summary, const char *reason)
{
	if (strstr(summary, "[remote failure]") != NULL || strstr(reason, "failed to report status") != NULL)
		return PUSH_SILENT;
	if (strstr(reason, "unpacker error") != NULL)
		return PUSH_UNTAKEN;
	if (contains_any(reason, hidden_reasons, ARRAY_LEN(hidden_reasons)))
		return PUSH_HIDDEN;
	if (contains_any(reason, stale_reasons, ARRAY_LEN(stale_reasons)))
		return PUSH_STALE;
	/* "[rejected]" is the client's own word, and only about what moved; a server's is final unless known above. */
	return strstr(summary, "[rejected]") != NULL ? PUSH_STALE : PUSH_REJECTED;
}

/* "summary (reason)": the text in the last parentheses, else the summary. */
static void copy_reason(const char *summary, size_t len, char *ret, size_t size)
{
	const char *open = NULL;
	for (size_t i = 0; i + 1 < len; i++) {
		if (summary[i] == ' ' && summary[i + 1] == '(') {
			open = summary + i + 2;
			break;
		}
	}
	if (open != NULL && summary[len - 1] == ')') {
		len = (size_t)(summary + len - 1 - open);
		summary = open;
	}
	(void)snprintf(ret, size, "%.*s", (int)(len < size ? len : size - 1), summary);
}

int push_porcelain_read(const char *line, size_t len, const char *ref, struct push_line *ret_line)
{
	/* FLAG TAB from:to TAB summary */
	if (len < 4 || line[1] != '\t')
		return 0;
	const char *refs = line + 2, *end = line + len;
	const char *tab = memchr(refs, '\t', (size_t)(end - refs));
	const char *colon = tab == NULL ? NULL : memchr(refs, ':', (size_t)(tab - refs));
	if (colon == NULL || (size_t)(tab - colon - 1) != strlen(ref) || strncmp(colon + 1, ref, strlen(ref)) != 0)
		return 0;
	const char *summary = tab + 1;
	size_t summary_len = (size_t)(end - summary);
	struct push_line result = {.fate = PUSH_SILENT};
	copy_reason(summary, summary_len, result.reason, sizeof(result.reason));
	char head[64];
	(void)snprintf(head, sizeof(head), "%.*s", (int)(summary_len < sizeof(head) ? summary_len : sizeof(head) - 1),
				   summary);
	switch (line[0]) {
	case ' ':
	case '+':
	case '-':
	case '*':
	case '=':
		result.fate = PUSH_UPDATED;
		break;
	case '!':
		result.fate = fate_of_refusal(head, result.reason);
		break;
	default:
		return 0;
	}
	*ret_line = result;
	return 1;
}

const char *push_fate_name(enum push_fate fate)
{
	switch (fate) {
	case PUSH_SILENT:
		return "unknown";
	case PUSH_UPDATED:
		return "updated";
	case PUSH_STALE:
		return "stale";
	case PUSH_UNTAKEN:
		return "not taken";
	case PUSH_HIDDEN:
		return "hidden";
	case PUSH_REJECTED:
		return "rejected";
	}
	return "unknown";
}
