#include "executor/git/mirror.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/str.h"
#include "executor/git/skeleton.h"

#define LOCK_POLL_MS 20
#define KEY_HEX 32

static void hash_key(const char *text, char ret[KEY_HEX + 1])
{
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_SIZE * 2 + 1];
	sha256(text, strlen(text), digest);
	hex_encode(digest, sizeof(digest), hex);
	(void)snprintf(ret, KEY_HEX + 1, "%.*s", KEY_HEX, hex);
}

/* Names of a remote may clash as paths (a, then a/b after a was deleted): ours are flat. */
static void local_ref_of(const char *remote_ref, char *ret, size_t size)
{
	char key[KEY_HEX + 1];
	hash_key(remote_ref, key);
	(void)snprintf(ret, size, "refs/kiln/%s", key);
}

static void unlock(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* which unlocks */
	*fd = -1;
}

/* flock has no time-out, hence the polling; the interrupt descriptor ends it early. */
static int lock(const struct mirror *mirror, const struct git_remote *remote, int64_t deadline_ms, int *ret_fd,
				struct error *err)
{
	int fd = open(mirror->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_set_errno(err, errno, "lock of the mirror");
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int rc = 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			rc = error_set_errno(err, errno, "lock of the mirror");
		else if (clock_boot_ms() >= deadline_ms)
			rc = error_set(err, ERR_TIMEOUT, "another build has been fetching this repository for too long");
		struct pollfd ready = {.fd = remote != NULL ? remote->interrupt_fd : -1, .events = POLLIN};
		if (rc == 0 && poll(&ready, 1, LOCK_POLL_MS) > 0 && remote != NULL && remote->interrupted != NULL &&
			remote->interrupted(remote->interrupt_ctx))
			rc = error_set(err, ERR_CANCELLED, "cancelled");
		if (rc < 0) {
			unlock(&fd);
			return -1;
		}
	}
	*ret_fd = fd;
	return 0;
}

static int make(const struct mirror *mirror, struct error *err)
{
	/* Beside, then renamed: a mirror that exists is whole. */
	char id[UUID_TEXT_SIZE];
	uuid_v4(id);
	CLEANUP(free_p) char *temp = xasprintf("%s.new-%s", mirror->path, id);
	if (git_skeleton_make(temp, true, NULL, err) < 0 || git_skeleton_complete(temp, "refs/heads/none", NULL, err) < 0)
		return -1;
	if (rename(temp, mirror->path) < 0 && errno != EEXIST && errno != ENOTEMPTY) /* another build made it meanwhile */
		return error_set_errno(err, errno, "new mirror");
	return 0;
}

int mirror_open(const char *state_dir, const char *url, struct mirror *ret_mirror, struct error *err)
{
	char key[KEY_HEX + 1];
	hash_key(url, key);
	struct mirror mirror = {
		.path = xasprintf("%s/mirrors/%s.git", state_dir, key),
		.lock_path = xasprintf("%s/mirrors/%s.lock", state_dir, key),
	};
	mirror.objects = xasprintf("%s/objects", mirror.path);
	int rc = git_repository_open_bare(&mirror.repo, mirror.path);
	if (rc < 0 && access(mirror.path, F_OK) == 0 && mirror_discard(&mirror, state_dir, err) < 0)
		goto fail;
	if (rc < 0 && make(&mirror, err) < 0)
		goto fail;
	if (rc < 0 && git_repository_open_bare(&mirror.repo, mirror.path) < 0) {
		(void)git_library_error(err, ERR_INTERNAL, "mirror"); /* returned below */
		goto fail;
	}
	*ret_mirror = mirror;
	return 0;
fail:
	mirror_close(&mirror);
	return -1;
}

void mirror_close(struct mirror *mirror)
{
	git_repository_free(mirror->repo);
	free(mirror->path);
	free(mirror->objects);
	free(mirror->lock_path);
	*mirror = (struct mirror){NULL};
}

bool mirror_knows(const struct mirror *mirror, const char *remote_ref, git_oid *ret_oid)
{
	char local_ref[64];
	local_ref_of(remote_ref, local_ref, sizeof(local_ref));
	return git_reference_name_to_id(ret_oid, mirror->repo, local_ref) == 0;
}

static bool is_at(const struct mirror *mirror, const char *remote_ref, const char *wanted, git_oid *ret_oid)
{
	git_oid oid;
	if (!mirror_knows(mirror, remote_ref, &oid) || git_oid_streq(&oid, wanted) != 0)
		return false;
	*ret_oid = oid;
	return true;
}

static void remove_temporary(int objects_fd, const char *folder)
{
	int fd = openat(objects_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *entry = dir == NULL ? NULL : readdir(dir); entry != NULL; entry = readdir(dir)) {
		if (str_starts(entry->d_name, "tmp_"))
			(void)unlinkat(dirfd(dir), entry->d_name, 0); /* what stays costs only space */
	}
	if (dir != NULL)
		(void)closedir(dir); /* read only */
	else if (fd >= 0)
		(void)close(fd); /* a directory */
}

/* Half-written objects and packs of fetches that were killed or met a full disk. Only with the lock: nobody else writes
 * such files. */
static void sweep(const struct mirror *mirror)
{
	int fd = open(mirror->objects, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	remove_temporary(fd, ".");
	remove_temporary(fd, "pack");
	for (int i = 0; i < 256; i++) {
		char name[3];
		(void)snprintf(name, sizeof(name), "%02x", i);
		remove_temporary(fd, name);
	}
	(void)close(fd); /* a directory */
}

static int fetch_locked(struct mirror *mirror, const struct git_remote *remote, const char *remote_ref,
						git_oid *ret_oid, struct error *err)
{
	char local_ref[64];
	local_ref_of(remote_ref, local_ref, sizeof(local_ref));
	sweep(mirror);
	if (remote_fetch(remote, mirror->path, remote_ref, local_ref, err) < 0) {
		sweep(mirror);
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
	int lock_fd = -1;
	if (lock(mirror, remote, clock_boot_ms() + remote->timeout_ms, &lock_fd, err) < 0)
		return -1;
	int rc = 0;
	if (!is_at(mirror, remote_ref, wanted, ret_oid)) /* the build before us may have fetched it */
		rc = fetch_locked(mirror, remote, remote_ref, ret_oid, err);
	unlock(&lock_fd);
	return rc;
}

/* Loose objects are immutable and named by their content: linking them is all it takes. */
static void link_folder(int from_fd, int to_fd, const char *name)
{
	int from = openat(from_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	(void)mkdirat(to_fd, name, 0755); /* EEXIST */
	int to = openat(to_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = from < 0 || to < 0 ? NULL : fdopendir(from);
	for (struct dirent *entry = dir == NULL ? NULL : readdir(dir); entry != NULL; entry = readdir(dir)) {
		/* EEXIST: known already. Anything else: the next fetch brings what is missing. */
		if (entry->d_name[0] != '.' && linkat(dirfd(dir), entry->d_name, to, entry->d_name, 0) < 0 && errno != EEXIST)
			break;
	}
	if (dir != NULL)
		(void)closedir(dir); /* read only */
	else if (from >= 0)
		(void)close(from); /* read only */
	if (to >= 0)
		(void)close(to); /* a directory */
}

void mirror_adopt(struct mirror *mirror, const char *objects_dir, const char *remote_ref, const git_oid *commit)
{
	int from = open(objects_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int to = open(mirror->objects, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; from >= 0 && to >= 0 && i < 256; i++) {
		char name[3];
		(void)snprintf(name, sizeof(name), "%02x", i);
		if (faccessat(from, name, F_OK, 0) == 0)
			link_folder(from, to, name);
	}
	if (from >= 0)
		(void)close(from); /* a directory */
	if (to >= 0)
		(void)close(to); /* a directory */
	char local_ref[64];
	local_ref_of(remote_ref, local_ref, sizeof(local_ref));
	git_reference *ref = NULL;
	git_commit *object = NULL;
	if (git_commit_lookup(&object, mirror->repo, commit) == 0)
		(void)git_reference_create(&ref, mirror->repo, local_ref, commit, 1, NULL); /* else it is fetched next time */
	git_commit_free(object);
	git_reference_free(ref);
}

int mirror_discard(struct mirror *mirror, const char *state_dir, struct error *err)
{
	char id[UUID_TEXT_SIZE];
	uuid_v4(id);
	CLEANUP(free_p) char *trash = xasprintf("%s/trash/mirror-%s", state_dir, id);
	git_repository_free(mirror->repo);
	mirror->repo = NULL;
	if (rename(mirror->path, trash) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "broken mirror");
	return 0;
}
