/*
 * Globs of artifacts: which files of a workspace are wanted. As in the CI systems that people know:
 *
 *   *       any number of characters of one part of a path, a leading dot included
 *   ?       one character (of UTF-8)
 *   [a-z]   one of these; [!a-z] and [^a-z]: one other; a ] that comes first is itself
 *   **      as a whole part: any number of parts, none included; else it is *
 *   \x      x as it is
 *
 * Everything else is itself, braces included; case counts. A glob fits what it names: a file, or a folder with all that
 * is below it ("dist", "dist/" and "dist" with slash and two stars are the same; so "*" is everything).
 *
 * It is our own and not fnmatch(3), whose time grows with a power of the number of stars (globs come from bots, names
 * from agents), and whose ? is one byte in the C locale. Here a name takes at most its length times the glob's. A walk
 * goes down with the set of positions that a glob may be at, so that folders in which nothing can fit are not opened.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

#define GLOB_MAX_PARTS 60 /* a set of positions is a word of 64 bits */

struct glob;

/* ERR_INVALID with a message for whoever wrote it: empty, absolute, with a part that is empty, "." , ".." or ".git",
 * with "!" before it (exclusions are not known), an unfinished [ or \, a range that ends before it begins, too many
 * parts. `text` is UTF-8 and copied. */
int glob_new(const char *text, struct glob **ret_glob, struct error *err) MUST_CHECK;
void glob_free(struct glob *glob);
DEFINE_CLEANUP(struct glob, glob_free)
const char *glob_text(const struct glob *glob);

/* Where a glob may be at after some parts of a path; 0: nothing below can fit. */
typedef uint64_t glob_state;
glob_state glob_start(const struct glob *glob);
/* One part further down: a name without slashes. */
glob_state glob_step(const struct glob *glob, glob_state state, const char *name, size_t len);
/* Whether the path that was walked fits. */
bool glob_fits(const struct glob *glob, glob_state state);
