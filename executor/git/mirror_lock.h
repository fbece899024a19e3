/*
 * The locks of a mirror (flock), on files inside of it, so that they go where it goes:
 *
 *   kiln-use    shared, of every attempt whose repositories borrow the mirror's objects, and of who packs it; exclusive,
 *               of who moves the mirror away. It is the attempt's child's alone, or the packer's: nothing that is
 *               started inherits it, so it ends with that process, whatever else lives on. The time of the file is when
 *               a build has last opened the mirror.
 *   kiln-fetch  exclusive, of who changes the mirror's refs. Git inherits it (struct git_remote, mirror_fd): as long as
 *               anything of a fetch lives, also when its attempt's child was killed, nobody clears up behind it.
 *   kiln-pack   exclusive, of who packs the mirror's objects (mirror_pack.h). Git inherits it for the same reason. Fetches
 *               go on meanwhile. The time of the file says when the mirror is to be looked at again: once it was used
 *               later than that.
 */
#pragma once

#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/access.h"

/* The shared lock of the mirror at `path`, which counts as used from now. Waits, for as long as moving one takes.
 * ERR_NOT_FOUND: there is no mirror. Closing ret_fd unlocks. */
int mirror_lock_use(const char *path, int *ret_fd, struct error *err) MUST_CHECK;
/* The same for who does not count as a use, and does not wait: ERR_TIMEOUT while it is moved. */
int mirror_lock_stay(const char *path, int *ret_fd, struct error *err) MUST_CHECK;
/* When it was last used; microseconds since 1970, 0 = there is no mirror. */
int64_t mirror_last_used_us(const char *path);

/* The exclusive lock for changes. Waits until the deadline (clock_boot_ms; ERR_TIMEOUT) or until `remote`, which may be
 * NULL, is interrupted (ERR_CANCELLED). Closing ret_fd unlocks, when git is gone. */
int mirror_lock_fetch(const char *path, const struct git_remote *remote, int64_t deadline_ms, int *ret_fd,
					  struct error *err) MUST_CHECK;

/* The exclusive lock for packing. Does not wait: ERR_TIMEOUT while another has it. Closing ret_fd unlocks, when git is
 * gone. */
int mirror_lock_pack(const char *path, int *ret_fd, struct error *err) MUST_CHECK;
/* The time of that file; microseconds since 1970, 0 = never looked at. */
int64_t mirror_packed_us(const char *path);
/* Sets it, by the lock. */
void mirror_set_packed_us(int pack_fd, int64_t time_us);

/* Moves the mirror to STATE/trash. ERR_CONFLICT: an attempt uses it. `use_fd` is the caller's own shared lock, or -1;
 * it is closed in any case. What somebody else has moved meanwhile is gone too: success. */
int mirror_retire(const char *path, const char *state_dir, int *use_fd, struct error *err) MUST_CHECK;
