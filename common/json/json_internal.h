/* Shared by the files of json; nobody else's business. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/json/json.h"

/* Grammar, UTF-8, depth, NUL, surrogates, range of numbers: everything that cJSON is lenient about. After this has
 * passed, cJSON's answer can only be a tree. */
int json_check(const char *data, size_t len, struct error *err) MUST_CHECK;

/* ERR_INVALID when an object of `tree` has a key twice. `data` is the text of the tree, which passed json_check. */
int json_check_duplicates(const cJSON *tree, const char *data, size_t len, struct error *err) MUST_CHECK;

/* cJSON copies a number into 64 bytes, so longer ones are refused. */
#define JSON_MAX_NUMBER_LEN 63

/* The longest text of a double by ECMAScript's rules is 25 characters; of an int64 20. */
#define JSON_NUMBER_SIZE 32
/* The length. The value is finite. */
size_t json_format_double(double value, char ret[JSON_NUMBER_SIZE]);
size_t json_format_int(int64_t value, char ret[JSON_NUMBER_SIZE]);
