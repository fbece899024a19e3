#include "common/model/labels.h"

#include <string.h>

#include "common/base/str.h"

#define LABEL_MAX_LEN 63

static bool is_label(const char *text, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
	return len >= 1 && len <= LABEL_MAX_LEN && strchr("._-", text[0]) == NULL && strspn(text, letters) >= len;
}

struct checking {
	size_t bytes;
	struct error *err;
};

static int check_one(void *ctx, const char *part, size_t len)
{
	struct checking *checking = ctx;
	if (!is_label(part, len))
		return error_set(
			checking->err, ERR_INVALID,
			"no build can ask for \"%.*s\": a label is 1 to %d of a-z, 0-9, \".\", \"_\" and \"-\", a letter "
			"or a digit first",
			(int)(len < 100 ? len : 100), part, LABEL_MAX_LEN);
	checking->bytes += len + 4;
	if (checking->bytes > LABELS_MAX_BYTES)
		return error_set(checking->err, ERR_LIMIT, "more labels than a worker may have: %zu bytes, each with 4 more",
						 LABELS_MAX_BYTES);
	return 0;
}

int labels_check(const char *text, struct error *err)
{
	struct checking checking = {.err = err};
	return str_split(text, ',', check_one, &checking);
}
