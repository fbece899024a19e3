#include "executor/git/skeleton.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"

static int write_text(int dir_fd, const char *name, const char *text, struct error *err)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_set_errno(err, errno, "%s of a new repository", name);
	size_t len = strlen(text);
	ssize_t written = write(fd, text, len);
	int errnum = written < 0 ? errno : ENOSPC;
	(void)close(fd); /* a lost write shows when it is read */
	if (written != (ssize_t)len)
		return error_set_errno(err, errnum, "%s of a new repository", name);
	return 0;
}

static int open_directory(const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : error_set_errno(err, errno, "%s", path);
}

static int fill(int fd, bool bare, const char *config, struct error *err)
{
	static const char *const folders[] = {"objects", "objects/info", "objects/pack", "refs", "refs/heads"};
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (mkdirat(fd, folders[i], 0755) < 0)
			return error_set_errno(err, errno, "%s of a new repository", folders[i]);
	}
	CLEANUP(free_p)
	char *text = xasprintf(
		"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = %s\n"
		"[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n%s",
		bare ? "true" : "false", config != NULL ? config : "");
	return write_text(fd, "config", text, err);
}

int git_skeleton_make(const char *path, bool bare, const char *config, struct error *err)
{
	if (mkdir(path, 0755) < 0)
		return error_set_errno(err, errno, "%s", path);
	int fd = open_directory(path, err);
	if (fd < 0)
		return -1;
	int rc = fill(fd, bare, config, err);
	(void)close(fd); /* a directory */
	return rc;
}

int git_skeleton_complete(const char *path, const char *head, const char *alternates, struct error *err)
{
	int fd = open_directory(path, err);
	if (fd < 0)
		return -1;
	CLEANUP(free_p) char *head_text = xasprintf("ref: %s\n", head);
	CLEANUP(free_p) char *alternates_text = alternates != NULL ? xasprintf("%s\n", alternates) : NULL;
	int rc = alternates_text == NULL ? 0 : write_text(fd, "objects/info/alternates", alternates_text, err);
	if (rc == 0)
		rc = write_text(fd, "HEAD", head_text, err); /* last: without it nobody takes the directory for a repository */
	(void)close(fd);                                 /* a directory */
	return rc;
}
