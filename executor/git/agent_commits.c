#include "executor/git/agent_commits.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/buffer.h"
#include "common/base/str.h"
#include "executor/agent_files.h"
#include "executor/git/agent_objects.h"

#define MAX_OBJECTS 1000000
#define MAX_OBJECT_BYTES ((size_t)256 * 1024 * 1024) /* each is in memory for a moment */
#define MAX_BYTES ((uint64_t)4 * 1024 * 1024 * 1024) /* of all, for they take time and space */
#define MAX_REF_HOPS 5
#define MAX_PACKED_REFS_BYTES ((size_t)4 * 1024 * 1024)

static bool parse_sha(const char *text, git_oid *ret_oid)
{
	return strspn(text, "0123456789abcdef") == GIT_OID_HEXSZ && git_oid_fromstrn(ret_oid, text, GIT_OID_HEXSZ) == 0;
}

/* "SHA refs/heads/x" lines. */
static bool find_packed_ref(int files_fd, const char *ref, git_oid *ret_oid)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, MAX_PACKED_REFS_BYTES);
	if (!agent_read_file(files_fd, ".git/packed-refs", &text))
		return false;
	const char *line = text.data;
	while (*line != '\0') {
		size_t len = strcspn(line, "\n"), ref_at = (size_t)GIT_OID_HEXSZ + 1;
		if (len == ref_at + strlen(ref) && strncmp(line + ref_at, ref, strlen(ref)) == 0)
			return parse_sha(line, ret_oid);
		line += len + (line[len] == '\n' ? 1 : 0);
	}
	return false;
}

static bool is_safe_ref(const char *ref)
{
	return str_starts(ref, "refs/") && strstr(ref, "..") == NULL && strstr(ref, "//") == NULL && strlen(ref) < 512;
}

/* Where HEAD leads to, without libgit2 on the agent's repository. */
static bool read_head(int files_fd, git_oid *ret_oid)
{
	char name[600] = "HEAD";
	for (int hop = 0; hop < MAX_REF_HOPS; hop++) {
		CLEANUP(buffer_release_p) struct buffer text;
		buffer_init(&text, 1024);
		char path[640];
		(void)snprintf(path, sizeof(path), ".git/%s", name);
		if (!agent_read_file(files_fd, path, &text))
			return hop > 0 && find_packed_ref(files_fd, name, ret_oid);
		text.data[strcspn(text.data, "\n")] = '\0';
		if (!str_starts(text.data, "ref: "))
			return parse_sha(text.data, ret_oid);
		if (!is_safe_ref(text.data + 5))
			return false;
		(void)snprintf(name, sizeof(name), "%s", text.data + 5);
	}
	return false;
}

struct wanted {
	git_oid oid;
	git_object_t type;
};

struct import {
	git_repository *repo;
	git_odb *from, *to;
	struct wanted *stack;
	size_t len, size, copied;
	uint64_t bytes;
	char *notice;
	size_t notice_size;
};

static void want(struct import *import, const git_oid *oid, git_object_t type)
{
	if (import->len == import->size) {
		import->size = import->size > 0 ? import->size * 2 : 256;
		import->stack = xreallocarray(import->stack, import->size, sizeof(import->stack[0]));
	}
	import->stack[import->len++] = (struct wanted){.oid = *oid, .type = type};
}

static int unusable(struct import *import, const char *why)
{
	(void)snprintf(import->notice, import->notice_size, "the agent's own commits cannot be used (%s)", why);
	return 1;
}

/* 0, 1 = unusable, -1 = our own failure. */
static int copy_object(struct import *import, const struct wanted *wanted, struct error *err)
{
	CLEANUP(git_odb_object_free_p) git_odb_object *object = NULL;
	size_t size = 0;
	git_object_t type;
	if (git_odb_read_header(&size, &type, import->from, &wanted->oid) == 0) {
		import->bytes += size;
		if (size > MAX_OBJECT_BYTES || import->bytes > MAX_BYTES)
			return unusable(import, "they are too large");
	}
	if (git_odb_read(&object, import->from, &wanted->oid) < 0)
		return unusable(import, "an object is missing or broken");
	git_oid written;
	if (git_odb_object_type(object) != wanted->type)
		return unusable(import, "an object is of another type than its reference says");
	if (git_odb_write(&written, import->to, git_odb_object_data(object), git_odb_object_size(object), wanted->type) <
		0) {
		(void)git_library_error(err, ERR_INTERNAL, "taking over the agent's commits"); /* its kind decides */
		return err->kind == ERR_LIMIT ? -1 : unusable(import, "an object is malformed");
	}
	if (!git_oid_equal(&written, &wanted->oid))
		return unusable(import, "an object is not what its id says");
	if (++import->copied > MAX_OBJECTS)
		return unusable(import, "too many objects");
	return 0;
}

static int want_parts(struct import *import, const struct wanted *wanted)
{
	if (wanted->type == GIT_OBJECT_BLOB)
		return 0;
	if (wanted->type == GIT_OBJECT_COMMIT) {
		CLEANUP(git_commit_free_p) git_commit *commit = NULL;
		if (git_commit_lookup(&commit, import->repo, &wanted->oid) < 0)
			return unusable(import, "a commit is malformed");
		want(import, git_commit_tree_id(commit), GIT_OBJECT_TREE);
		for (unsigned i = 0; i < git_commit_parentcount(commit); i++)
			want(import, git_commit_parent_id(commit, i), GIT_OBJECT_COMMIT);
		return 0;
	}
	CLEANUP(git_tree_free_p) git_tree *tree = NULL;
	if (git_tree_lookup(&tree, import->repo, &wanted->oid) < 0)
		return unusable(import, "a tree is malformed");
	for (size_t i = 0; i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(tree, i);
		if (!agent_objects_name_is_safe(git_tree_entry_name(entry)))
			return unusable(import, "a tree has an entry that no file may be named by");
		if (git_tree_entry_filemode(entry) != GIT_FILEMODE_COMMIT) /* a submodule's commit lives elsewhere */
			want(import, git_tree_entry_id(entry), git_tree_entry_type(entry));
	}
	return 0;
}

static int copy_all(struct import *import, struct error *err)
{
	while (import->len > 0) {
		struct wanted wanted = import->stack[--import->len];
		if (git_odb_exists(import->to, &wanted.oid))
			continue;
		int rc = copy_object(import, &wanted, err);
		if (rc == 0)
			rc = want_parts(import, &wanted);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int import_from(struct workspace *workspace, const struct git_remote *remote, int files_fd, const git_oid *tip,
					   struct agent_commits *commits, struct error *err)
{
	const char *why = NULL;
	CLEANUP(git_odb_free_p) git_odb *from = NULL;
	CLEANUP(git_odb_free_p) git_odb *to = NULL;
	int rc = agent_objects_open(workspace, remote, files_fd, &from, &why, err);
	if (rc < 0)
		return -1;
	if (git_repository_odb(&to, workspace->repo) < 0)
		return git_library_error(err, ERR_INTERNAL, "workspace");
	struct import import = {.repo = workspace->repo,
							.from = from,
							.to = to,
							.notice = commits->notice,
							.notice_size = sizeof(commits->notice)};
	if (rc > 0)
		return unusable(&import, why);
	want(&import, tip, GIT_OBJECT_COMMIT);
	rc = copy_all(&import, err);
	workspace->torn = rc > 0; /* parents are taken over before trees */
	free(import.stack);
	return rc;
}

static int import(struct workspace *workspace, const struct git_remote *remote, int files_fd, const git_oid *base,
				  struct agent_commits *commits, struct error *err)
{
	git_oid tip;
	if (!read_head(files_fd, &tip) || (base != NULL && git_oid_equal(&tip, base)))
		return 0;
	int rc = import_from(workspace, remote, files_fd, &tip, commits, err);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	commits->tip = tip;
	commits->found = base == NULL || git_graph_descendant_of(workspace->repo, &tip, base) == 1;
	if (!commits->found)
		(void)snprintf(commits->notice, sizeof(commits->notice),
					   "the agent's HEAD does not descend from where the build started: its files go into one commit");
	return 0;
}

int agent_commits_import(struct workspace *workspace, const struct git_remote *remote, const git_oid *base,
						 struct agent_commits *ret_commits, struct error *err)
{
	struct agent_commits commits = {.found = false};
	int files_fd = open(workspace->files, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int rc = files_fd < 0 ? 0 : import(workspace, remote, files_fd, base, &commits, err);
	if (files_fd >= 0)
		(void)close(files_fd); /* a directory */
	if (rc == 0)
		*ret_commits = commits;
	return rc;
}
