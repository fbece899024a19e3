#include "executor/artifacts/find.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/str.h"

#define STOP_EVERY 1024 /* entries */
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

struct walk {
	struct find *find;
	size_t entries;
	char path[FIND_MAX_PATH + NAME_MAX + 2];
	size_t path_len;
};

/* A folder on the way down, or an entry of one. */
struct place {
	glob_state states[FIND_MAX_GLOBS];
	bool fits, leads; /* a glob fits it; one may fit something below it */
};

static bool is_over(struct walk *walk)
{
	struct find *find = walk->find;
	if (clock_boot_ms() >= find->deadline_ms ||
		(++walk->entries % STOP_EVERY == 0 && find->stop != NULL && find->stop(find->ctx)))
		find->late = true;
	return find->late;
}

static void skip(struct walk *walk, enum find_skip why)
{
	walk->find->skipped(walk->find->ctx, walk->path, why);
}

static void start(const struct find *find, struct place *ret)
{
	for (size_t i = 0; i < find->globs_len; i++)
		ret->states[i] = glob_start(find->globs[i]);
}

static void step(const struct find *find, const struct place *from, const char *name, struct place *ret)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < find->globs_len; i++) {
		ret->states[i] = from->states[i] != 0 ? glob_step(find->globs[i], from->states[i], name, len) : 0;
		ret->leads = ret->leads || ret->states[i] != 0;
		ret->fits = ret->fits || glob_fits(find->globs[i], ret->states[i]);
	}
}

/* Keeps the path if it is among the first ones so far. */
static void keep(struct find *find, const char *path)
{
	find->fitting++;
	if (find->len == find->max && (find->max == 0 || strcmp(path, find->paths[find->len - 1]) > 0))
		return;
	if (find->len == find->max)
		free(find->paths[--find->len]);
	size_t low = 0, high = find->len;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (strcmp(find->paths[middle], path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	memmove(find->paths + low + 1, find->paths + low, (find->len - low) * sizeof(*find->paths));
	find->paths[low] = xstrdup(path);
	find->len++;
}

static void take_file(struct walk *walk, const struct place *place, mode_t mode)
{
	struct find *find = walk->find;
	if (!place->fits)
		return;
	for (size_t i = 0; i < find->globs_len; i++)
		find->used[i] = find->used[i] || glob_fits(find->globs[i], place->states[i]);
	if (S_ISLNK(mode))
		skip(walk, FIND_LINK);
	else if (!S_ISREG(mode))
		skip(walk, FIND_SPECIAL);
	else if (walk->path_len > FIND_MAX_PATH)
		skip(walk, FIND_LONG_PATH);
	else if (!str_is_utf8(walk->path, walk->path_len))
		skip(walk, FIND_NOT_UTF8);
	else
		keep(find, walk->path);
}

static void walk_folder(struct walk *walk, int fd, const struct place *place, size_t depth);

static void enter(struct walk *walk, int parent_fd, const char *name, const struct place *place, size_t depth)
{
	if (!place->leads)
		return;
	if (walk->path_len > FIND_MAX_PATH) {
		skip(walk, FIND_LONG_PATH);
		return;
	}
	if (depth == FIND_MAX_DEPTH) {
		skip(walk, FIND_TOO_DEEP);
		return;
	}
	int fd = openat(parent_fd, name, FOLDER_FLAGS);
	if (fd < 0)
		skip(walk, FIND_UNREADABLE);
	else
		walk_folder(walk, fd, place, depth + 1);
}

static void look_at(struct walk *walk, int fd, const char *name, const struct place *place, size_t depth)
{
	struct stat info;
	struct place here = {.leads = false};
	step(walk->find, place, name, &here);
	if (!here.leads)
		return;
	size_t before = walk->path_len;
	int len = snprintf(walk->path + before, sizeof(walk->path) - before, "%s%s", before > 0 ? "/" : "", name);
	walk->path_len += (size_t)len; /* there is room: a folder's path has at most FIND_MAX_PATH bytes */
	if (fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) < 0) {
		/* It has just gone. */
	} else if (S_ISDIR(info.st_mode)) {
		enter(walk, fd, name, &here, depth);
	} else {
		take_file(walk, &here, info.st_mode);
	}
	walk->path_len = before;
	walk->path[before] = '\0';
}

static bool is_skipped(const char *name)
{
	return str_equal(name, ".") || str_equal(name, "..") || strcasecmp(name, ".git") == 0;
}

/* Closes fd. */
static void walk_folder(struct walk *walk, int fd, const struct place *place, size_t depth)
{
	DIR *dir = fdopendir(fd);
	CHECK(dir != NULL);
	for (struct dirent *entry = readdir(dir); entry != NULL && !is_over(walk); entry = readdir(dir)) {
		if (!is_skipped(entry->d_name))
			look_at(walk, dirfd(dir), entry->d_name, place, depth);
	}
	(void)closedir(dir); /* read only */
}

int find_files(struct find *find, struct error *err)
{
	CHECK(find->globs_len <= FIND_MAX_GLOBS);
	int fd = openat(find->root_fd, ".", FOLDER_FLAGS); /* its position is ours */
	if (fd < 0)
		return error_set_errno(err, errno, "the workspace");
	find->paths = xcalloc(find->max + 1, sizeof(*find->paths));
	struct walk walk = {.find = find};
	struct place root = {.leads = true};
	start(find, &root);
	walk_folder(&walk, fd, &root, 0);
	return 0;
}

void find_release(struct find *find)
{
	for (size_t i = 0; i < find->len; i++)
		free(find->paths[i]);
	free(find->paths);
	find->paths = NULL;
	find->len = 0;
}
