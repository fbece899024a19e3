#include "executor/artifacts/list.h"

#include "common/artifacts/media_type.h"
#include "common/json/json.h"

/* A result has other parts too, and has to fit into a message. */
#define MAX_ITEMS_BYTES ((size_t)1024 * 1024)
#define OWN_BYTES ((size_t)1024) /* of MAX_ITEMS_BYTES, for Kiln's own */
#define MAX_LEFT_OUT_BYTES ((size_t)256 * 1024)

void artifact_list_init(struct artifact_list *list)
{
	*list = (struct artifact_list){.items_len = 0};
	buffer_init(&list->items, MAX_ITEMS_BYTES);
	buffer_init(&list->left_out, MAX_LEFT_OUT_BYTES);
}

void artifact_list_release(struct artifact_list *list)
{
	buffer_release(&list->items);
	buffer_release(&list->left_out);
}

/* One more object, or none if there is no room. */
static bool append(struct buffer *list, const struct buffer *object, size_t reserved)
{
	if (!buffer_ok(object) || list->len + object->len + 1 + reserved > list->max)
		return false;
	if (list->len > 0)
		(void)buffer_append_char(list, ','); /* there is room */
	return buffer_append(list, object->data, object->len) == 0;
}

bool artifact_list_add(struct artifact_list *list, const char *path, const struct artifact_content *content, bool own)
{
	CLEANUP(buffer_release_p) struct buffer object;
	struct json_writer w;
	buffer_init(&object, MAX_ITEMS_BYTES);
	json_writer_init(&w, &object);
	json_object_begin(&w, NULL);
	json_string(&w, "path", path);
	json_int(&w, "size", content->size);
	json_string(&w, "sha256", content->sha256);
	json_string(&w, "media_type", media_type_of(path));
	json_object_end(&w);
	if (!append(&list->items, &object, own ? 0 : OWN_BYTES))
		return false;
	list->items_len++;
	list->bytes += content->size;
	return true;
}

static void write_left_out(struct buffer *out, const char *path, const char *reason, const char *detail)
{
	struct json_writer w;
	json_writer_init(&w, out);
	json_object_begin(&w, NULL);
	json_string(&w, "path", path); /* any bytes: the writer mends them */
	json_string(&w, "reason", reason);
	json_string(&w, "detail", detail);
	json_object_end(&w);
}

bool artifact_list_leave_out(struct artifact_list *list, const char *path, const char *reason, const char *detail)
{
	list->left_out_total++;
	if (list->left_out_named == ARTIFACT_LIST_MAX_LEFT_OUT)
		return false;
	CLEANUP(buffer_release_p) struct buffer object;
	buffer_init(&object, MAX_LEFT_OUT_BYTES);
	write_left_out(&object, path, reason, detail);
	if (!append(&list->left_out, &object, 0))
		return false;
	list->left_out_named++;
	return true;
}

static void write_array(struct json_writer *w, const char *key, const struct buffer *objects, const struct buffer *last)
{
	CLEANUP(buffer_release_p) struct buffer array;
	buffer_init(&array, objects->len + last->len + 4);
	(void)buffer_append_char(&array, '['); /* looked at below */
	(void)buffer_append(&array, objects->data, objects->len);
	if (objects->len > 0 && last->len > 0)
		(void)buffer_append_char(&array, ',');
	(void)buffer_append(&array, last->data, last->len);
	(void)buffer_append_char(&array, ']');
	CHECK(buffer_ok(&array));
	json_raw_len(w, key, array.data, array.len);
}

void artifact_list_write(struct json_writer *w, const struct artifact_list *list)
{
	CLEANUP(buffer_release_p) struct buffer more;
	char detail[64];
	buffer_init(&more, 256);
	write_array(w, "artifacts", &list->items, &more);
	if (list->left_out_total == 0)
		return;
	if (list->left_out_total > list->left_out_named) {
		(void)snprintf(detail, sizeof(detail), "%zu more are left out", list->left_out_total - list->left_out_named);
		write_left_out(&more, NULL, "more", detail);
	}
	write_array(w, "artifacts_left_out", &list->left_out, &more);
}
