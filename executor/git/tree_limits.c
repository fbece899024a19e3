#include "executor/git/tree_limits.h"

#include <stdlib.h>

#include "common/base/alloc.h"

#define MAX_ENTRY_BYTES 283 /* in a tree object, with the longest name that a file can have */
#define TOO_LARGE "the repository is more than this worker takes: "

struct folder {
	git_oid tree;
	int depth;
};

struct walk {
	git_repository *repo;
	git_odb *odb;
	const struct tree_limits *limits;
	int64_t files, bytes;
	struct folder *stack; /* that are still to be looked into; each of them is counted in `files` */
	size_t len, size;
};

static int too_many_files(const struct walk *walk, struct error *err)
{
	(void)error_set(err, ERR_INVALID, TOO_LARGE "over %lld files and folders",
					(long long)walk->limits->files); /* returned */
	return 1;
}

static void push(struct walk *walk, const git_oid *tree, int depth)
{
	if (walk->len == walk->size) {
		walk->size = walk->size > 0 ? walk->size * 2 : 256;
		walk->stack = xreallocarray(walk->stack, walk->size, sizeof(walk->stack[0]));
	}
	walk->stack[walk->len++] = (struct folder){.tree = *tree, .depth = depth};
}

static int count_entry(struct walk *walk, const git_tree_entry *entry, int depth, struct error *err)
{
	const struct tree_limits *limits = walk->limits;
	size_t size = 0;
	git_object_t type = git_tree_entry_type(entry);
	if (type == GIT_OBJECT_TREE) {
		if (depth == limits->depth) {
			(void)error_set(err, ERR_INVALID, TOO_LARGE "folders more than %d deep", limits->depth); /* returned */
			return 1;
		}
		push(walk, git_tree_entry_id(entry), depth + 1);
		return 0;
	}
	if (type != GIT_OBJECT_BLOB) /* a submodule becomes an empty folder */
		return 0;
	if (git_odb_read_header(&size, &type, walk->odb, git_tree_entry_id(entry)) < 0)
		return -1;
	if (size > (size_t)(limits->bytes - walk->bytes)) {
		(void)error_set(err, ERR_INVALID, TOO_LARGE "over %lld bytes of files",
						(long long)limits->bytes); /* as above */
		return 1;
	}
	walk->bytes += (int64_t)size;
	return 0;
}

static int count_folder(struct walk *walk, const struct folder *folder, struct error *err)
{
	CLEANUP(git_tree_free_p) git_tree *tree = NULL;
	size_t size = 0, left = (size_t)(walk->limits->files - walk->files);
	git_object_t type;
	if (git_odb_read_header(&size, &type, walk->odb, &folder->tree) < 0)
		return -1;
	if (size / MAX_ENTRY_BYTES > left) /* before it is in memory, with all of its entries */
		return too_many_files(walk, err);
	if (git_tree_lookup(&tree, walk->repo, &folder->tree) < 0)
		return -1;
	size_t count = git_tree_entrycount(tree);
	if (count > left)
		return too_many_files(walk, err);
	walk->files += (int64_t)count;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = count_entry(walk, git_tree_entry_byindex(tree, i), folder->depth, err);
	return rc;
}

int tree_limits_check(git_repository *repo, const git_oid *tree, const struct tree_limits *limits, struct error *err)
{
	CLEANUP(git_odb_free_p) git_odb *odb = NULL;
	if (git_repository_odb(&odb, repo) < 0)
		return -1;
	struct walk walk = {.repo = repo, .odb = odb, .limits = limits};
	push(&walk, tree, 0);
	int rc = 0;
	while (rc == 0 && walk.len > 0) {
		const struct folder folder = walk.stack[--walk.len];
		rc = count_folder(&walk, &folder, err);
	}
	free(walk.stack);
	return rc;
}
