#include "executor/git/stage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/str.h"

#define BIG_FILE_BYTES ((off_t)128 * 1024 * 1024)
#define CHUNK_BYTES ((size_t)1024 * 1024)

static int copy_into(git_odb_stream *stream, int fd, off_t left)
{
	CLEANUP(free_p) char *chunk = xmalloc(CHUNK_BYTES);
	while (left > 0) {
		ssize_t got = read(fd, chunk, left < (off_t)CHUNK_BYTES ? (size_t)left : CHUNK_BYTES);
		if (got <= 0 || git_odb_stream_write(stream, chunk, (size_t)got) < 0)
			return -1;
		left -= got;
	}
	return 0;
}

static int write_blob(git_repository *repo, int fd, off_t size, git_oid *ret_oid)
{
	git_odb *odb = NULL;
	git_odb_stream *stream = NULL;
	int rc = git_repository_odb(&odb, repo);
	if (rc == 0)
		rc = git_odb_open_wstream(&stream, odb, size, GIT_OBJECT_BLOB);
	if (rc == 0)
		rc = copy_into(stream, fd, size);
	if (rc == 0)
		rc = git_odb_stream_finalize_write(ret_oid, stream);
	git_odb_stream_free(stream);
	git_odb_free(odb);
	return rc;
}

/* libgit2 takes a file whose line ends are to be looked for into memory as a whole. Git leaves what is big
 * (core.bigFileThreshold) as it is, and so do we. 1 when the file is not big. */
static int add_big(struct workspace *workspace, git_index *index, const char *path)
{
	CLEANUP(free_p) char *full = xasprintf("%s/%s", workspace->files, path);
	struct stat info;
	if (lstat(full, &info) < 0 || !S_ISREG(info.st_mode) || info.st_size <= BIG_FILE_BYTES)
		return 1;
	int fd = open(full, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	git_index_entry entry = {.path = path,
							 .mode = (info.st_mode & S_IXUSR) != 0 ? GIT_FILEMODE_BLOB_EXECUTABLE : GIT_FILEMODE_BLOB};
	int rc = fd < 0 ? -1 : write_blob(workspace->repo, fd, info.st_size, &entry.id);
	if (fd >= 0)
		(void)close(fd); /* read only */
	return rc == 0 ? git_index_add(index, &entry) : rc;
}

static int add_path(struct workspace *workspace, git_index *index, const char *path, stage_left_out *left_out,
					void *ctx, struct error *err)
{
	if (str_ends(path, "/")) {
		left_out(ctx, path, "it is a git repository of its own");
		return 0;
	}
	git_error_clear();
	int rc = add_big(workspace, index, path);
	if (rc > 0)
		rc = git_index_add_bypath(index, path);
	if (rc == 0)
		return 0;
	struct error why = ERROR_INIT;
	(void)git_library_error(&why, ERR_INTERNAL, "not added"); /* told, or returned */
	if (why.kind == ERR_LIMIT) {
		*err = why;
		return -1;
	}
	left_out(ctx, path, why.message);
	return 0;
}

static int apply(struct workspace *workspace, git_index *index, const git_diff_delta *delta, stage_left_out *left_out,
				 void *ctx, struct error *err)
{
	switch (delta->status) {
	case GIT_DELTA_DELETED:
		if (git_index_remove(index, delta->old_file.path, 0) < 0)
			return git_library_error(err, ERR_INTERNAL, "staging %s", delta->old_file.path);
		return 0;
	case GIT_DELTA_UNREADABLE:
		left_out(ctx, delta->new_file.path, "it cannot be read");
		return 0;
	case GIT_DELTA_ADDED:
	case GIT_DELTA_MODIFIED:
	case GIT_DELTA_RENAMED:
	case GIT_DELTA_COPIED:
	case GIT_DELTA_UNTRACKED:
	case GIT_DELTA_TYPECHANGE:
	case GIT_DELTA_CONFLICTED:
		return add_path(workspace, index, delta->new_file.path, left_out, ctx, err);
	case GIT_DELTA_UNMODIFIED:
	case GIT_DELTA_IGNORED:
		return 0;
	}
	return 0;
}

int stage_begin_at(struct workspace *workspace, const git_oid *commit, const struct tree_limits *limits,
				   struct error *err)
{
	CLEANUP(git_index_free_p) git_index *index = NULL;
	CLEANUP(git_commit_free_p) git_commit *object = NULL;
	CLEANUP(git_tree_free_p) git_tree *tree = NULL;
	if (git_commit_lookup(&object, workspace->repo, commit) < 0 || git_commit_tree(&tree, object) < 0 ||
		git_repository_index(&index, workspace->repo) < 0)
		return git_library_error(err, ERR_INTERNAL, "the agent's last commit");
	/* Read whole, so looked at first: a small commit may be a tree without end. */
	int rc = tree_limits_check(workspace->repo, git_tree_id(tree), limits, err);
	if (rc == 0 && git_index_read_tree(index, tree) < 0)
		rc = -1;
	if (rc >= 0)
		return rc;
	(void)git_library_error(err, ERR_INTERNAL, "the agent's last commit"); /* its kind decides */
	return err->kind == ERR_LIMIT ? -1 : 1;
}

int stage_all(struct workspace *workspace, stage_left_out *left_out, void *ctx, git_oid *ret_tree, struct error *err)
{
	CLEANUP(git_index_free_p) git_index *index = NULL;
	CLEANUP(git_diff_free_p) git_diff *diff = NULL;
	git_diff_options options;
	CHECK(git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION) == 0);
	options.flags = GIT_DIFF_INCLUDE_UNTRACKED | GIT_DIFF_RECURSE_UNTRACKED_DIRS | GIT_DIFF_INCLUDE_TYPECHANGE |
					GIT_DIFF_INCLUDE_UNREADABLE | GIT_DIFF_IGNORE_SUBMODULES | GIT_DIFF_SKIP_BINARY_CHECK;
	if (git_repository_index(&index, workspace->repo) < 0 ||
		git_diff_index_to_workdir(&diff, workspace->repo, index, &options) < 0)
		return git_library_error(err, ERR_INTERNAL, "looking for changes");
	/* Removals first: a file that became a folder is both. */
	size_t count = git_diff_num_deltas(diff);
	for (int adding = 0; adding < 2; adding++) {
		for (size_t i = 0; i < count; i++) {
			const git_diff_delta *delta = git_diff_get_delta(diff, i);
			bool removal = delta->status == GIT_DELTA_DELETED;
			if (removal == (adding == 1))
				continue;
			if (apply(workspace, index, delta, left_out, ctx, err) < 0)
				return -1;
		}
	}
	if (git_index_write_tree(ret_tree, index) < 0)
		return git_library_error(err, ERR_INTERNAL, "writing the tree");
	return 0;
}
