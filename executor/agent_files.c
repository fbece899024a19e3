#include "executor/agent_files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/fd.h"

int agent_open_plain(int folder_fd, const char *path, int flags)
{
	struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
						   .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	return (int)syscall(SYS_openat2, folder_fd, path, &how, sizeof(how));
}

int agent_open_file(int folder_fd, const char *path, int *ret_fd, struct error *err)
{
	CLEANUP(close_p) int fd = agent_open_plain(folder_fd, path, O_RDONLY);
	struct stat info;
	if (fd < 0 && errno == ELOOP)
		return error_set(err, ERR_INVALID, "it has become a symbolic link");
	if (fd < 0 || fstat(fd, &info) < 0)
		return error_set_errno(err, errno, "it cannot be opened");
	if (!S_ISREG(info.st_mode))
		return error_set(err, ERR_INVALID, "it is no regular file");
	*ret_fd = fd_take(&fd);
	return 0;
}

bool agent_read_file(int folder_fd, const char *path, struct buffer *out)
{
	CLEANUP(close_p) int fd = -1;
	struct error err = ERROR_INIT;
	size_t before = out->len;
	return agent_open_file(folder_fd, path, &fd, &err) == 0 && fd_read_all(fd, out, &err) == 0 && out->len > before;
}
