#include "executor/git/files_changed.h"

#include "common/json/json.h"

#define MAX_ENTRIES 5000
#define MAX_BYTES ((size_t)1024 * 1024)
#define MAX_RENAME_SOURCES 400
#define MAX_FILE_BYTES ((size_t)4 * 1024 * 1024) /* above, lines are not counted */

static const char *status_name(git_delta_t status)
{
	switch (status) {
	case GIT_DELTA_ADDED:
	case GIT_DELTA_COPIED:
	case GIT_DELTA_UNTRACKED:
		return "added";
	case GIT_DELTA_DELETED:
		return "deleted";
	case GIT_DELTA_RENAMED:
		return "renamed";
	case GIT_DELTA_MODIFIED:
	case GIT_DELTA_TYPECHANGE:
	case GIT_DELTA_UNMODIFIED:
	case GIT_DELTA_IGNORED:
	case GIT_DELTA_UNREADABLE:
	case GIT_DELTA_CONFLICTED:
		return "modified";
	}
	return "modified";
}

static void write_entry(struct json_writer *w, git_diff *diff, size_t index)
{
	const git_diff_delta *delta = git_diff_get_delta(diff, index);
	CLEANUP(git_patch_free_p) git_patch *patch = NULL;
	size_t context = 0, added = 0, deleted = 0;
	if (git_patch_from_diff(&patch, diff, index) == 0 && patch != NULL &&
		git_patch_line_stats(&context, &added, &deleted, patch) < 0)
		added = deleted = 0;
	const char *path = delta->status == GIT_DELTA_DELETED ? delta->old_file.path : delta->new_file.path;
	json_object_begin(w, NULL);
	json_string(w, "path", path); /* any bytes: the writer mends them */
	json_string(w, "status", status_name(delta->status));
	json_int(w, "added", (int64_t)added);
	json_int(w, "deleted", (int64_t)deleted);
	json_object_end(w);
}

static int diff_trees(git_repository *repo, const git_oid *from, const git_oid *to, git_diff **ret_diff,
					  struct error *err)
{
	CLEANUP(git_tree_free_p) git_tree *from_tree = NULL;
	CLEANUP(git_tree_free_p) git_tree *to_tree = NULL;
	git_diff_options options;
	CHECK(git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION) == 0);
	options.flags = GIT_DIFF_INCLUDE_TYPECHANGE;
	options.context_lines = 0;
	options.max_size = MAX_FILE_BYTES;
	if ((from != NULL && git_tree_lookup(&from_tree, repo, from) < 0) || git_tree_lookup(&to_tree, repo, to) < 0 ||
		git_diff_tree_to_tree(ret_diff, repo, from_tree, to_tree, &options) < 0)
		return git_library_error(err, ERR_INTERNAL, "comparing trees");
	git_diff_find_options renames;
	CHECK(git_diff_find_options_init(&renames, GIT_DIFF_FIND_OPTIONS_VERSION) == 0);
	renames.flags = GIT_DIFF_FIND_RENAMES;
	renames.rename_limit = MAX_RENAME_SOURCES;
	if (git_diff_num_deltas(*ret_diff) <= MAX_ENTRIES && git_diff_find_similar(*ret_diff, &renames) < 0) {
		git_diff_free(*ret_diff);
		*ret_diff = NULL;
		return git_library_error(err, ERR_INTERNAL, "looking for renames");
	}
	return 0;
}

int files_changed_json(git_repository *repo, const git_oid *from_tree, const git_oid *to_tree, struct buffer *out,
					   size_t *ret_total, size_t *ret_listed, struct error *err)
{
	CLEANUP(git_diff_free_p) git_diff *diff = NULL;
	if (diff_trees(repo, from_tree, to_tree, &diff, err) < 0)
		return -1;
	struct json_writer w;
	json_writer_init(&w, out);
	size_t from = out->len, total = git_diff_num_deltas(diff), listed = 0;
	json_array_begin(&w, NULL);
	while (listed < total && listed < MAX_ENTRIES && out->len - from < MAX_BYTES)
		write_entry(&w, diff, listed++);
	json_array_end(&w);
	if (!buffer_ok(out))
		return error_set(err, ERR_LIMIT, "the list of changed files is too long");
	*ret_total = total;
	*ret_listed = listed;
	return 0;
}
