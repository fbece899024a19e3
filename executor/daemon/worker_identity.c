#include "executor/daemon/worker_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/str.h"

int write_file_durably(int dir_fd, const char *name, const char *text, size_t len, struct error *err)
{
	char temp[NAME_MAX + 1];
	(void)snprintf(temp, sizeof(temp), "%s.new", name);
	int fd = openat(dir_fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(err, errno, "%s", name);
	int rc = fd_write_all(fd, text, len) < 0 ? -1 : fsync(fd);
	int errnum = errno;
	if (close(fd) < 0 && rc == 0) {
		rc = -1;
		errnum = errno;
	}
	if (rc == 0 && (renameat(dir_fd, temp, dir_fd, name) < 0 || fsync(dir_fd) < 0)) {
		rc = -1;
		errnum = errno;
	}
	if (rc < 0) {
		(void)unlinkat(dir_fd, temp, 0); /* of no use */
		return error_set_errno(err, errnum, "%s", name);
	}
	return 0;
}

static int make_folders(const char *state_dir, int *ret_fd, struct error *err)
{
	static const char *const folders[] = {"locks", "results", "mirrors", "work", "spares", "sessions", "trash"};
	if (mkdir(state_dir, 0700) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "%s", state_dir);
	int fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, errno, "%s", state_dir);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (mkdirat(fd, folders[i], 0700) == 0 || errno == EEXIST)
			continue;
		int errnum = errno;
		(void)close(fd); /* a directory */
		return error_set_errno(err, errnum, "%s/%s", state_dir, folders[i]);
	}
	*ret_fd = fd;
	return 0;
}

static int take_lock(int dir_fd, const char *state_dir, int *ret_fd, struct error *err)
{
	int fd = openat(dir_fd, "daemon.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(err, errno, "%s/daemon.lock", state_dir);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		(void)close(fd); /* not ours */
		return error_set(err, ERR_CONFLICT, "%s: another executor runs on this state directory", state_dir);
	}
	*ret_fd = fd;
	return 0;
}

/* The first line; "" when there is no such file. */
static int read_line(int dir_fd, const char *name, char *ret, size_t size, struct error *err)
{
	ret[0] = '\0';
	CLEANUP(close_p) int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "%s", name);
	ssize_t got = fd_read_up_to(fd, ret, size - 1);
	if (got < 0)
		return error_set_errno(err, errno, "%s", name);
	ret[got] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}

static int read_worker_id(int dir_fd, const char *given, struct worker_identity *identity, struct error *err)
{
	char text[64];
	if (given != NULL) {
		(void)snprintf(identity->worker_id, sizeof(identity->worker_id), "%s", given);
		return 0;
	}
	if (read_line(dir_fd, "worker-id", text, sizeof(text), err) < 0)
		return -1;
	if (text[0] == '\0') {
		uuid_v4(text);
		char line[UUID_TEXT_SIZE + 1];
		int len = snprintf(line, sizeof(line), "%s\n", text);
		if (write_file_durably(dir_fd, "worker-id", line, (size_t)len, err) < 0)
			return -1;
	}
	if (!uuid_is_valid(text, strlen(text)))
		return error_set(err, ERR_INVALID, "worker-id in the state directory is no UUID");
	memcpy(identity->worker_id, text, UUID_TEXT_SIZE); /* with its NUL: it is valid */
	return 0;
}

static int next_incarnation(int dir_fd, struct worker_identity *identity, struct error *err)
{
	char text[64];
	int64_t counter = 0;
	if (read_line(dir_fd, "incarnation", text, sizeof(text), err) < 0)
		return -1;
	if (text[0] != '\0' && str_parse_int(text, strlen(text), 1, INT64_C(1) << 52, &counter, err) < 0)
		return error_prefix(err, "incarnation in the state directory");
	identity->counter = counter + 1;
	uuid_v4(identity->nonce);
	int len = snprintf(text, sizeof(text), "%" PRId64 "\n", identity->counter);
	return write_file_durably(dir_fd, "incarnation", text, (size_t)len, err);
}

int worker_identity_take(const char *state_dir, const char *worker_id, struct worker_identity *ret_identity,
						 struct error *err)
{
	int dir_fd = -1;
	struct worker_identity identity = {.lock_fd = -1};
	if (make_folders(state_dir, &dir_fd, err) < 0)
		return -1;
	int rc = take_lock(dir_fd, state_dir, &identity.lock_fd, err);
	if (rc == 0)
		rc = read_worker_id(dir_fd, worker_id, &identity, err);
	if (rc == 0)
		rc = next_incarnation(dir_fd, &identity, err);
	(void)close(dir_fd); /* a directory */
	if (rc < 0) {
		worker_identity_release(&identity);
		return -1;
	}
	*ret_identity = identity;
	return 0;
}

void worker_identity_release(struct worker_identity *identity)
{
	if (identity->lock_fd >= 0)
		(void)close(identity->lock_fd); /* which unlocks */
	identity->lock_fd = -1;
}

void worker_identity_write(struct json_writer *w, const struct worker_identity *identity)
{
	json_string(w, "worker_id", identity->worker_id);
	json_object_begin(w, "incarnation");
	json_int(w, "counter", identity->counter);
	json_string(w, "nonce", identity->nonce);
	json_object_end(w);
}

bool worker_identity_is_addressed(const struct worker_identity *identity, const cJSON *command)
{
	const cJSON *incarnation = json_get(command, "incarnation");
	return str_equal(json_get_string(command, "worker_id"), identity->worker_id) &&
		   json_get_int(incarnation, "counter", 0) == identity->counter &&
		   str_equal(json_get_string(incarnation, "nonce"), identity->nonce);
}
