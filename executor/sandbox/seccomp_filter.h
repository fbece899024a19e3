/* The system calls that an agent has no use for, as a program for the kernel. Everything that was ever made is allowed
 * by name or refused by name; what is newer than the library that makes the program does not exist (ENOSYS). */
#pragma once

#include <stdbool.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

/* A file in memory with the program (as bubblewrap wants it), close-on-exec, at its begin; the caller's. `scarce`: also
 * refuses what holds memory that only a cgroup can count (memfd_create, large System V segments). ERR_UNAVAILABLE. */
int seccomp_filter_make(bool scarce, int *ret_fd, struct error *err) MUST_CHECK;
