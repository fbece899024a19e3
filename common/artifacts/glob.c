#include "common/artifacts/glob.h"

#include <stdlib.h>
#include <strings.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "common/base/utf8.h"

struct part {
	const char *text;
	size_t len;
	bool any_depth; /* ** */
};

struct glob {
	char *text;
	size_t count;
	struct part parts[GLOB_MAX_PARTS];
};

/* A character; a byte that is none counts as one, and equals nothing valid. */
static uint32_t next_char(const char **at, const char *end)
{
	const unsigned char *s = (const unsigned char *)*at;
	size_t len = utf8_sequence_len(*at, (size_t)(end - *at));
	*at += len > 0 ? len : 1;
	switch (len) {
	case 1:
		return s[0];
	case 2:
		return (uint32_t)(s[0] & 0x1F) << 6 | (s[1] & 0x3F);
	case 3:
		return (uint32_t)(s[0] & 0x0F) << 12 | (uint32_t)(s[1] & 0x3F) << 6 | (s[2] & 0x3F);
	case 4:
		return (uint32_t)(s[0] & 0x07) << 18 | (uint32_t)(s[1] & 0x3F) << 12 | (uint32_t)(s[2] & 0x3F) << 6 |
			   (s[3] & 0x3F);
	default:
		return 0x80000000 | s[0];
	}
}

/* The character of a set at *at, of which \ says that it means nothing else. False: there is none any more. */
static bool set_char(const char **at, const char *end, uint32_t *ret)
{
	if (*at < end && **at == '\\')
		(*at)++;
	if (*at == end)
		return false;
	*ret = next_char(at, end);
	return true;
}

enum set { SET_HAS, SET_HAS_NOT, SET_UNFINISHED, SET_BACKWARDS };

/* *at stands after the [; afterwards it stands behind the ]. */
static enum set look_in_set(const char **at, const char *end, uint32_t c)
{
	bool negated = *at < end && (**at == '!' || **at == '^'), has = false;
	*at += negated;
	for (bool first = true; *at == end || **at != ']' || first; first = false) {
		uint32_t low, high;
		if (!set_char(at, end, &low))
			return SET_UNFINISHED;
		high = low;
		if (end - *at >= 2 && (*at)[0] == '-' && (*at)[1] != ']') {
			(*at)++;
			if (!set_char(at, end, &high))
				return SET_UNFINISHED;
		}
		if (high < low)
			return SET_BACKWARDS;
		has = has || (c >= low && c <= high);
	}
	(*at)++;
	return has != negated ? SET_HAS : SET_HAS_NOT;
}

/* One item of the glob that is no star against one character. Both move on. */
static bool item_fits(const char **glob, const char *glob_end, const char **name, const char *name_end)
{
	uint32_t c = next_char(name, name_end);
	switch (**glob) {
	case '?':
		(*glob)++;
		return true;
	case '[':
		(*glob)++;
		return look_in_set(glob, glob_end, c) == SET_HAS;
	case '\\':
		(*glob)++;
		break;
	default:
		break;
	}
	return next_char(glob, glob_end) == c;
}

/* Only the last star is ever gone back to: what an earlier one could take, the last one can take too. */
static bool part_fits(const struct part *part, const char *name, size_t len)
{
	const char *glob = part->text, *glob_end = glob + part->len, *end = name + len;
	const char *star = NULL, *star_name = NULL;
	while (name < end) {
		if (glob < glob_end && *glob == '*') {
			star = ++glob;
			star_name = name;
			continue;
		}
		if (glob < glob_end && item_fits(&glob, glob_end, &name, end))
			continue;
		if (star == NULL)
			return false;
		glob = star;
		(void)next_char(&star_name, end); /* the star takes one more */
		name = star_name;
	}
	while (glob < glob_end && *glob == '*')
		glob++;
	return glob == glob_end;
}

static int check_part(const struct part *part, struct error *err)
{
	if (part->len == 0)
		return error_set(err, ERR_INVALID, "a part between slashes is empty");
	if (part->len == 1 && part->text[0] == '.')
		return error_set(err, ERR_INVALID, "\".\" is no name; paths begin in the workspace anyway");
	if (part->len == 2 && memcmp(part->text, "..", 2) == 0)
		return error_set(err, ERR_INVALID, "\"..\" leaves the workspace");
	if (part->len == 4 && strncasecmp(part->text, ".git", 4) == 0)
		return error_set(err, ERR_INVALID, "\".git\" is never taken");
	const char *end = part->text + part->len;
	for (const char *at = part->text; at < end;) {
		char c = *at++;
		if (c == '\\' && at == end)
			return error_set(err, ERR_INVALID, "nothing follows the last \\");
		at += c == '\\';
		if (c != '[')
			continue;
		switch (look_in_set(&at, end, 0)) {
		case SET_UNFINISHED:
			return error_set(err, ERR_INVALID, "a [ has no ]");
		case SET_BACKWARDS:
			return error_set(err, ERR_INVALID, "a range in [] ends before it begins");
		case SET_HAS:
		case SET_HAS_NOT:
			break;
		}
	}
	return 0;
}

static int add_part(struct glob *glob, const char *text, size_t len, struct error *err)
{
	struct part part = {.text = text, .len = len, .any_depth = len == 2 && memcmp(text, "**", 2) == 0};
	if (check_part(&part, err) < 0)
		return -1;
	if (glob->count == GLOB_MAX_PARTS)
		return error_set(err, ERR_INVALID, "it has more than %d parts", GLOB_MAX_PARTS);
	glob->parts[glob->count++] = part;
	return 0;
}

static int read_parts(struct glob *glob, struct error *err)
{
	const char *text = glob->text;
	size_t len = strlen(text);
	if (len == 0)
		return error_set(err, ERR_INVALID, "it is empty");
	if (text[0] == '/')
		return error_set(err, ERR_INVALID, "it is absolute; paths begin in the workspace");
	if (text[0] == '!')
		return error_set(err, ERR_INVALID, "exclusions are not known; \\! begins a name with !");
	if (text[len - 1] == '/')
		len--; /* a folder */
	for (const char *at = text, *end = text + len;;) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		if (add_part(glob, at, (size_t)((slash != NULL ? slash : end) - at), err) < 0)
			return -1;
		if (slash == NULL)
			return 0;
		at = slash + 1;
	}
}

int glob_new(const char *text, struct glob **ret_glob, struct error *err)
{
	struct glob *glob = xcalloc(1, sizeof(*glob));
	glob->text = xstrdup(text);
	if (read_parts(glob, err) < 0) {
		glob_free(glob);
		return -1;
	}
	*ret_glob = glob;
	return 0;
}

void glob_free(struct glob *glob)
{
	if (glob == NULL)
		return;
	free(glob->text);
	free(glob);
}

const char *glob_text(const struct glob *glob)
{
	return glob->text;
}

static glob_state bit(size_t position)
{
	return UINT64_C(1) << position;
}

/* ** may be nothing. */
static glob_state close_state(const struct glob *glob, glob_state state)
{
	for (size_t i = 0; i < glob->count; i++) {
		if (glob->parts[i].any_depth && (state & bit(i)) != 0)
			state |= bit(i + 1);
	}
	return state;
}

glob_state glob_start(const struct glob *glob)
{
	return close_state(glob, 1);
}

glob_state glob_step(const struct glob *glob, glob_state state, const char *name, size_t len)
{
	glob_state next = state & bit(glob->count); /* below what fits everything does */
	for (size_t i = 0; i < glob->count; i++) {
		if ((state & bit(i)) == 0)
			continue;
		if (glob->parts[i].any_depth)
			next |= bit(i);
		else if (part_fits(&glob->parts[i], name, len))
			next |= bit(i + 1);
	}
	return close_state(glob, next);
}

bool glob_fits(const struct glob *glob, glob_state state)
{
	return (state & bit(glob->count)) != 0;
}
