/*
 * The processes below this one. The caller is a child subreaper (PR_SET_CHILD_SUBREAPER), so whatever an agent forks,
 * daemonises or puts into another session ends up here: no child left (ECHILD) means that nothing is left. One thread
 * only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/compiler.h"

/* Reaps every child that has ended; when one of them is `watched` (0 = none), its wait status is stored and *ret_ended
 * set. True when no child is left. */
bool descendants_reap(pid_t watched, int *ret_status, bool *ret_ended);

/* Sends a signal to every descendant but `spared` (0 = none), whose descendants get it all the same. */
void descendants_signal(int signal_number, pid_t spared);

/* One pass for a process that has children it wants to keep (the daemon): freezes and SIGKILLs all other children with
 * all their descendants. Returns how many there were; the caller reaps. */
size_t descendants_kill_others(const pid_t *keep, size_t keep_len);

/* SIGSTOPs, then SIGKILLs every descendant, again and again, and reaps them, until none is left or the deadline
 * (clock_boot_ms). A fork bomb loses, since a stopped process does not fork. True when none is left. `watched` as
 * above. */
bool descendants_kill(int64_t deadline_ms, pid_t watched, int *ret_status, bool *ret_ended);
