/* Shared by the files of schema; nobody else's business. */
#pragma once

#include <stdint.h>

#include "common/json/pattern.h"
#include "common/json/schema.h"

enum schema_type {
	TYPE_NULL = 1,
	TYPE_BOOLEAN = 2,
	TYPE_INTEGER = 4,
	TYPE_NUMBER = 8, /* has TYPE_INTEGER with it, always */
	TYPE_STRING = 16,
	TYPE_ARRAY = 32,
	TYPE_OBJECT = 64,
};

enum schema_format { FORMAT_NONE, FORMAT_UUID, FORMAT_DATE_TIME, FORMAT_URI };

#define SCHEMA_MAX_PROPERTIES 256

struct schema_property {
	const char *name;      /* borrowed from the file's tree */
	struct schema *schema; /* NULL: named by `required` only */
	bool required;
};

struct schema_list {
	struct schema **items;
	size_t len;
};

/* One schema object, compiled. Children belong to the set. `true` is one without any rule, `false` has `never`. */
struct schema {
	struct schema *next_in_set;
	bool never;
	unsigned types; /* of enum schema_type; 0 = any */
	unsigned rules; /* of enum schema_rule: which of the limits below are there */
	double minimum, maximum;
	size_t min_length, max_length, min_bytes, max_bytes, max_canonical_bytes, min_items, max_items, min_properties,
		max_properties;
	bool unique_items;
	enum schema_format format;
	struct pattern *pattern; /* owned */
	const char *pattern_text;
	const char *says;                    /* what the pattern asks for, in words; NULL: its text must do */
	const cJSON *enumeration, *constant; /* borrowed; NULL when absent */
	struct schema_property *properties;  /* owned */
	size_t properties_len;
	struct schema *additional, *property_names, *items; /* NULL when absent */
	struct schema_list one_of, any_of, all_of;
	const char *ref_text; /* as written, until it is resolved */
	size_t file;          /* index of the file that it is in */
	struct schema *ref;
	enum { CYCLE_UNSEEN, CYCLE_OPEN, CYCLE_DONE } cycle_mark;
};

enum schema_rule {
	RULE_MINIMUM = 1,
	RULE_MAXIMUM = 2,
	RULE_MIN_LENGTH = 4,
	RULE_MAX_LENGTH = 8,
	RULE_MIN_BYTES = 16,
	RULE_MAX_BYTES = 32,
	RULE_MIN_ITEMS = 64,
	RULE_MAX_ITEMS = 128,
	RULE_MIN_PROPERTIES = 256,
	RULE_MAX_PROPERTIES = 512,
	RULE_MAX_CANONICAL_BYTES = 1024,
};

struct schema_definition {
	const char *name; /* borrowed */
	struct schema *schema;
};

struct schema_loaded_file {
	char *name;
	cJSON *tree;
	struct schema *root;                   /* NULL: a table, no schema */
	struct schema_definition *definitions; /* $defs */
	size_t definitions_len;
};

struct schema_set {
	struct schema_loaded_file *files;
	size_t files_len;
	struct schema *all; /* linked by next_in_set */
};

/* Compiles one file's tree; refs are left as text. */
int schema_compile_file(struct schema_set *set, size_t file, struct error *err) MUST_CHECK;
/* Points every ref to its schema, and refuses circles that never come to a member. */
int schema_resolve_refs(struct schema_set *set, struct error *err) MUST_CHECK;

/* False when there is no such format. */
bool schema_format_find(const char *name, enum schema_format *ret_format);
bool schema_format_matches(enum schema_format format, const char *text, size_t len);

unsigned schema_type_of(const cJSON *value);
/* "a string", "an object", … */
const char *schema_type_name(unsigned type);
/* Equal as JSON values: members in any order, numbers by value. */
bool schema_values_equal(const cJSON *a, const cJSON *b);
bool schema_items_are_unique(const cJSON *array);
