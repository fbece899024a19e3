/* What fetches and packing leave behind in a mirror when they are killed, or meet a full disk: locks of refs, half-written
 * objects and packs, packs without an index. */
#pragma once

/* Removes it. Only with the lock for changes (mirror_lock.h): then nobody lives who made such files, but who packs; while
 * he does, the folder of packs is left alone. */
void mirror_sweep(const char *path);
/* The folder of packs only, for who has both locks. */
void mirror_sweep_packs(const char *path);
