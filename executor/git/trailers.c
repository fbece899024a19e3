#include "executor/git/trailers.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/alloc.h"

#define KILN_PREFIX "kiln-"

/* "Kiln-Build: …", " kiln-anything : …" */
static bool is_kiln_trailer(const char *line, size_t len)
{
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	if (len < sizeof(KILN_PREFIX) || strncasecmp(line, KILN_PREFIX, sizeof(KILN_PREFIX) - 1) != 0)
		return false;
	size_t i = sizeof(KILN_PREFIX) - 1;
	while (i < len && (isalnum((unsigned char)line[i]) || line[i] == '-'))
		i++;
	while (i < len && (line[i] == ' ' || line[i] == '\t'))
		i++;
	return i < len && line[i] == ':';
}

/* A token, a colon and a blank: "Signed-off-by: …". */
static bool is_trailer(const char *line, size_t len)
{
	size_t i = 0;
	while (i < len && (isalnum((unsigned char)line[i]) || line[i] == '-'))
		i++;
	return i > 0 && i + 1 < len && line[i] == ':' && line[i + 1] == ' ';
}

/* Copies what is kept into `out` (may be NULL); returns whether something was dropped. */
static bool filter(struct buffer *out, const char *message)
{
	bool dropped = false, dropping = false, begun = false;
	while (*message != '\0') {
		size_t len = strcspn(message, "\n");
		bool continuation = len > 0 && (message[0] == ' ' || message[0] == '\t');
		size_t blank = strspn(message, " \t\r\v\f");
		bool empty = blank >= len;
		dropping = is_kiln_trailer(message, len) || (dropping && continuation && !empty);
		dropped = dropped || dropping;
		/* To git the first paragraph begins at the first line that has something, wherever it counts trailers from. */
		begun = begun || (!dropping && !empty);
		if (!dropping && begun && out != NULL) {
			(void)buffer_append(out, message, len); /* no longer than the message, which the caller made room for */
			(void)buffer_append_char(out, '\n');    /* as above */
		}
		message += len + (message[len] == '\n' ? 1 : 0);
	}
	return dropped;
}

static void trim_end(struct buffer *text, size_t from)
{
	while (text->len > from && isspace((unsigned char)text->data[text->len - 1]))
		buffer_truncate(text, text->len - 1);
}

void trailers_strip(struct buffer *out, const char *message)
{
	size_t from = out->len;
	(void)filter(out, message); /* whether something was dropped does not matter here */
	trim_end(out, from);
}

int trailers_present(const char *message)
{
	return filter(NULL, message);
}

/* Whether the last paragraph consists of trailers only, and is not the first (a subject like "fix: this" is none). */
static bool ends_in_trailers(const char *message)
{
	const char *paragraph = NULL;
	for (const char *gap = strstr(message, "\n\n"); gap != NULL; gap = strstr(gap + 1, "\n\n"))
		paragraph = gap + 2;
	if (paragraph == NULL || *paragraph == '\0')
		return false;
	while (*paragraph != '\0') {
		size_t len = strcspn(paragraph, "\n");
		if (!is_trailer(paragraph, len))
			return false;
		paragraph += len + (paragraph[len] == '\n' ? 1 : 0);
	}
	return true;
}

void trailers_add(struct buffer *message, const char *key, const char *value)
{
	CHECK(message->len > 0);
	(void)buffer_append_str(message, ends_in_trailers(message->data) ? "\n" : "\n\n"); /* the caller left room */
	(void)buffer_appendf(message, "%s: %s", key, value);                               /* as above */
}

const char *trailers_find(const char *message, const char *key, size_t *ret_len)
{
	CLEANUP(free_p) char *start = xasprintf("%s: ", key);
	size_t start_len = strlen(start);
	while (*message != '\0') {
		size_t len = strcspn(message, "\n");
		if (len >= start_len && strncmp(message, start, start_len) == 0) {
			*ret_len = len - start_len;
			return message + start_len;
		}
		message += len + (message[len] == '\n' ? 1 : 0);
	}
	return NULL;
}

int trailers_have(const char *message, const char *key, const char *value)
{
	CLEANUP(free_p) char *line = xasprintf("%s: %s", key, value);
	size_t wanted = strlen(line);
	while (*message != '\0') {
		size_t len = strcspn(message, "\n");
		if (len == wanted && strncmp(message, line, len) == 0)
			return true;
		message += len + (message[len] == '\n' ? 1 : 0);
	}
	return false;
}
