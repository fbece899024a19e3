#include "api-gateway/lists/filter.h"

#include <stdlib.h>

#include "api-gateway/builds/template_render.h"
#include "common/base/compiler.h"
#include "common/base/str.h"

static bool is_one_of(const char *value, const char *const *words, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (str_equal(value, words[i]))
			return true;
	}
	return false;
}

static bool has_only(const char *value, size_t len, const char *characters)
{
	return len > 0 && strspn(value, characters) == len;
}

#define SMALL "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static const char *take_word(char *field, size_t size, const char *value, const char *const *words, size_t len,
							 const char *complaint)
{
	if (!is_one_of(value, words, len))
		return complaint;
	(void)snprintf(field, size, "%s", value);
	return NULL;
}

static const char *take_status(struct filter *filter, const char *value)
{
	static const char *const words[] = {"pending", "running", "completed", "failed", "cancelled"};
	return take_word(filter->status, sizeof(filter->status), value, words, ARRAY_LEN(words),
					 "status must be pending, running, completed, failed or cancelled");
}

static const char *take_agent(struct filter *filter, const char *value)
{
	static const char *const words[] = {"claude-code", "opencode", "command"};
	return take_word(filter->agent, sizeof(filter->agent), value, words, ARRAY_LEN(words),
					 "agent must be claude-code, opencode or command");
}

/* A branch of the remote may be called what git allows, which is more than a BuildSpec does. */
static const char *take_branch(struct filter *filter, const char *value, size_t len)
{
	bool fits = len > 0 && len <= FILTER_BRANCH_MAX;
	for (size_t i = 0; fits && i < len; i++)
		fits = (unsigned char)value[i] > ' ' && value[i] != 0x7F;
	if (!fits)
		return "branch must be a name of 1 to 255 bytes";
	memcpy(filter->branch, value, len + 1);
	return NULL;
}

static const char *take_label(struct filter *filter, const char *value, size_t len)
{
	if (len >= sizeof(filter->labels[0]) || !has_only(value, len, SMALL DIGITS "._-") ||
		strchr("._-", value[0]) != NULL)
		return "label must be one as a build has them";
	for (size_t i = 0; i < filter->labels_len; i++) {
		if (str_equal(filter->labels[i], value))
			return NULL;
	}
	if (filter->labels_len == FILTER_LABELS_MAX)
		return "label may be given 8 times";
	memcpy(filter->labels[filter->labels_len++], value, len + 1);
	return NULL;
}

static const char *take_template(struct filter *filter, const char *value, size_t len)
{
	if (!str_is_name(value, len) && !template_is_version(value, len))
		return "template must be a name, or name@version";
	memcpy(filter->template, value, len + 1); /* 63 and 11 characters at most */
	return NULL;
}

static const char *take_commit(struct filter *filter, const char *value, size_t len)
{
	if ((len != 40 && len != 64) || !has_only(value, len, DIGITS "abcdefABCDEF"))
		return "commit must be 40 or 64 hexadecimal digits";
	for (size_t i = 0; i <= len; i++)
		filter->commit[i] = (char)(value[i] >= 'A' && value[i] <= 'F' ? value[i] + ('a' - 'A') : value[i]);
	return NULL;
}

/* Any time from before there were computers is as good as another, and Postgres fails at one that RFC 3339 takes: the
 * year 0000. */
static const char *take_time(char field[CLOCK_RFC3339_SIZE], const char *value, size_t len, const char *complaint)
{
	int64_t wall_us;
	if (clock_parse_rfc3339(value, len, &wall_us) < 0)
		return complaint;
	clock_format_rfc3339(wall_us > 0 ? wall_us : 0, field);
	return NULL;
}

static const char *take_token(struct filter *filter, const char *value, size_t len)
{
	if (!uuid_is_valid(value, len))
		return "token must be a token's id";
	memcpy(filter->token, value, len + 1);
	return NULL;
}

static const char *take_resource(struct filter *filter, const char *value, size_t len)
{
	if (!uuid_is_valid(value, len) && !template_is_version(value, len))
		return "resource must be the id of a project, build, token or worker, or a template's name@version";
	memcpy(filter->resource, value, len + 1);
	return NULL;
}

const char *filter_take(struct filter *filter, enum filter_field field, const char *value, size_t len)
{
	switch (field) {
	case FILTER_STATUS:
		return take_status(filter, value);
	case FILTER_BRANCH:
		return take_branch(filter, value, len);
	case FILTER_AGENT:
		return take_agent(filter, value);
	case FILTER_LABEL:
		return take_label(filter, value, len);
	case FILTER_TEMPLATE:
		return take_template(filter, value, len);
	case FILTER_COMMIT:
		return take_commit(filter, value, len);
	case FILTER_CREATED_AFTER:
		return take_time(filter->created_after, value, len, "created_after must be a time of RFC 3339");
	case FILTER_CREATED_BEFORE:
		return take_time(filter->created_before, value, len, "created_before must be a time of RFC 3339");
	case FILTER_TOKEN:
		return take_token(filter, value, len);
	case FILTER_RESOURCE:
		return take_resource(filter, value, len);
	}
	return "unknown";
}

const char *filter_check(const struct filter *filter)
{
	bool both = filter->created_after[0] != '\0' && filter->created_before[0] != '\0';
	if (both && strcmp(filter->created_after, filter->created_before) >= 0) /* one spelling: ordered as text */
		return "created_after must be before created_before";
	return NULL;
}

static void append(struct buffer *buf, const char *name, const char *value)
{
	if (value[0] == '\0')
		return;
	CHECK(buffer_append_str(buf, name) == 0 && buffer_append_char(buf, '=') == 0 &&
		  url_encode(buf, value, strlen(value)) == 0 && buffer_append_char(buf, '&') == 0);
}

static int compare_labels(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void filter_append_query(struct buffer *buf, const struct filter *filter)
{
	const char *labels[FILTER_LABELS_MAX];
	if (filter == NULL)
		return;
	append(buf, "status", filter->status);
	append(buf, "branch", filter->branch);
	append(buf, "agent", filter->agent);
	for (size_t i = 0; i < filter->labels_len; i++)
		labels[i] = filter->labels[i];
	qsort(labels, filter->labels_len, sizeof(labels[0]), compare_labels);
	for (size_t i = 0; i < filter->labels_len; i++)
		append(buf, "label", labels[i]);
	append(buf, "template", filter->template);
	append(buf, "commit", filter->commit);
	append(buf, "created_after", filter->created_after);
	append(buf, "created_before", filter->created_before);
	append(buf, "token", filter->token);
	append(buf, "resource", filter->resource);
}

void filter_tag(const struct filter *filter, const char *owner, char ret[CURSOR_TAG_SIZE])
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, FILTER_QUERY_MAX + UUID_TEXT_SIZE);
	CHECK(buffer_append_str(&text, owner) == 0 && buffer_append_char(&text, '?') == 0);
	filter_append_query(&text, filter);
	cursor_tag(text.data, text.len, ret);
}
