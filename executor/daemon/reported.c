#include "executor/daemon/reported.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/str.h"

#define MAX_INTERVAL_MS 60000
#define MAX_FILE_BYTES ((size_t)32 * 1024 * 1024)
#define SUFFIX ".json"

void reported_file_name(const char *lease_id, char ret[REPORTED_NAME_SIZE])
{
	(void)snprintf(ret, REPORTED_NAME_SIZE, "%s" SUFFIX, lease_id);
}

static struct reported_item *add_item(struct reported *reported, const struct fencing_token *token, int64_t next_ms)
{
	if (reported->len == reported->size) {
		reported->size = reported->size > 0 ? reported->size * 2 : 16;
		reported->items = xreallocarray(reported->items, reported->size, sizeof(reported->items[0]));
	}
	struct reported_item *item = &reported->items[reported->len++];
	*item = (struct reported_item){.token = *token, .next_ms = next_ms, .backoff = reported->backoff};
	return item;
}

static int read_text(const struct reported *reported, const char *name, struct buffer *out, struct error *err)
{
	CLEANUP(close_p) int fd = openat(reported->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, errno, "result %s", name);
	return fd_read_all(fd, out, err) < 0 ? error_prefix(err, "result %s", name) : 0;
}

static int parse(const char *data, size_t len, struct reported_text *ret_text, struct error *err)
{
	struct reported_text text = {.tree = NULL};
	if (json_parse(data, len, &text.tree, err) < 0)
		return -1;
	text.id = json_get_string(text.tree, "id");
	text.finished = json_get_string(text.tree, "finished");
	text.traceparent = json_get_string(text.tree, "traceparent");
	if (text.traceparent == NULL)
		text.traceparent = "";
	text.fence = json_get_string(text.tree, "fence");
	text.assignment = json_get(text.tree, "assignment");
	if (text.id == NULL || !uuid_is_valid(text.id, strlen(text.id)) || text.finished == NULL) {
		cJSON_Delete(text.tree);
		return error_set(err, ERR_INVALID, "not a stored result");
	}
	*ret_text = text;
	return 0;
}

/* One file of an earlier daemon. */
static int load(struct reported *reported, const char *name, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, MAX_FILE_BYTES);
	struct reported_text parsed;
	if (read_text(reported, name, &text, err) < 0 || parse(text.data, text.len, &parsed, err) < 0)
		return -1;
	struct fencing_token token;
	int rc = fencing_token_read(parsed.tree, &token, err);
	cJSON_Delete(parsed.tree);
	if (rc == 0)
		(void)add_item(reported, &token, 0); /* due at once */
	return rc;
}

int reported_open(struct reported *reported, const char *state_dir, int first_interval_ms, struct error *err)
{
	*reported =
		(struct reported){.state_dir = state_dir, .backoff = {.min_ms = first_interval_ms, .max_ms = MAX_INTERVAL_MS}};
	CLEANUP(free_p) char *path = xasprintf("%s/results", state_dir);
	reported->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (reported->dir_fd < 0)
		return error_set_errno(err, errno, "%s", path);
	DIR *dir = opendir(path);
	for (struct dirent *entry = dir == NULL ? NULL : readdir(dir); entry != NULL; entry = readdir(dir)) {
		struct error problem = ERROR_INIT;
		if (entry->d_name[0] == '.')
			continue;
		/* "….new" is a file that was being written: the build service goes by what got to Kafka, or by the loss. */
		if (!str_ends(entry->d_name, SUFFIX) || load(reported, entry->d_name, &problem) < 0) {
			log_warn("a stored result is dropped", "file", entry->d_name, "error", problem.message, NULL);
			(void)unlinkat(reported->dir_fd, entry->d_name, 0); /* of no use */
		}
	}
	if (dir != NULL)
		(void)closedir(dir); /* read only */
	return 0;
}

void reported_release(struct reported *reported)
{
	for (size_t i = 0; i < reported->len; i++)
		free(reported->items[i].text);
	free(reported->items);
	if (reported->dir_fd >= 0)
		(void)close(reported->dir_fd); /* a directory */
	*reported = (struct reported){.dir_fd = -1};
}

struct reported_item *reported_find(struct reported *reported, const struct fencing_token *token)
{
	for (size_t i = 0; i < reported->len; i++) {
		if (fencing_token_equal(&reported->items[i].token, token))
			return &reported->items[i];
	}
	return NULL;
}

void reported_add(struct reported *reported, const struct fencing_token *token, const char *text, size_t len,
				  int64_t until_ms)
{
	struct reported_item *item = add_item(reported, token, until_ms);
	item->text = xstrndup(text, len);
	item->saving = true;
}

const struct reported_item *reported_saved(struct reported *reported, const char *lease_id, bool saved, int64_t now_ms)
{
	for (size_t i = 0; i < reported->len; i++) {
		struct reported_item *item = &reported->items[i];
		if (!str_equal(item->token.lease_id, lease_id))
			continue;
		if (saved) {
			free(item->text);
			item->text = NULL;
		}
		if (item->saving)
			item->next_ms = now_ms;
		item->saving = false;
		return item;
	}
	return NULL;
}

bool reported_saving(const struct reported *reported)
{
	for (size_t i = 0; i < reported->len; i++) {
		if (reported->items[i].saving)
			return true;
	}
	return false;
}

int reported_read(struct reported *reported, const struct reported_item *item, struct reported_text *ret_text,
				  struct error *err)
{
	if (item->text != NULL)
		return parse(item->text, strlen(item->text), ret_text, err);
	char name[REPORTED_NAME_SIZE];
	reported_file_name(item->token.lease_id, name);
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, MAX_FILE_BYTES);
	if (read_text(reported, name, &text, err) < 0)
		return -1;
	return parse(text.data, text.len, ret_text, err);
}

void reported_remove(struct reported *reported, struct reported_item *item)
{
	free(item->text);
	size_t index = (size_t)(item - reported->items);
	reported->len--;
	memmove(item, item + 1, (reported->len - index) * sizeof(*item));
}

void reported_sent(struct reported_item *item, const char *id)
{
	(void)snprintf(item->under_way, sizeof(item->under_way), "%s", id); /* a UUID fits */
	item->acknowledged = false;
}

void reported_acknowledged(struct reported *reported, const char *id)
{
	for (size_t i = 0; i < reported->len; i++) {
		struct reported_item *item = &reported->items[i];
		if (!str_equal(item->under_way, id))
			continue;
		item->under_way[0] = '\0';
		item->acknowledged = true;
	}
}

struct reported_item *reported_due(struct reported *reported, int64_t now_ms)
{
	for (size_t i = 0; i < reported->len; i++) {
		struct reported_item *item = &reported->items[i];
		if (now_ms < item->next_ms)
			continue;
		if (item->saving)
			log_error("the disk hangs: a result is sent before it is kept", "build_id", item->token.build_id, NULL);
		item->saving = false;
		item->next_ms = now_ms + backoff_next(&item->backoff);
		return item;
	}
	return NULL;
}

int64_t reported_due_ms(const struct reported *reported)
{
	int64_t due_ms = INT64_MAX;
	for (size_t i = 0; i < reported->len; i++) {
		if (reported->items[i].next_ms < due_ms)
			due_ms = reported->items[i].next_ms;
	}
	return due_ms;
}
