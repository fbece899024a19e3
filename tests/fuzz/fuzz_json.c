/*
 * json_parse takes exactly the texts that a second, simpler reader takes. What it took is written, canonically and in
 * its own order, as texts that it takes again and that mean the same; the canonical form of a canonical form is itself.
 */
#include "fuzz.h"

#include "common/json/json.h"
#include "json_reference.h"

static void parse(const struct buffer *text, cJSON **ret_tree)
{
	struct error err = ERROR_INIT;
	CHECK(json_parse(text->data, text->len, ret_tree, &err) == 0);
}

static void check_tree(const cJSON *tree, size_t size)
{
	CLEANUP(buffer_release_p) struct buffer canonical;
	CLEANUP(buffer_release_p) struct buffer plain;
	CLEANUP(buffer_release_p) struct buffer again;
	CLEANUP(cJSON_Delete_p) cJSON *from_canonical = NULL;
	CLEANUP(cJSON_Delete_p) cJSON *from_plain = NULL;
	buffer_init(&canonical, JSON_WRITTEN_MAX(size));
	buffer_init(&plain, JSON_WRITTEN_MAX(size));
	buffer_init(&again, JSON_WRITTEN_MAX(size));
	CHECK(json_canonical(&canonical, tree) == 0);
	parse(&canonical, &from_canonical);
	CHECK(cJSON_Compare(tree, from_canonical, true));
	CHECK(json_canonical(&again, from_canonical) == 0);
	CHECK(again.len == canonical.len && memcmp(again.data, canonical.data, again.len) == 0);

	struct json_writer w;
	json_writer_init(&w, &plain);
	json_tree(&w, NULL, tree);
	CHECK(buffer_ok(&plain));
	parse(&plain, &from_plain);
	buffer_clear(&again);
	CHECK(json_canonical(&again, from_plain) == 0);
	CHECK(again.len == canonical.len && memcmp(again.data, canonical.data, again.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(cJSON_Delete_p) cJSON *tree = NULL;
	struct error err = ERROR_INIT;
	bool accepted = json_parse((const char *)data, size, &tree, &err) == 0;
	CHECK(accepted == json_reference_accepts(data, size));
	if (accepted) {
		check_tree(tree, size);
	} else {
		CHECK(err.kind == ERR_INVALID);
		check_message(&err);
	}
	return 0;
}
