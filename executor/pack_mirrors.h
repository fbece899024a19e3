/*
 * `kiln-executor pack-mirrors`: a process of the daemon (daemon/packer.h) that packs the mirrors which need it, one by
 * one, and ends. Its standard input is a socket whose other end the daemon holds: when that is closed, by the daemon or
 * by its death, it kills what it has started and ends. Killed itself it leaves that to the daemon. It packs refs first;
 * for objects, for which nobody waits, it is nice, and takes the disk only while nobody else wants it.
 */
#pragma once

/* Exit status: it has taken long, and is to be started again for the others, whose refs come first again. */
#define PACK_MIRRORS_MORE 10

/* Returns the exit status. */
int pack_mirrors_main(void);
