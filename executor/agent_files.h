/*
 * Files that an agent has left in a folder of its own (its workspace, its HOME), which are its word: they may be links,
 * FIFOs or devices, and change meanwhile. No link is followed, neither at the end of a path nor on its way, nothing
 * outside of the folder is reached, and nothing is waited for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

/* Opens a path below the folder; of any kind, but without blocking. -1 with errno. */
int agent_open_plain(int folder_fd, const char *path, int flags);

/* A regular file, opened for reading. ERR_NOT_FOUND, ERR_DENIED; ERR_INVALID when it is something else, or when a part
 * of its path is a link. */
int agent_open_file(int folder_fd, const char *path, int *ret_fd, struct error *err) MUST_CHECK;

/* Appends a regular file's bytes, at least 1 and at most as many as the buffer takes. False: after having read some,
 * perhaps. */
bool agent_read_file(int folder_fd, const char *path, struct buffer *out);
