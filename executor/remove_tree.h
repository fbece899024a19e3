/*
 * Removes a directory that an agent has filled: unwritable directories, a million files, nesting deeper than any path.
 * Works by descriptors, never follows a symbolic link, needs constant memory. Nothing may change the tree meanwhile.
 */
#pragma once

#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

/* Removes `name` below the directory `parent_fd`, whatever it is; absent is fine. ERR_TIMEOUT at the deadline
 * (clock_boot_ms): call again to go on. */
int remove_tree(int parent_fd, const char *name, int64_t deadline_ms, struct error *err) MUST_CHECK;
