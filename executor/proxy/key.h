/* The key of a model's API: read from its file, never logged, never in an error, wiped after use. */
#pragma once

#include <stddef.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

#define MODEL_KEY_MIN_BYTES 8 /* what is shorter would mask half of every log */
#define MODEL_KEY_MAX_BYTES 4096

/* One line of printable characters. Read at each use, so that a changed file needs no new start. ERR_DENIED, without a
 * word of its content. The caller's, model_key_free. */
int model_key_read(const char *path, char **ret_key, struct error *err) MUST_CHECK;
/* Wipes. Accepts NULL. */
void model_key_free(char *key);
DEFINE_CLEANUP(char, model_key_free)

/* Overwrites the key with stars wherever it stands in data[0, len), and returns how many bytes at the end might be the
 * beginning of one more: to be held back until more has come. */
size_t model_key_hide(const char *key, char *data, size_t len);
