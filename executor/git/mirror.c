#include "executor/git/mirror.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "executor/git/mirror_lock.h"
#include "executor/git/mirror_sweep.h"
#include "executor/git/skeleton.h"
#include "executor/remove_tree.h"

#define KEY_HEX 32
#define FENCES "refs/kiln/builds/"
#define MAX_TURNS 8
#define REMOVE_TIMEOUT_MS 1000
#define ADOPT_WAIT_MS 200 /* a build's end is not worth more */

static void hash_key(const char *text, char ret[KEY_HEX + 1])
{
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_SIZE * 2 + 1];
	sha256(text, strlen(text), digest);
	hex_encode(digest, sizeof(digest), hex);
	(void)snprintf(ret, KEY_HEX + 1, "%.*s", KEY_HEX, hex);
}

/* Names of a remote may clash as paths (a, then a/b after a was deleted): ours are flat. A fence is asked for by the
 * attempts of one build only, and is gone when that has ended: all fences share one ref, which is read before the next
 * one is fetched into it. */
static void local_ref_of(const char *remote_ref, char *ret, size_t size)
{
	char key[KEY_HEX + 1];
	hash_key(str_starts(remote_ref, FENCES) ? FENCES : remote_ref, key);
	(void)snprintf(ret, size, "refs/kiln/%s", key);
}

static int make(const struct mirror *mirror, struct error *err)
{
	/* Beside, then renamed: a mirror that exists is whole. */
	char id[UUID_TEXT_SIZE];
	uuid_v4(id);
	CLEANUP(free_p) char *temp = xasprintf("%s.new-%s", mirror->path, id);
	int rc = git_skeleton_make(temp, true, NULL, err);
	if (rc == 0)
		rc = git_skeleton_complete(temp, "refs/heads/none", NULL, err);
	if (rc == 0 && rename(temp, mirror->path) == 0)
		return 0;
	if (rc == 0 && errno != EEXIST && errno != ENOTEMPTY) /* another build made it meanwhile */
		rc = error_set_errno(err, errno, "new mirror");
	struct error left = ERROR_INIT; /* until the next daemon starts */
	if (remove_tree(AT_FDCWD, temp, clock_boot_ms() + REMOVE_TIMEOUT_MS, &left) < 0)
		log_warn("a mirror that is of no use cannot be removed", "path", temp, "error", left.message, NULL);
	return rc;
}

static void set_path(struct mirror *mirror, char *path)
{
	free(mirror->path);
	free(mirror->objects);
	mirror->path = path;
	mirror->objects = xasprintf("%s/objects", path);
}

/* Away with a broken one; while others borrow from it, this attempt goes on with one of its own. */
static int leave(struct mirror *mirror, struct error *err)
{
	git_repository_free(mirror->repo);
	mirror->repo = NULL;
	if (mirror_retire(mirror->path, mirror->state_dir, &mirror->use_fd, err) == 0)
		return 0;
	if (err->kind != ERR_CONFLICT)
		return -1;
	set_path(mirror, xstrdup(mirror->own_path));
	return 0;
}

/* Others may move it away between any two of these steps. */
static int open_whole(struct mirror *mirror, struct error *err)
{
	bool left = false;
	for (int turn = 0; turn < MAX_TURNS; turn++) {
		if (mirror_lock_use(mirror->path, &mirror->use_fd, err) < 0) {
			if (err->kind != ERR_NOT_FOUND || make(mirror, err) < 0)
				return -1;
			continue;
		}
		if (git_repository_open_bare(&mirror->repo, mirror->path) == 0)
			return 0;
		(void)git_library_error(err, ERR_INTERNAL, "mirror"); /* returned below */
		if (left || leave(mirror, err) < 0)
			return -1;
		left = true;
	}
	return error_set(err, ERR_INTERNAL, "the mirror goes as often as it is made");
}

int mirror_open(const char *state_dir, const char *own_path, const char *url, struct mirror *ret_mirror,
				struct error *err)
{
	char key[KEY_HEX + 1];
	hash_key(url, key);
	struct mirror mirror = {.use_fd = -1, .state_dir = state_dir, .own_path = xstrdup(own_path)};
	set_path(&mirror, xasprintf("%s/mirrors/%s.git", state_dir, key));
	if (open_whole(&mirror, err) < 0) {
		mirror_close(&mirror);
		return -1;
	}
	*ret_mirror = mirror;
	return 0;
}

int mirror_renew(struct mirror *mirror, struct error *err)
{
	return leave(mirror, err) < 0 ? -1 : open_whole(mirror, err);
}

void mirror_close(struct mirror *mirror)
{
	git_repository_free(mirror->repo);
	close_p(&mirror->use_fd);
	free(mirror->path);
	free(mirror->objects);
	free(mirror->own_path);
	*mirror = (struct mirror){.use_fd = -1};
}

bool mirror_knows(const struct mirror *mirror, const char *remote_ref, git_oid *ret_oid)
{
	char local_ref[64];
	local_ref_of(remote_ref, local_ref, sizeof(local_ref));
	return git_reference_name_to_id(ret_oid, mirror->repo, local_ref) == 0;
}

void mirror_each(const char *state_dir, bool (*take)(void *ctx, const char *path), void *ctx)
{
	CLEANUP(free_p) char *folder = xasprintf("%s/mirrors", state_dir);
	DIR *dir = opendir(folder);
	bool more = true;
	int seen = 0;
	for (struct dirent *entry = dir == NULL ? NULL : readdir(dir); entry != NULL && more && seen < MIRRORS_MAX;
		 entry = readdir(dir)) {
		if (!str_ends(entry->d_name, ".git"))
			continue;
		CLEANUP(free_p) char *path = xasprintf("%s/%s", folder, entry->d_name);
		more = take(ctx, path);
		seen++;
	}
	if (dir != NULL)
		(void)closedir(dir); /* read only */
}

static bool is_at(const struct mirror *mirror, const char *remote_ref, const char *wanted, git_oid *ret_oid)
{
	git_oid oid;
	if (!mirror_knows(mirror, remote_ref, &oid) || git_oid_streq(&oid, wanted) != 0)
		return false;
	*ret_oid = oid;
	return true;
}

static int fetch_locked(struct mirror *mirror, const struct git_remote *remote, int lock_fd, const char *remote_ref,
						git_oid *ret_oid, struct error *err)
{
	char local_ref[64];
	local_ref_of(remote_ref, local_ref, sizeof(local_ref));
	struct git_remote locked = *remote;
	locked.mirror_fd = lock_fd;
	mirror_sweep(mirror->path);
	if (remote_fetch(&locked, mirror->path, remote_ref, local_ref, err) < 0) {
		mirror_sweep(mirror->path);
		return -1;
	}
	git_odb *odb = NULL;
	if (git_repository_odb(&odb, mirror->repo) == 0)
		(void)git_odb_refresh(odb); /* it looks again by itself when something is missing */
	git_odb_free(odb);
	if (!mirror_knows(mirror, remote_ref, ret_oid))
		return error_set(err, ERR_INTERNAL, "the mirror lacks what was just fetched");
	return 0;
}

int mirror_fetch(struct mirror *mirror, const struct git_remote *remote, const char *remote_ref, const char *wanted,
				 git_oid *ret_oid, struct error *err)
{
	if (is_at(mirror, remote_ref, wanted, ret_oid))
		return 0;
	CLEANUP(close_p) int lock_fd = -1;
	if (mirror_lock_fetch(mirror->path, remote, clock_boot_ms() + remote->timeout_ms, &lock_fd, err) < 0)
		return -1;
	if (is_at(mirror, remote_ref, wanted, ret_oid)) /* the build before us has fetched it */
		return 0;
	return fetch_locked(mirror, remote, lock_fd, remote_ref, ret_oid, err);
}

/* Packing removes folders that it has emptied (mirror_pack.h), also this one just now. */
static bool link_object(int from, int to_fd, const char *folder, const char *name)
{
	CLEANUP(free_p) char *to = xasprintf("%s/%s", folder, name);
	for (int turn = 0; turn < MAX_TURNS; turn++) {
		if (linkat(from, name, to_fd, to, 0) == 0 || errno == EEXIST)
			return true;
		if (errno != ENOENT || (mkdirat(to_fd, folder, 0755) < 0 && errno != EEXIST))
			return false;
	}
	return false;
}

static bool link_folder(int from_fd, int to_fd, const char *name)
{
	int from = openat(from_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0)
		return errno == ENOENT;
	DIR *dir = fdopendir(from);
	bool whole = dir != NULL;
	for (struct dirent *entry = dir == NULL ? NULL : readdir(dir); whole && entry != NULL; entry = readdir(dir))
		whole = entry->d_name[0] == '.' || link_object(dirfd(dir), to_fd, name, entry->d_name);
	if (dir != NULL)
		(void)closedir(dir); /* read only */
	else
		(void)close(from); /* read only */
	return whole;
}

/* Loose objects are immutable and named by their content: linking them is all it takes. */
static bool link_objects(const char *from_path, const char *to_path)
{
	CLEANUP(close_p) int from = open(from_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_p) int to = open(to_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool whole = from >= 0 && to >= 0;
	for (int i = 0; whole && i < 256; i++) {
		char name[3];
		(void)snprintf(name, sizeof(name), "%02x", (unsigned)i);
		whole = link_folder(from, to, name);
	}
	return whole;
}

void mirror_adopt(struct mirror *mirror, const char *objects_dir, const char *remote_ref, const git_oid *commit)
{
	if (!link_objects(objects_dir, mirror->objects))
		return; /* a ref says that all of its objects are there: it is fetched next time */
	CLEANUP(close_p) int lock_fd = -1;
	struct error ignored = ERROR_INIT;
	if (mirror_lock_fetch(mirror->path, NULL, clock_boot_ms() + ADOPT_WAIT_MS, &lock_fd, &ignored) < 0)
		return; /* it is fetched next time */
	char local_ref[64];
	local_ref_of(remote_ref, local_ref, sizeof(local_ref));
	git_reference *ref = NULL;
	git_commit *object = NULL;
	if (git_commit_lookup(&object, mirror->repo, commit) == 0)
		(void)git_reference_create(&ref, mirror->repo, local_ref, commit, 1, NULL); /* else it is fetched next time */
	git_commit_free(object);
	git_reference_free(ref);
}
