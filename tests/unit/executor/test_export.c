#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include <unistd.h>

#include "common/base/alloc.h"
#include "executor/git/export.h"

#define CONTENT_BYTES ((size_t)200000) /* of bytes that do not compress */

/* A repository with one commit of one file. */
struct scene {
	git_repository *repo;
	git_oid commit;
	int fd;
	struct error err;
};

static struct scene scene_make(void)
{
	struct scene scene = {.err = ERROR_INIT};
	CLEANUP(free_p) uint8_t *content = xmalloc(CONTENT_BYTES);
	CLEANUP(git_tree_free_p) git_tree *tree = NULL;
	CLEANUP(git_signature_free_p) git_signature *us = NULL;
	git_treebuilder *builder = NULL;
	git_oid blob, tree_id;
	uint32_t state = 1;
	for (size_t i = 0; i < CONTENT_BYTES; i++) {
		state = state * 1664525 + 1013904223;
		content[i] = (uint8_t)(state >> 24);
	}
	git_library_init();
	assert_int_equal(git_repository_init(&scene.repo, folder, 1), 0);
	assert_int_equal(git_blob_create_from_buffer(&blob, scene.repo, content, CONTENT_BYTES), 0);
	assert_int_equal(git_treebuilder_new(&builder, scene.repo, NULL), 0);
	assert_int_equal(git_treebuilder_insert(NULL, builder, "f", &blob, GIT_FILEMODE_BLOB), 0);
	assert_int_equal(git_treebuilder_write(&tree_id, builder), 0);
	git_treebuilder_free(builder);
	assert_int_equal(git_tree_lookup(&tree, scene.repo, &tree_id), 0);
	assert_int_equal(git_signature_new(&us, "a", "a@b", 1, 0), 0);
	assert_int_equal(git_commit_create(&scene.commit, scene.repo, NULL, us, us, NULL, "x", tree, 0, NULL), 0);
	scene.fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_true(scene.fd >= 0);
	return scene;
}

static void scene_end(struct scene *scene)
{
	git_repository_free(scene->repo);
	assert_int_equal(close(scene->fd), 0);
}

static bool stop(void *ctx)
{
	(void)ctx;
	return true;
}

static const struct artifact_limits wide = {.max_bytes = 1 << 30, .deadline_ms = INT64_MAX};

/* Both ways end as `kind` says, with no more than `max` bytes written. */
static void assert_end(const struct artifact_limits *limits, enum error_kind kind, off_t max)
{
	struct scene scene = scene_make();
	int rc = export_bundle(scene.repo, NULL, &scene.commit, "refs/heads/x", scene.fd, limits, &scene.err);
	assert_int_equal(rc, kind == ERR_NONE ? 0 : -1);
	assert_int_equal(scene.err.kind, kind);
	assert_true(lseek(scene.fd, 0, SEEK_CUR) <= max);
	assert_int_equal(ftruncate(scene.fd, 0), 0);
	assert_int_equal(lseek(scene.fd, 0, SEEK_SET), 0);
	scene.err = (struct error)ERROR_INIT;
	rc = export_patch(scene.repo, NULL, &scene.commit, scene.fd, limits, &scene.err);
	assert_int_equal(rc, kind == ERR_NONE ? 0 : -1);
	assert_int_equal(scene.err.kind, kind);
	assert_true(lseek(scene.fd, 0, SEEK_CUR) <= max);
	scene_end(&scene);
}

TEST(what_is_within_its_limits_is_written)
{
	assert_end(&wide, ERR_NONE, 2 * (off_t)CONTENT_BYTES);
}

TEST(no_more_than_max_bytes_are_written)
{
	struct artifact_limits limits = wide;
	limits.max_bytes = (int64_t)CONTENT_BYTES / 2;
	assert_end(&limits, ERR_LIMIT, (off_t)limits.max_bytes);
}

TEST(nothing_goes_on_after_the_deadline)
{
	struct artifact_limits limits = wide;
	limits.deadline_ms = 0;
	assert_end(&limits, ERR_TIMEOUT, 0);
}

TEST(who_is_cancelled_stops)
{
	struct artifact_limits limits = wide;
	limits.stop = stop;
	assert_end(&limits, ERR_CANCELLED, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_within_its_limits_is_written, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(no_more_than_max_bytes_are_written, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(nothing_goes_on_after_the_deadline, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(who_is_cancelled_stops, folder_make, folder_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
