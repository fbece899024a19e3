/* Makes an empty repository by hand: a few files, in a fraction of the time of `git init`, and with nothing in it that
 * we did not put there. In two steps, so that the first can be done ahead. */
#pragma once

#include <stdbool.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

/* The directory (absolute; must not exist) with its folders and configuration; `config` are further lines, or NULL. No
 * repository yet: it lacks HEAD. */
int git_skeleton_make(const char *path, bool bare, const char *config, struct error *err) MUST_CHECK;

/* Completes it: HEAD leads to the ref `head` ("refs/heads/main"); objects are borrowed from the objects directory
 * `alternates` (NULL = from nowhere). */
int git_skeleton_complete(const char *path, const char *head, const char *alternates, struct error *err) MUST_CHECK;
