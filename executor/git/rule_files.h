/*
 * The files that libgit2 1.5 reads by itself wherever it walks: .gitattributes, .gitignore and .gitmodules. An agent
 * may have made them anything, and libgit2 opens them by open(), which follows links out of the workspace and waits at
 * a FIFO for ever. There is no way to hand it another open, but it calls that one through the dynamic linker: ours,
 * defined in the program itself, goes before the C library's (as common/http/chunks.h does with h2o's decoder).
 *
 * Whoever opens a path with one of these names for reading gets a regular file of at most RULE_FILE_MAX_BYTES that is
 * no symbolic link, else ENOENT: as if there were none. That is git's own rule since 2.32, and its limit for attributes
 * (100 MB), lower. Other paths are opened as ever. Any thread.
 */
#pragma once

#include <stdbool.h>

#define RULE_FILE_MAX_BYTES 1048576

/* Would libgit2 call ours? Not when it is linked with its symbols bound. */
bool rule_files_in_place(void);
