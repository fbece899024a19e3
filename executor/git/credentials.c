#include "executor/git/credentials.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/base/alloc.h"
#include "common/base/fd.h"
#include "common/base/str.h"
#include "common/json/json.h"

#define MAX_FILE_BYTES ((size_t)256 * 1024)

static void wipe(char **text)
{
	if (*text != NULL)
		explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

void credential_release(struct credential *credential)
{
	wipe(&credential->username);
	wipe(&credential->token);
	wipe(&credential->ssh_private_key);
	wipe(&credential->known_hosts);
}

/* Not what the remote says, and perhaps no more so in a moment: the file may be about to be replaced. */
static int worker_failed(struct error *err, int errnum, const char *name, const char *what)
{
	(void)error_set_errno(err, errnum, "credential \"%s\": %s", name, what); /* its kind is another */
	err->kind = ERR_UNAVAILABLE;
	return -1;
}

/* A folder that cannot be opened, or a link that leads nowhere, says nothing about the name. */
static int open_file(const char *dir, const char *name, int *ret_fd, struct error *err)
{
	struct stat info;
	CLEANUP(free_p) char *file_name = xasprintf("%s.json", name);
	CLEANUP(close_p) int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = dir_fd < 0 ? -1 : openat(dir_fd, file_name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int errnum = errno;
	if (fd < 0 && dir_fd >= 0 && errnum == ENOENT && fstatat(dir_fd, file_name, &info, AT_SYMLINK_NOFOLLOW) < 0 &&
		errno == ENOENT)
		return error_set(err, ERR_DENIED, "credential \"%s\": there is none of that name on this worker", name);
	if (fd < 0)
		return worker_failed(err, errnum, name, "cannot be read");
	*ret_fd = fd;
	return 0;
}

static int read_file(const char *dir, const char *name, char *text, size_t size, size_t *ret_len, struct error *err)
{
	CLEANUP(close_p) int fd = -1;
	if (open_file(dir, name, &fd, err) < 0)
		return -1;
	ssize_t got = fd_read_up_to(fd, text, size);
	if (got < 0)
		return worker_failed(err, errno, name, "cannot be read");
	if ((size_t)got == size)
		return error_set(err, ERR_DENIED, "credential \"%s\": the file is too large", name);
	*ret_len = (size_t)got;
	return 0;
}

static bool names_project(const cJSON *projects, const char *project)
{
	const cJSON *item;
	cJSON_ArrayForEach(item, projects)
	{
		if (cJSON_IsString(item) && str_equal(item->valuestring, project))
			return true;
	}
	return false;
}

static bool has_line_break(const char *text)
{
	return text != NULL && strpbrk(text, "\r\n") != NULL;
}

static int check(const char *name, const cJSON *file, const struct git_url *url, const char *project, struct error *err)
{
	const char *prefix_text = json_get_string(file, "url_prefix");
	struct git_url prefix;
	if (prefix_text == NULL || git_url_parse(prefix_text, &prefix, err) < 0)
		return error_set(err, ERR_DENIED, "credential \"%s\": url_prefix is missing or malformed", name);
	if (!git_url_is_below(url, &prefix))
		return error_set(err, ERR_DENIED, "credential \"%s\" is not for this URL", name);
	const cJSON *projects = json_get(file, "projects");
	if (projects != NULL && !cJSON_IsNull(projects) && !names_project(projects, project))
		return error_set(err, ERR_DENIED, "credential \"%s\" is not for project %s", name, project);
	bool token = json_get_string(file, "token") != NULL;
	bool key = json_get_string(file, "ssh_private_key") != NULL && json_get_string(file, "known_hosts") != NULL;
	if (token == key || token == str_equal(url->scheme, "ssh"))
		return error_set(err, ERR_DENIED,
						 "credential \"%s\" needs a token for https, or ssh_private_key and known_hosts for ssh", name);
	const char *username = json_get_string(file, "username");
	if (key && username != NULL && !git_url_is_user(username))
		return error_set(err, ERR_DENIED, "credential \"%s\": odd character in the username", name);
	if (has_line_break(json_get_string(file, "token")) || has_line_break(username))
		return error_set(err, ERR_DENIED, "credential \"%s\": line break in token or username", name);
	return 0;
}

static void wipe_tree(cJSON *tree)
{
	cJSON *item;
	cJSON_ArrayForEach(item, tree)
	{
		if (cJSON_IsString(item))
			explicit_bzero(item->valuestring, strlen(item->valuestring));
	}
}

/* The file as a tree, to be wiped by wipe_tree. */
static int load_file(const char *dir, const char *name, cJSON **ret_file, struct error *err)
{
	char *text = xmalloc(MAX_FILE_BYTES);
	size_t len = 0;
	struct error problem = ERROR_INIT;
	int rc = read_file(dir, name, text, MAX_FILE_BYTES, &len, err);
	if (rc == 0 && json_parse(text, len, ret_file, &problem) < 0)
		rc = worker_failed(err, EBADMSG, name, len == 0 ? "the file is empty" : "the file is no JSON");
	explicit_bzero(text, MAX_FILE_BYTES);
	free(text);
	return rc;
}

int credential_load(const char *dir, const char *name, const struct git_url *url, const char *project,
					struct credential *ret_credential, struct error *err)
{
	if (dir == NULL)
		return error_set(err, ERR_DENIED, "credential \"%s\": this worker has no credentials (KILN_CREDENTIALS_DIR)",
						 name);
	if (!str_is_name(name, strlen(name)))
		return error_set(err, ERR_DENIED, "no credential can have that name");
	CLEANUP(cJSON_Delete_p) cJSON *file = NULL;
	int rc = load_file(dir, name, &file, err);
	if (rc == 0)
		rc = check(name, file, url, project, err);
	if (rc == 0) {
		const char *username = json_get_string(file, "username");
		ret_credential->username = xstrdup(username != NULL ? username : "git");
		ret_credential->token = xstrdup(json_get_string(file, "token"));
		ret_credential->ssh_private_key = xstrdup(json_get_string(file, "ssh_private_key"));
		ret_credential->known_hosts = xstrdup(json_get_string(file, "known_hosts"));
	}
	if (file != NULL)
		wipe_tree(file);
	return rc;
}

static void list_secrets_of(const char *dir, const char *file_name, struct secrets *secrets)
{
	static const char ending[] = ".json";
	if (!str_ends(file_name, ending))
		return;
	CLEANUP(free_p) char *name = xstrndup(file_name, strlen(file_name) - strlen(ending));
	CLEANUP(cJSON_Delete_p) cJSON *file = NULL;
	struct error err = ERROR_INIT;
	if (!str_is_name(name, strlen(name)) || load_file(dir, name, &file, &err) < 0)
		return;
	secrets_add(secrets, json_get_string(file, "token"));
	secrets_add(secrets, json_get_string(file, "ssh_private_key"));
	wipe_tree(file);
}

void credentials_list_secrets(const char *dir, struct secrets *secrets)
{
	DIR *listing = dir != NULL ? opendir(dir) : NULL;
	if (listing == NULL)
		return;
	const struct dirent *entry;
	for (int i = 0; i < CREDENTIALS_MAX_LISTED && (entry = readdir(listing)) != NULL; i++)
		list_secrets_of(dir, entry->d_name, secrets);
	(void)closedir(listing); /* read only */
}
