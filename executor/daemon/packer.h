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
/* Has it end, with what it has started, and reaps it; kills it after some seconds. */
void packer_stop(struct packer *packer);
