#include "migrate/admin_token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/fd.h"
#include "common/base/hash.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "kiln_migrate_sql.h"

#define PREFIX "kiln_"

static bool is_token(const char *text, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	return len == ADMIN_TOKEN_LEN && strncmp(text, PREFIX, strlen(PREFIX)) == 0 && strspn(text, alphabet) == len;
}

static void make_token(char ret[ADMIN_TOKEN_LEN + 1])
{
	uint8_t secret[32];
	CLEANUP(buffer_release_p) struct buffer text;

	random_bytes(secret, sizeof(secret));
	buffer_init(&text, 256);
	CHECK(buffer_append_str(&text, PREFIX) == 0 && base64url_append(&text, secret, sizeof(secret)) == 0);
	CHECK(text.len == ADMIN_TOKEN_LEN);
	memcpy(ret, text.data, ADMIN_TOKEN_LEN + 1);
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(text.data, text.len);
}

/* ERR_NOT_FOUND when there is no file. */
static int read_token(const char *path, char ret[ADMIN_TOKEN_LEN + 1], struct error *err)
{
	CLEANUP(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char text[ADMIN_TOKEN_LEN + 2];
	struct stat status;

	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	if (fstat(fd, &status) < 0)
		return error_set_errno(err, errno, "%s", path);
	if (!S_ISREG(status.st_mode))
		return error_set(err, ERR_INVALID, "%s is not a regular file", path);
	if ((status.st_mode & 077) != 0)
		log_warn("the file of the admin token can be read by others: chmod 600", "path", path, NULL);
	ssize_t len = fd_read_up_to(fd, text, sizeof(text) - 1);
	if (len < 0)
		return error_set_errno(err, errno, "%s", path);
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (!is_token(text, strlen(text)))
		return error_set(err, ERR_INVALID,
						 "%s holds no Kiln token: move it away or set KILN_ADMIN_TOKEN_FILE to another file", path);
	memcpy(ret, text, ADMIN_TOKEN_LEN + 1);
	return 0;
}

static int write_whole(int fd, const char *path, const char *token, struct error *err)
{
	char line[ADMIN_TOKEN_LEN + 1];

	memcpy(line, token, ADMIN_TOKEN_LEN);
	line[ADMIN_TOKEN_LEN] = '\n';
	ssize_t written = write(fd, line, sizeof(line));
	explicit_bzero(line, sizeof(line));
	if (written < 0)
		return error_set_errno(err, errno, "%s", path);
	if ((size_t)written != sizeof(line))
		return error_set(err, ERR_LIMIT, "%s: short write", path);
	if (fsync(fd) < 0)
		return error_set_errno(err, errno, "%s", path);
	return 0;
}

static int sync_folder_of(const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	CLEANUP(free_p) char *folder = slash == NULL ? xstrdup(".") : xstrndup(path, (size_t)(slash - path) + 1);
	CLEANUP(close_p) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return error_set_errno(err, errno, "%s", folder);
	return 0;
}

/* ERR_CONFLICT when somebody else made the file meanwhile (another database's kiln-migrate): then that one counts. */
static int write_token(const char *path, const char *token, struct error *err)
{
	CLEANUP(free_p) char *temporary = xasprintf("%s.XXXXXX", path);
	CLEANUP(close_p) int fd = mkostemp(temporary, O_CLOEXEC); /* O_EXCL, mode 0600 */
	int result = -1;

	if (fd < 0)
		return error_set_errno(err, errno, "cannot make %s", temporary);
	if (write_whole(fd, temporary, token, err) == 0) {
		if (link(temporary, path) == 0)
			result = sync_folder_of(path, err);
		else if (errno == EEXIST)
			(void)error_set(err, ERR_CONFLICT, "%s is there already", path); /* result is -1 already */
		else
			(void)error_set_errno(err, errno, "cannot make %s", path); /* result is -1 already */
	}
	unlink(temporary);
	return result;
}

static int insert_token(struct pg_conn *conn, const char *token, bool *ret_new, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *result = NULL;
	uint8_t digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1], id[UUID_TEXT_SIZE];

	sha256(token, ADMIN_TOKEN_LEN, digest);
	hex_encode(digest, sizeof(digest), hex);
	uuid_v7(id);
	if (pg_query(conn, &sql_insert_admin_token, PG_PARAMS(id, hex), 2, &result, err) < 0)
		return -1;
	*ret_new = str_equal(PQcmdTuples(result), "1");
	return 0;
}

static int warn_without_tokens(struct pg_conn *conn, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *result = NULL;

	if (pg_query(conn, &sql_admin_tokens, NULL, 0, &result, err) < 0)
		return -1;
	if (pg_int(result, 0, "count", 0) == 0)
		log_warn("there is no admin token: set KILN_ADMIN_TOKEN_FILE and run kiln-migrate again", NULL);
	return 0;
}

int admin_token_ensure(struct pg_conn *conn, const char *path, struct error *err)
{
	char token[ADMIN_TOKEN_LEN + 1];
	bool made = false, inserted = false;

	if (path == NULL)
		return warn_without_tokens(conn, err);
	int result = read_token(path, token, err);
	if (result < 0 && err->kind == ERR_NOT_FOUND) {
		make_token(token);
		result = write_token(path, token, err);
		made = result == 0;
		if (result < 0 && err->kind == ERR_CONFLICT)
			result = read_token(path, token, err);
	}
	if (result == 0)
		result = insert_token(conn, token, &inserted, err);
	explicit_bzero(token, sizeof(token));
	if (result == 0 && inserted)
		log_info(made ? "first admin token made" : "admin token of the file inserted", "path", path, NULL);
	return result;
}
