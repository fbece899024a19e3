/*
 * The daemon's end of `kiln-executor pack-mirrors` (pack_mirrors.h): a process that is there now and then. It is no
 * thread of ours because git's own processes are found and ended as descendants, which are many here. Main thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct packer {
	pid_t pid;      /* 0 = none, or reaped */
	bool died;      /* by a signal: what it had started is the daemon's now, who kills it and clears this */
	int fd;         /* closed: it ends */
	bool wanted;    /* mirrors may have grown since the last one looked */
	int64_t due_ms; /* not before */
};

/* Wanted at once: nobody knows what an earlier daemon has left. */
void packer_init(struct packer *packer);
/* An attempt has ended. */
void packer_want(struct packer *packer);
/* Starts it when it is wanted, but once a minute at most. */
void packer_tick(struct packer *packer, int64_t now_ms);
/* When that would be; INT64_MAX: not before something else happens. */
int64_t packer_due_ms(const struct packer *packer);
/* It has been reaped. */
void packer_ended(struct packer *packer, int status);
/* Tells it to end, with what it has started. Does not wait. */
void packer_close(struct packer *packer);
/* The same, and waits and reaps it. At the deadline (clock_boot_ms) all descendants of this process are killed, since
 * nothing else tells git's from others: it is called when no other child is wanted any more. Returns a second later at
 * most. The struct is the caller's. */
void packer_stop(struct packer *packer, int64_t deadline_ms);
