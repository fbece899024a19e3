#include "executor/attempt/session.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/buffer.h"
#include "common/base/fd.h"
#include "common/base/ids.h"
#include "executor/agent_files.h"

#define FOLDER "sessions"
#define MAX_ID_BYTES 64

static bool is_plain_id(const char *id)
{
	static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-";
	size_t len = id == NULL ? 0 : strlen(id);
	return len > 0 && len <= MAX_ID_BYTES && strspn(id, allowed) == len;
}

/* NULL when a part of it is no plain id. */
static char *kept_name(const struct session *session)
{
	if (!is_plain_id(session->project_id) || !is_plain_id(session->build_id) || !is_plain_id(session->session_id))
		return NULL;
	return xasprintf("%s.%s.%s", session->project_id, session->build_id, session->session_id);
}

static int open_folder(const char *path, const char *name)
{
	CLEANUP(free_p) char *full = xasprintf("%s/%s", path, name);
	return open(full, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* As a new file; whole or not at all. */
static bool write_all(int folder_fd, const char *name, const char *data, size_t len)
{
	char id[UUID_TEXT_SIZE];
	uuid_v4(id);
	CLEANUP(free_p) char *temp = xasprintf("new.%s", id);
	int fd = openat(folder_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool good = fd >= 0 && fd_write_all(fd, data, len) == 0;
	good = fd >= 0 && close(fd) == 0 && good;
	good = good && renameat(folder_fd, temp, folder_fd, name) == 0;
	if (!good && fd >= 0)
		(void)unlinkat(folder_fd, temp, 0); /* what stays is removed as the oldest */
	return good;
}

struct kept {
	char *name;
	int64_t bytes;
	struct timespec time;
};

static int by_age(const void *a, const void *b)
{
	const struct timespec *left = &((const struct kept *)a)->time, *right = &((const struct kept *)b)->time;
	if (left->tv_sec != right->tv_sec)
		return left->tv_sec < right->tv_sec ? -1 : 1;
	return left->tv_nsec < right->tv_nsec ? -1 : left->tv_nsec > right->tv_nsec;
}

/* Into its place among SESSION_MAX_FILES; the oldest of them and it goes. */
static void replace_oldest(int folder_fd, struct kept *kept, const struct kept *new, int64_t *total)
{
	struct kept *oldest = &kept[0];
	for (size_t i = 1; i < SESSION_MAX_FILES; i++) {
		if (by_age(&kept[i], oldest) < 0)
			oldest = &kept[i];
	}
	struct kept gone = *new;
	if (by_age(new, oldest) > 0) {
		gone = *oldest;
		*oldest = *new;
	}
	(void)unlinkat(folder_fd, gone.name, 0); /* ENOENT: another attempt was first */
	*total -= gone.bytes;
	free(gone.name);
}

/* Other attempts may do the same meanwhile: what is gone is gone. Takes the descriptor. */
static void remove_oldest(int folder_fd, int64_t all_bytes)
{
	struct kept *kept = xcalloc(SESSION_MAX_FILES, sizeof(*kept));
	size_t len = 0, at = 0;
	int64_t total = 0;
	DIR *dir = fdopendir(folder_fd);
	for (struct dirent *entry = dir != NULL ? readdir(dir) : NULL; entry != NULL; entry = readdir(dir)) {
		struct stat info;
		if (entry->d_name[0] == '.' || fstatat(folder_fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		const struct kept one = {xstrdup(entry->d_name), info.st_size, info.st_mtim};
		total += one.bytes;
		if (len < SESSION_MAX_FILES)
			kept[len++] = one;
		else
			replace_oldest(folder_fd, kept, &one, &total);
	}
	qsort(kept, len, sizeof(*kept), by_age);
	for (; at < len && total > all_bytes; at++) {
		(void)unlinkat(folder_fd, kept[at].name, 0); /* ENOENT: another attempt was first */
		total -= kept[at].bytes;
	}
	for (size_t i = 0; i < len; i++)
		free(kept[i].name);
	free(kept);
	if (dir != NULL)
		(void)closedir(dir); /* read only */
	else
		(void)close(folder_fd); /* a directory */
}

void session_keep(const struct session *session, const struct secrets *secrets, int64_t all_bytes)
{
	CLEANUP(free_p) char *name = kept_name(session);
	int home_fd = name != NULL && all_bytes > 0 ? open_folder(session->home, ".") : -1;
	if (home_fd < 0)
		return;
	CLEANUP(buffer_release_p) struct buffer data;
	buffer_init(&data, SESSION_MAX_BYTES);
	bool good = agent_read_file(home_fd, session->path, &data);
	(void)close(home_fd);                           /* a directory */
	good = good && data.data[data.len - 1] == '\n'; /* lines: one that was cut, as its agent died, could not go on */
	int folder_fd = good ? open_folder(session->state_dir, FOLDER) : -1;
	if (folder_fd < 0)
		return;
	size_t len = secrets_mask(secrets, data.data, data.len);
	(void)write_all(folder_fd, name, data.data, len); /* else the next build is told by context */
	remove_oldest(folder_fd, all_bytes);
}

/* The folders of its path; the last one's descriptor. */
static int make_folders(const char *home, const char *path)
{
	CLEANUP(free_p) char *parts = xstrdup(path);
	int fd = open_folder(home, ".");
	char *part = parts, *slash;
	while (fd >= 0 && (slash = strchr(part, '/')) != NULL) {
		*slash = '\0';
		(void)mkdirat(fd, part, 0700); /* else it cannot be opened */
		int next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		(void)close(fd); /* a directory */
		fd = next;
		part = slash + 1;
	}
	return fd;
}

bool session_restore(const struct session *session)
{
	CLEANUP(free_p) char *name = kept_name(session);
	int folder_fd = name != NULL ? open_folder(session->state_dir, FOLDER) : -1;
	if (folder_fd < 0)
		return false;
	CLEANUP(buffer_release_p) struct buffer data;
	buffer_init(&data, SESSION_MAX_BYTES);
	bool good = agent_read_file(folder_fd, name, &data);
	(void)close(folder_fd); /* a directory */
	if (!good)
		return false;
	int fd = make_folders(session->home, session->path);
	const char *slash = strrchr(session->path, '/');
	good = fd >= 0 && write_all(fd, slash != NULL ? slash + 1 : session->path, data.data, data.len);
	if (fd >= 0)
		(void)close(fd); /* a directory */
	return good;
}
