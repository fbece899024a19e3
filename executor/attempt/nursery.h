/*
 * `kiln-executor nursery`: the process that attempts' children are forked from, so that what takes a child's first
 * 25 ms of processor time (the dynamic linker, libgit2, OpenSSL, the filter of system calls) is done once. Its standard
 * input is the socket to the daemon (daemon/nursery.h): each message brings the socket of a child, which answers with
 * its pid when it is the daemon's own: orphaned by the process in between, hence taken in by the daemon, a subreaper,
 * with a new session and PR_SET_PDEATHSIG as every process of an attempt. It has one thread and ends with the daemon.
 */
#pragma once

#include <stdint.h>

/* What comes back: the child's pid, or -1. */
typedef int32_t nursery_answer;

int nursery_main(const char *agent_versions);
