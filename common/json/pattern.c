#define PCRE2_CODE_UNIT_WIDTH 8

#include "common/json/pattern.h"

#include "common/base/alloc.h"

#include <pcre2.h>

struct pattern {
	pcre2_code *code;
	pcre2_match_context *limits; /* read-only while matching, so threads may share it */
};

int pattern_new(const char *text, struct pattern **ret_pattern, struct error *err)
{
	int problem;
	PCRE2_SIZE at;
	/* DOLLAR_ENDONLY: as in ECMA, $ is not also before a last newline. */
	pcre2_code *code =
		pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_DOLLAR_ENDONLY, &problem, &at, NULL);
	if (code == NULL) {
		PCRE2_UCHAR why[128];
		pcre2_get_error_message(problem, why, sizeof(why));
		return error_set(err, ERR_INVALID, "pattern %s: character %zu: %s", text, (size_t)at + 1, (const char *)why);
	}
	/* Without the JIT (a hardened kernel may refuse executable memory) PCRE2 interprets: slower, the same answer. */
	(void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);

	struct pattern *pattern = xcalloc(1, sizeof(*pattern));
	pattern->code = code;
	pattern->limits = pcre2_match_context_create(NULL);
	CHECK(pattern->limits != NULL);
	pcre2_set_match_limit(pattern->limits, PATTERN_MATCH_LIMIT);
	*ret_pattern = pattern;
	return 0;
}

void pattern_free(struct pattern *pattern)
{
	if (pattern == NULL)
		return;
	pcre2_code_free(pattern->code);
	pcre2_match_context_free(pattern->limits);
	free(pattern);
}

bool pattern_matches(const struct pattern *pattern, const char *text, size_t len)
{
	pcre2_match_data *match = pcre2_match_data_create(1, NULL);
	CHECK(match != NULL);
	int found = pcre2_match(pattern->code, (PCRE2_SPTR)text, len, 0, PCRE2_NO_UTF_CHECK, match, pattern->limits);
	pcre2_match_data_free(match);
	return found >= 0;
}
