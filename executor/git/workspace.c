#include "executor/git/workspace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "executor/git/skeleton.h"
#include "executor/remove_tree.h"
#include "executor/trash.h"

#define REMOVE_TIMEOUT_MS 30000

static int make_folder(const char *root, const char *name, mode_t mode, struct error *err)
{
	CLEANUP(free_p) char *path = xasprintf("%s/%s", root, name);
	if (mkdir(path, mode) < 0)
		return error_set_errno(err, errno, "workspace");
	return 0;
}

static char *make_agent_config(const char *user_name, const char *user_email)
{
	return xasprintf("[user]\n\tname = \"%s\"\n\temail = \"%s\"\n", user_name, user_email);
}

/* What looking for deltas holds of the agent's objects, for bundles and pushes. */
static const char our_config[] = "[pack]\n\twindowMemory = 268435456\n";

static int make_repositories(const char *root, const char *agent_config, struct error *err)
{
	CLEANUP(free_p) char *ours = xasprintf("%s/kiln.git", root);
	CLEANUP(free_p) char *agents = xasprintf("%s/files/.git", root);
	if (make_folder(root, "files", 0755, err) < 0 || git_skeleton_make(ours, true, our_config, err) < 0)
		return -1;
	return git_skeleton_make(agents, false, agent_config, err);
}

static int make_all(const char *root, const char *agent_config, struct error *err)
{
	if (make_folder(root, "", 0700, err) < 0 || make_folder(root, "home", 0700, err) < 0 ||
		make_folder(root, "tmp", 0700, err) < 0 || make_folder(root, "scratch", 0700, err) < 0)
		return -1;
	return make_repositories(root, agent_config, err);
}

static char *ahead_path(const char *state_dir)
{
	return xasprintf("%s/spares/%d", state_dir, (int)getpid());
}

void workspace_make_ahead(const char *state_dir, const char *user_name, const char *user_email)
{
	CLEANUP(free_p) char *path = ahead_path(state_dir);
	CLEANUP(free_p) char *making = xasprintf("%s.new", path);
	CLEANUP(free_p) char *config = make_agent_config(user_name, user_email);
	struct error err = ERROR_INIT;
	/* Renamed when it is whole: a disk that was full while a spare was waiting is no reason for the next build to fail.
	 * What cannot be removed here, the janitor removes. */
	if ((make_all(making, config, &err) < 0 || rename(making, path) < 0) &&
		remove_tree(AT_FDCWD, making, clock_boot_ms() + REMOVE_TIMEOUT_MS, &err) < 0)
		log_warn("a workspace that was made ahead cannot be removed", "path", making, "error", err.message, NULL);
}

int workspace_make(const char *state_dir, const char *lease_id, const char *user_name, const char *user_email,
				   struct workspace *ret_workspace, struct error *err)
{
	struct workspace workspace = {.root = xasprintf("%s/work/%s", state_dir, lease_id)};
	workspace.files = xasprintf("%s/files", workspace.root);
	workspace.home = xasprintf("%s/home", workspace.root);
	workspace.tmp = xasprintf("%s/tmp", workspace.root);
	workspace.scratch = xasprintf("%s/scratch", workspace.root);
	workspace.git_dir = xasprintf("%s/kiln.git", workspace.root);
	workspace.agent_config = make_agent_config(user_name, user_email);
	CLEANUP(free_p) char *ahead = ahead_path(state_dir);
	trash_move(state_dir, "work", lease_id);
	if (rename(ahead, workspace.root) < 0 && make_all(workspace.root, workspace.agent_config, err) < 0) {
		workspace_release(&workspace);
		return -1;
	}
	*ret_workspace = workspace;
	return 0;
}

/* Removes a directory below the root. */
static int clear(const struct workspace *workspace, const char *name, struct error *err)
{
	int fd = open(workspace->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, errno, "workspace");
	int rc = remove_tree(fd, name, clock_boot_ms() + REMOVE_TIMEOUT_MS, err);
	(void)close(fd); /* a directory */
	return rc;
}

int workspace_attach(struct workspace *workspace, const struct mirror *mirror, struct error *err)
{
	if (workspace->repo != NULL) {
		git_repository_free(workspace->repo);
		workspace->repo = NULL;
		if (clear(workspace, "kiln.git", err) < 0 || clear(workspace, "files", err) < 0 ||
			make_repositories(workspace->root, workspace->agent_config, err) < 0)
			return -1;
		workspace->torn = false;
	}
	if (git_skeleton_complete(workspace->git_dir, "refs/heads/kiln", mirror->objects, err) < 0)
		return -1;
	if (git_repository_open_bare(&workspace->repo, workspace->git_dir) < 0 ||
		git_repository_set_workdir(workspace->repo, workspace->files, 0) < 0)
		return git_library_error(err, ERR_INTERNAL, "workspace");
	return 0;
}

static int checkout_failed(bool *ret_corrupt, struct error *err)
{
	const git_error *last = git_error_last();
	*ret_corrupt = git_library_error_is_corruption();
	if (last != NULL && last->klass == GIT_ERROR_NOMEMORY)
		return error_set(err, ERR_INVALID, "checkout: the repository has files that take more memory than there is");
	return git_library_error(err, ERR_INTERNAL, "checkout");
}

int workspace_checkout(struct workspace *workspace, const git_oid *commit, const struct tree_limits *limits,
					   bool *ret_corrupt, struct error *err)
{
	git_checkout_options options;
	CHECK(git_checkout_options_init(&options, GIT_CHECKOUT_OPTIONS_VERSION) == 0);
	options.checkout_strategy = GIT_CHECKOUT_FORCE | GIT_CHECKOUT_REMOVE_UNTRACKED;
	CLEANUP(git_commit_free_p) git_commit *object = NULL;
	if (git_commit_lookup(&object, workspace->repo, commit) < 0)
		return checkout_failed(ret_corrupt, err);
	int rc = tree_limits_check(workspace->repo, git_commit_tree_id(object), limits, err);
	if (rc > 0)
		return -1;
	if (rc < 0 || git_checkout_tree(workspace->repo, (const git_object *)object, &options) < 0)
		return checkout_failed(ret_corrupt, err);
	return 0;
}

static int write_file(const char *path, const char *text, struct error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_set_errno(err, errno, "workspace");
	size_t len = strlen(text);
	ssize_t written = write(fd, text, len);
	int errnum = written < 0 ? errno : ENOSPC;
	(void)close(fd); /* as below */
	return written == (ssize_t)len ? 0 : error_set_errno(err, errnum, "workspace");
}

/* Makes the folders of refs/heads/a/b. */
static int write_ref(const char *git_dir, const char *branch, const char *sha, struct error *err)
{
	CLEANUP(free_p) char *path = xasprintf("%s/refs/heads/%s", git_dir, branch);
	for (char *slash = strchr(path + strlen(git_dir) + strlen("/refs/heads/"), '/'); slash != NULL;
		 slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return error_set_errno(err, errno, "workspace");
		*slash = '/';
	}
	CLEANUP(free_p) char *line = xasprintf("%s\n", sha);
	return write_file(path, line, err);
}

/* The index with its stat data, so that the agent's `git status` is right and quick. Absent for an unborn branch. */
static int copy_index(const struct workspace *workspace, const char *git_dir, struct error *err)
{
	CLEANUP(free_p) char *from_path = xasprintf("%s/index", workspace->git_dir);
	CLEANUP(free_p) char *to_path = xasprintf("%s/index", git_dir);
	int from = open(from_path, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "index");
	int to = open(to_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ssize_t copied = to < 0 ? -1 : 1;
	while (copied > 0)
		copied = copy_file_range(from, NULL, to, NULL, 1 << 24, 0);
	int errnum = errno;
	(void)close(from); /* read only */
	if (to >= 0)
		(void)close(to); /* a lost write shows as a stale index, which git repairs */
	return copied < 0 ? error_set_errno(err, errnum, "index") : 0;
}

int workspace_hand_over(struct workspace *workspace, const char *objects, const char *branch, const git_oid *commit,
						struct error *err)
{
	CLEANUP(free_p) char *git_dir = xasprintf("%s/.git", workspace->files);
	CLEANUP(free_p) char *head = xasprintf("refs/heads/%s", branch);
	if (git_skeleton_complete(git_dir, head, objects, err) < 0)
		return -1;
	if (commit == NULL)
		return 0;
	char sha[GIT_OID_HEXSZ + 1];
	git_oid_text(commit, sha);
	if (write_ref(git_dir, branch, sha, err) < 0)
		return -1;
	return copy_index(workspace, git_dir, err);
}

void workspace_release(struct workspace *workspace)
{
	git_repository_free(workspace->repo);
	free(workspace->root);
	free(workspace->files);
	free(workspace->home);
	free(workspace->tmp);
	free(workspace->scratch);
	free(workspace->git_dir);
	free(workspace->agent_config);
	*workspace = (struct workspace){NULL};
}
