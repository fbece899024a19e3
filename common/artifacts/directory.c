/*
 * The adapter `directory`:
 *
 *   sha256/AB/ABCD…     a content, read-only, under its hash; its time of change is when it was last put
 *   sha256/AB/.old-…    a content that is being removed
 *   new/UUID            one that is being written
 *
 * A content gets its name by rename(2) after fsync(2), so it is whole when it is found; two writers of the same one put
 * the same bytes in the same place.
 */
#include "common/artifacts/artifact_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/str.h"

#define CHUNK_BYTES ((size_t)128 * 1024)
#define BROKEN_AFTER_S 86400 /* a put that has written nothing for so long will not go on */
#define NAME_SIZE (sizeof("sha256/ab/") + ARTIFACT_SHA256_SIZE)
#define FOLDER_SIZE sizeof("sha256/ab")
/* A gateway of another user reads them as a member of the group, which a directory with the setgid bit hands down. */
#define DIRECTORY_MODE 0750
#define FILE_MODE 0440

struct directory {
	struct artifact_store port; /* first */
	int root_fd;
};

static int root_of(const struct artifact_store *store)
{
	return ((const struct directory *)store)->root_fd;
}

static bool is_sha256(const char *text)
{
	return strlen(text) == 2UL * SHA256_SIZE && str_is_hex(text, 2UL * SHA256_SIZE);
}

static void name_of(const char *sha256, char ret[NAME_SIZE])
{
	(void)snprintf(ret, NAME_SIZE, "sha256/%.2s/%s", sha256, sha256);
}

static int make_folder(int root_fd, const char *name, struct error *err)
{
	if (mkdirat(root_fd, name, DIRECTORY_MODE) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "artifact store: %s", name);
	return 0;
}

/* A name in a folder lasts when the folder has been written. */
static int sync_folder(int root_fd, const char *name, struct error *err)
{
	CLEANUP(close_p) int fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return error_set_errno(err, errno, "artifact store: %s", name);
	return 0;
}

static int check_limits(const struct artifact_limits *limits, int64_t size, struct error *err)
{
	if (size > limits->max_bytes)
		return error_set(err, ERR_LIMIT, "it has more than %lld bytes", (long long)limits->max_bytes);
	if (clock_boot_ms() >= limits->deadline_ms)
		return error_set(err, ERR_TIMEOUT, "it could not be copied in time");
	if (limits->stop != NULL && limits->stop(limits->ctx))
		return error_set(err, ERR_CANCELLED, "stopped");
	return 0;
}

/* The bytes that are hashed are those that are written: the source may change under our eyes. */
static int copy(int source_fd, int fd, const struct artifact_limits *limits, struct sha256_run *hash, int64_t *ret_size,
				struct error *err)
{
	CLEANUP(free_p) char *chunk = xmalloc(CHUNK_BYTES);
	int64_t size = 0;
	for (;;) {
		ssize_t got = read(source_fd, chunk, CHUNK_BYTES);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, errno, "it cannot be read");
		if (got == 0)
			break;
		size += got;
		if (check_limits(limits, size, err) < 0)
			return -1;
		sha256_add(hash, chunk, (size_t)got);
		if (fd_write_all(fd, chunk, (size_t)got) < 0) {
			(void)error_set_errno(err, errno, "artifact store"); /* its kind is another */
			err->kind = ERR_UNAVAILABLE;
			return -1;
		}
	}
	*ret_size = size;
	return 0;
}

static int copy_hashing(int source_fd, int fd, const struct artifact_limits *limits, struct artifact_content *ret,
						struct error *err)
{
	struct sha256_run *run = sha256_begin();
	uint8_t hash[SHA256_SIZE];
	int rc = copy(source_fd, fd, limits, run, &ret->size, err);
	sha256_end(run, rc == 0 ? hash : NULL);
	if (rc == 0)
		hex_encode(hash, sizeof(hash), ret->sha256);
	return rc;
}

/* Whether it is there already, and then newly put. Whoever removes it looks at its time after he has taken its name. */
static bool touch(int root_fd, const char *name, int64_t size)
{
	struct stat info;
	return fstatat(root_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_size == size &&
		   utimensat(root_fd, name, NULL, AT_SYMLINK_NOFOLLOW) == 0;
}

static int keep(int root_fd, int fd, const char *new_name, const struct artifact_content *content, struct error *err)
{
	char name[NAME_SIZE], folder[FOLDER_SIZE];
	name_of(content->sha256, name);
	if (touch(root_fd, name, content->size)) {
		(void)unlinkat(root_fd, new_name, 0); /* left behind it is removed later */
		return 0;
	}
	(void)snprintf(folder, sizeof(folder), "sha256/%.2s", content->sha256);
	if (fchmod(fd, FILE_MODE) < 0 || fsync(fd) < 0)
		return error_set_errno(err, errno, "artifact store");
	if (make_folder(root_fd, folder, err) < 0)
		return -1;
	if (renameat(root_fd, new_name, root_fd, name) < 0)
		return error_set_errno(err, errno, "artifact store: %s", name);
	return sync_folder(root_fd, folder, err) < 0 ? -1 : sync_folder(root_fd, "sha256", err);
}

static int put(struct artifact_store *store, int source_fd, const struct artifact_limits *limits,
			   struct artifact_content *ret, struct error *err)
{
	int root_fd = root_of(store);
	char uuid[UUID_TEXT_SIZE], new_name[sizeof("new/") + UUID_TEXT_SIZE];
	uuid_v4(uuid);
	(void)snprintf(new_name, sizeof(new_name), "new/%s", uuid);
	CLEANUP(close_p) int fd = -1;
	if (make_folder(root_fd, "new", err) == 0 && make_folder(root_fd, "sha256", err) == 0) {
		fd = openat(root_fd, new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			(void)error_set_errno(err, errno, "artifact store"); /* returned below */
	}
	if (fd < 0) {
		err->kind = ERR_UNAVAILABLE;
		return -1;
	}
	struct artifact_content content;
	int rc = copy_hashing(source_fd, fd, limits, &content, err);
	if (rc == 0 && keep(root_fd, fd, new_name, &content, err) < 0) {
		err->kind = ERR_UNAVAILABLE;
		rc = -1;
	}
	if (rc < 0)
		(void)unlinkat(root_fd, new_name, 0); /* as above */
	else
		*ret = content;
	return rc;
}

static int open_blob(struct artifact_store *store, const char *sha256, struct artifact_blob *ret_blob,
					 struct error *err)
{
	char name[NAME_SIZE];
	if (!is_sha256(sha256))
		return error_set(err, ERR_INVALID, "no SHA-256");
	name_of(sha256, name);
	CLEANUP(close_p) int fd = openat(root_of(store), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat info;
	if (fd < 0 || fstat(fd, &info) < 0)
		return error_set_errno(err, errno, "artifact store: %s", name);
	if (!S_ISREG(info.st_mode))
		return error_set(err, ERR_INTERNAL, "artifact store: %s is no file", name);
	*ret_blob = (struct artifact_blob){.store = store, .size = info.st_size, .fd = fd_take(&fd)};
	return 0;
}

static int read_blob(const struct artifact_blob *blob, int64_t offset, void *data, size_t len, size_t *ret_len,
					 struct error *err)
{
	ssize_t got;
	do
		got = pread(blob->fd, data, len, offset);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return error_set_errno(err, errno, "artifact store");
	*ret_len = (size_t)got;
	return 0;
}

static void close_blob(struct artifact_blob *blob)
{
	close_p(&blob->fd);
}

/* Somebody may put it at this moment: its name is taken away first, so that who comes later writes it anew, and its
 * time is looked at after that, so that who came before gets it back. */
static bool remove_if_old(int folder_fd, const char *name, int64_t before_s)
{
	char uuid[UUID_TEXT_SIZE], aside[sizeof(".old-") + UUID_TEXT_SIZE + ARTIFACT_SHA256_SIZE];
	struct stat info;
	uuid_v4(uuid);
	(void)snprintf(aside, sizeof(aside), ".old-%s-%.64s", uuid, name);
	if (renameat(folder_fd, name, folder_fd, aside) < 0)
		return false;
	if (fstatat(folder_fd, aside, &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_mtime >= before_s) {
		(void)renameat(folder_fd, aside, folder_fd, name); /* over one that came meanwhile: the same bytes */
		return false;
	}
	return unlinkat(folder_fd, aside, 0) == 0;
}

struct removal {
	int64_t before_s, broken_before_s;
	bool (*stop)(void *ctx);
	void *ctx;
	int64_t removed;
};

/* One entry of a folder of contents, or of unfinished ones. */
static void look_at(struct removal *removal, int folder_fd, const char *name)
{
	struct stat info;
	if (fstatat(folder_fd, name, &info, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(info.st_mode))
		return;
	/* What a crash has left. A content that is being removed is old, but was renamed just now. */
	bool broken_put = uuid_is_valid(name, strlen(name)) && info.st_mtime < removal->broken_before_s;
	bool broken_removal = str_starts(name, ".old-") && info.st_ctime < removal->broken_before_s;
	if (broken_put || broken_removal)
		(void)unlinkat(folder_fd, name, 0); /* or the next time */
	if (!is_sha256(name))
		return;
	if (info.st_mtime < removal->before_s && remove_if_old(folder_fd, name, removal->before_s))
		removal->removed++;
}

static int clean_folder(struct removal *removal, int root_fd, const char *name, struct error *err)
{
	CLEANUP(close_p) int fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL)
		return error_set_errno(err, errno, "artifact store: %s", name);
	(void)fd_take(&fd); /* dir's */
	int rc = 0;
	for (struct dirent *entry = readdir(dir); entry != NULL && rc == 0; entry = readdir(dir)) {
		if (removal->stop != NULL && removal->stop(removal->ctx))
			rc = error_set(err, ERR_CANCELLED, "stopped");
		else
			look_at(removal, dirfd(dir), entry->d_name);
	}
	(void)closedir(dir); /* read only */
	return rc;
}

static int remove_old(struct artifact_store *store, int64_t before_s, bool (*stop)(void *ctx), void *ctx,
					  int64_t *ret_removed, struct error *err)
{
	struct removal removal = {
		.before_s = before_s,
		.broken_before_s = clock_wall_us() / 1000000 - BROKEN_AFTER_S,
		.stop = stop,
		.ctx = ctx,
	};
	int rc = clean_folder(&removal, root_of(store), "new", err);
	for (unsigned i = 0; i < 256 && rc == 0; i++) {
		char folder[FOLDER_SIZE];
		(void)snprintf(folder, sizeof(folder), "sha256/%02x", i);
		rc = clean_folder(&removal, root_of(store), folder, err);
	}
	*ret_removed = removal.removed;
	return rc;
}

static void free_directory(struct artifact_store *store)
{
	struct directory *directory = (struct directory *)store;
	close_p(&directory->root_fd);
	free(directory);
}

int artifact_directory_new(const char *path, struct artifact_store **ret_store, struct error *err)
{
	if (path[0] != '/')
		return error_set(err, ERR_INVALID, "\"%.200s\" is not an absolute path", path);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	struct directory *directory = xmalloc(sizeof(*directory));
	*directory = (struct directory){
		.port = {.put = put,
				 .open = open_blob,
				 .read = read_blob,
				 .close = close_blob,
				 .remove_old = remove_old,
				 .free = free_directory},
		.root_fd = fd,
	};
	*ret_store = &directory->port;
	return 0;
}

int artifact_directory_check(const char *path, struct error *err)
{
	struct artifact_store *store;
	if (artifact_directory_new(path, &store, err) < 0)
		return -1;
	artifact_store_free(store);
	return 0;
}
