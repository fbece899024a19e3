#include "executor/git/stage.h"

#include "common/base/str.h"

static int add_path(git_index *index, const char *path, stage_left_out *left_out, void *ctx, struct error *err)
{
	if (str_ends(path, "/")) {
		left_out(ctx, path, "it is a git repository of its own");
		return 0;
	}
	if (git_index_add_bypath(index, path) == 0)
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

static int apply(git_index *index, const git_diff_delta *delta, stage_left_out *left_out, void *ctx, struct error *err)
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
		return add_path(index, delta->new_file.path, left_out, ctx, err);
	case GIT_DELTA_UNMODIFIED:
	case GIT_DELTA_IGNORED:
		return 0;
	}
	return 0;
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
			if (apply(index, delta, left_out, ctx, err) < 0)
				return -1;
		}
	}
	if (git_index_write_tree(ret_tree, index) < 0)
		return git_library_error(err, ERR_INTERNAL, "writing the tree");
	return 0;
}
