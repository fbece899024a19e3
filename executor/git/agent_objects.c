#include "executor/git/agent_objects.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <git2/odb_backend.h>
#include <git2/sys/odb_backend.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "executor/agent_files.h"
#include "executor/git/agent_packs.h"

#define MAX_FILES 1000000

static bool is_regular(int folder_fd, const struct dirent *entry)
{
	struct stat info;
	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_REG;
	return fstatat(folder_fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode);
}

/* Takes the descriptor. */
static bool has_only_files(int folder_fd, size_t *count)
{
	DIR *dir = fdopendir(folder_fd);
	if (dir == NULL) {
		(void)close(folder_fd); /* a directory */
		return false;
	}
	bool plain = true;
	for (struct dirent *entry = readdir(dir); plain && entry != NULL; entry = readdir(dir)) {
		if (!str_equal(entry->d_name, ".") && !str_equal(entry->d_name, ".."))
			plain = is_regular(folder_fd, entry) && ++*count <= MAX_FILES;
	}
	(void)closedir(dir); /* read only */
	return plain;
}

/* All that the two backends open: the 256 folders of loose objects, and `pack`. */
static bool are_plain(int files_fd)
{
	int objects_fd = agent_open_plain(files_fd, ".git/objects", O_RDONLY | O_DIRECTORY);
	if (objects_fd < 0)
		return false;
	bool plain = true;
	size_t count = 0;
	for (int i = 0; plain && i <= 256; i++) {
		char name[8];
		(void)snprintf(name, sizeof(name), "%02x", i);
		const char *folder = i < 256 ? name : "pack";
		struct stat info;
		if (fstatat(objects_fd, folder, &info, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		int fd = openat(objects_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		plain = fd >= 0 && has_only_files(fd, &count);
	}
	(void)close(objects_fd); /* a directory */
	return plain;
}

/* 0 too when there are none. */
static int index_packs(const struct workspace *workspace, const struct git_remote *remote, int files_fd,
					   const char *objects, const char **ret_why, struct error *err)
{
	int pack_fd = agent_open_plain(files_fd, ".git/objects/pack", O_RDONLY | O_DIRECTORY);
	return pack_fd < 0 ? 0 : agent_packs_index(workspace, remote, pack_fd, objects, ret_why, err);
}

int agent_objects_open(const struct workspace *workspace, const struct git_remote *remote, int files_fd,
					   git_odb **ret_odb, const char **ret_why, struct error *err)
{
	if (!are_plain(files_fd)) {
		*ret_why = "not all of its objects are plain files";
		return 1;
	}
	CLEANUP(free_p) char *path = xasprintf("%s/.git/objects", workspace->files);
	CLEANUP(free_p) char *packs = xasprintf("%s/agent-objects", workspace->scratch);
	int rc = index_packs(workspace, remote, files_fd, packs, ret_why, err);
	if (rc != 0)
		return rc;
	git_odb *odb = NULL;
	git_odb_backend *loose = NULL, *pack = NULL;
	if (git_odb_new(&odb) < 0 || git_odb_backend_loose(&loose, path, -1, 0, 0, 0) < 0 ||
		git_odb_add_backend(odb, loose, 2) < 0 || git_odb_backend_pack(&pack, packs) < 0 ||
		git_odb_add_backend(odb, pack, 1) < 0) {
		git_odb_free(odb);
		*ret_why = "its object folder cannot be read";
		return 1;
	}
	*ret_odb = odb;
	return 0;
}

/* Characters that HFS+ leaves out when it compares names (git's utf8.c, next_hfs_char), in UTF-8. */
static size_t ignored_by_hfs(const char *text)
{
	const unsigned char *b = (const unsigned char *)text;
	if (b[0] == 0xe2 && b[1] == 0x80 && ((b[2] >= 0x8c && b[2] <= 0x8f) || (b[2] >= 0xaa && b[2] <= 0xae)))
		return 3;
	if (b[0] == 0xe2 && b[1] == 0x81 && b[2] >= 0xaa && b[2] <= 0xaf)
		return 3;
	return b[0] == 0xef && b[1] == 0xbb && b[2] == 0xbf ? 3 : 0;
}

/* NTFS takes what follows a colon for a stream, and drops spaces and dots at the end. `part` ends at a backslash. */
static bool is_git(const char *part)
{
	char plain[8];
	size_t len = 0;
	for (const char *c = part; *c != '\0' && *c != ':' && *c != '\\' && len < sizeof(plain) - 1;) {
		size_t ignored = ignored_by_hfs(c);
		if (ignored == 0)
			plain[len++] = (char)tolower((unsigned char)*c++);
		c += ignored;
	}
	while (len > 1 && (plain[len - 1] == ' ' || plain[len - 1] == '.'))
		len--;
	plain[len] = '\0';
	return str_equal(plain, ".git") || str_equal(plain, "git~1");
}

bool agent_objects_name_is_safe(const char *name)
{
	if (name[0] == '\0' || str_equal(name, ".") || str_equal(name, "..") || strchr(name, '/') != NULL)
		return false;
	/* Windows has two separators. */
	for (const char *part = name; part != NULL;) {
		if (is_git(part))
			return false;
		const char *backslash = strchr(part, '\\');
		part = backslash != NULL ? backslash + 1 : NULL;
	}
	return true;
}
