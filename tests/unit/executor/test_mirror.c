#include "tests/unit/unit.h"
#include "tests/unit/executor/mirrors.h"

#include <sys/file.h>

#include "executor/git/mirror_lock.h"
#include "executor/git/mirror_sweep.h"

#define URL "https://h/x.git"
#define REF "refs/heads/main"
#define EMPTY_TREE_FOLDER "4b" /* of 4b825dc642cb6eb9a060e54bf8d69288fbee4904 */

/* ---- how often a lock is asked for (linked in the place of libc's) */

static int asked;

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);

int __wrap_flock(int fd, int operation)
{
	asked++;
	return __real_flock(fd, operation);
}

static struct mirror open_mirror(void)
{
	return mirror_of(URL);
}

static bool is_own(const struct mirror *mirror)
{
	return strcmp(mirror->path, mirror->own_path) == 0;
}

static int retire(const char *path, struct error *err)
{
	int none = -1;
	return mirror_retire(path, folder, &none, err);
}

TEST(a_mirror_that_is_open_is_not_moved_away)
{
	struct mirror one = open_mirror(), other = open_mirror();
	CLEANUP(free_p) char *path = xstrdup(one.path);
	struct error err = ERROR_INIT;
	mirror_close(&one);
	assert_int_equal(retire(path, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_true(is_there(path));
	mirror_close(&other);
	assert_int_equal(retire(path, &err), 0);
	assert_false(is_there(path));
}

TEST(a_mirror_that_is_gone_needs_not_be_moved_away)
{
	struct error err = ERROR_INIT;
	CLEANUP(free_p) char *path = xasprintf("%s/mirrors/x.git", folder);
	assert_int_equal(retire(path, &err), 0);
}

/* It had the lock of one that somebody else has moved away, and made again. */
TEST(who_is_late_does_not_move_away_the_next_one)
{
	struct mirror late = open_mirror();
	CLEANUP(free_p) char *away = xasprintf("%s/trash/away", folder);
	struct error err = ERROR_INIT;
	assert_int_equal(rename(late.path, away), 0);
	struct mirror next = open_mirror();
	assert_int_equal(mirror_renew(&late, &err), 0);
	assert_string_equal(late.path, next.path);
	assert_true(is_there(next.path));
	/* And both are users of it. */
	mirror_close(&next);
	CLEANUP(free_p) char *path = xstrdup(late.path);
	assert_int_equal(retire(path, &err), -1);
	mirror_close(&late);
	assert_int_equal(retire(path, &err), 0);
}

TEST(the_lock_of_one_that_was_moved_away_is_no_use_of_the_path)
{
	struct mirror mirror = open_mirror();
	CLEANUP(free_p) char *away = xasprintf("%s/trash/away", folder);
	struct error err = ERROR_INIT;
	int fd = -1;
	assert_int_equal(rename(mirror.path, away), 0);
	assert_int_equal(mirror_lock_use(mirror.path, &fd, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	mirror_close(&mirror);
}

TEST(a_broken_mirror_is_left_to_those_who_borrow_from_it)
{
	struct mirror one = open_mirror(), other = open_mirror();
	struct error err = ERROR_INIT;
	assert_int_equal(mirror_renew(&one, &err), 0);
	assert_true(is_own(&one));
	assert_true(is_there(one.objects));
	assert_true(is_there(other.objects));
	mirror_close(&one);
	/* The last one takes its place. */
	CLEANUP(free_p) char *mark = xasprintf("%s/mark", other.path);
	assert_int_equal(close(open(mark, O_WRONLY | O_CREAT, 0600)), 0);
	assert_int_equal(mirror_renew(&other, &err), 0);
	assert_false(is_own(&other));
	assert_true(is_there(other.objects));
	assert_false(is_there(mark));
	mirror_close(&other);
}

TEST(what_cannot_be_opened_is_made_again)
{
	struct mirror mirror = open_mirror();
	CLEANUP(free_p) char *head = xasprintf("%s/HEAD", mirror.path);
	assert_int_equal(unlink(head), 0);
	struct mirror other = open_mirror();
	assert_true(is_own(&other));
	mirror_close(&other);
	mirror_close(&mirror);
	mirror = open_mirror();
	assert_false(is_own(&mirror));
	assert_true(is_there(head));
	mirror_close(&mirror);
}

TEST(a_mirror_that_cannot_be_moved_away_is_told)
{
	struct mirror mirror = open_mirror();
	CLEANUP(free_p) char *trash = xasprintf("%s/trash", folder);
	struct error err = ERROR_INIT;
	assert_int_equal(rmdir(trash), 0);
	assert_int_equal(mirror_renew(&mirror, &err), -1);
	assert_non_null(strstr(err.message, "mirror to be removed"));
	mirror_close(&mirror);
}

TEST(who_waits_for_a_fetch_gives_up_at_the_deadline_or_when_interrupted)
{
	struct mirror mirror = open_mirror();
	struct error err = ERROR_INIT;
	int held = -1, fd = -1, ends[2];
	assert_int_equal(mirror_lock_fetch(mirror.path, NULL, clock_boot_ms() + 1000, &held, &err), 0);
	assert_int_equal(mirror_lock_fetch(mirror.path, NULL, clock_boot_ms() + 30, &fd, &err), -1);
	assert_int_equal(err.kind, ERR_TIMEOUT);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(close(ends[1]), 0);
	const struct git_remote remote = {.interrupt_fd = ends[0], .interrupted = is_interrupted};
	assert_int_equal(mirror_lock_fetch(mirror.path, &remote, INT64_MAX, &fd, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELLED);
	assert_int_equal(close(ends[0]), 0);
	assert_int_equal(close(held), 0);
	assert_int_equal(mirror_lock_fetch(mirror.path, NULL, clock_boot_ms() + 1000, &fd, &err), 0);
	assert_int_equal(close(fd), 0);
	mirror_close(&mirror);
}

/* An attempt that settles leaves a cancel unread. */
TEST(who_may_not_be_interrupted_waits_without_hurry_whatever_comes)
{
	enum { WAIT_MS = 100, BETWEEN_MS = 20 };
	struct mirror mirror = open_mirror();
	struct error err = ERROR_INIT;
	int held = -1, fd = -1, ends[2];
	assert_int_equal(mirror_lock_fetch(mirror.path, NULL, clock_boot_ms() + 1000, &held, &err), 0);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	const struct git_remote remote = {.interrupt_fd = ends[0]};
	asked = 0;
	assert_int_equal(mirror_lock_fetch(mirror.path, &remote, clock_boot_ms() + WAIT_MS, &fd, &err), -1);
	assert_int_equal(err.kind, ERR_TIMEOUT);
	assert_true(asked <= WAIT_MS / BETWEEN_MS + 2);
	assert_int_equal(close(ends[0]) | close(ends[1]) | close(held), 0);
	mirror_close(&mirror);
}

/* In FOLDER/kiln.git, as an attempt makes it. */
static git_oid make_commit(void)
{
	CLEANUP(free_p) char *path = xasprintf("%s/kiln.git", folder);
	CLEANUP(git_repository_free_p) git_repository *repo = NULL;
	CLEANUP(git_tree_free_p) git_tree *tree = NULL;
	CLEANUP(git_signature_free_p) git_signature *us = NULL;
	git_treebuilder *builder = NULL;
	git_oid tree_id, commit;
	assert_int_equal(git_repository_init(&repo, path, 1), 0);
	assert_int_equal(git_treebuilder_new(&builder, repo, NULL), 0);
	assert_int_equal(git_treebuilder_write(&tree_id, builder), 0);
	git_treebuilder_free(builder);
	assert_int_equal(git_tree_lookup(&tree, repo, &tree_id), 0);
	assert_int_equal(git_signature_new(&us, "a", "a@b", 1, 0), 0);
	assert_int_equal(git_commit_create(&commit, repo, NULL, us, us, NULL, "x", tree, 0, NULL), 0);
	return commit;
}

/* A fetch takes the locks of refs for left behind. */
TEST(refs_are_changed_only_with_the_lock)
{
	struct mirror mirror = open_mirror();
	CLEANUP(free_p) char *objects = xasprintf("%s/kiln.git/objects", folder);
	const git_oid commit = make_commit();
	struct error err = ERROR_INIT;
	git_oid known;
	int held = -1;
	assert_int_equal(mirror_lock_fetch(mirror.path, NULL, clock_boot_ms() + 1000, &held, &err), 0);
	mirror_adopt(&mirror, objects, REF, &commit);
	assert_false(mirror_knows(&mirror, REF, &known));
	assert_int_equal(close(held), 0);
	mirror_adopt(&mirror, objects, REF, &commit);
	assert_true(mirror_knows(&mirror, REF, &known));
	assert_true(git_oid_equal(&known, &commit));
	mirror_close(&mirror);
}

/* A ref says that all of its objects are there. */
TEST(what_could_not_be_taken_over_as_a_whole_is_not_known)
{
	struct mirror mirror = open_mirror();
	CLEANUP(free_p) char *objects = xasprintf("%s/kiln.git/objects", folder);
	const git_oid commit = make_commit();
	git_oid known;
	CLEANUP(free_p) char *in_its_way = xasprintf("%s/" EMPTY_TREE_FOLDER, mirror.objects);
	assert_int_equal(close(open(in_its_way, O_WRONLY | O_CREAT, 0600)), 0);
	mirror_adopt(&mirror, objects, REF, &commit);
	assert_false(mirror_knows(&mirror, REF, &known));
	assert_int_equal(unlink(in_its_way), 0);
	mirror_adopt(&mirror, objects, REF, &commit);
	assert_true(mirror_knows(&mirror, REF, &known));
	mirror_close(&mirror);
}

/* Each is asked for by one build. */
TEST(all_fences_share_one_ref)
{
	struct mirror mirror = open_mirror();
	CLEANUP(free_p) char *objects = xasprintf("%s/kiln.git/objects", folder);
	const git_oid commit = make_commit();
	git_oid known;
	mirror_adopt(&mirror, objects, "refs/kiln/builds/a", &commit);
	assert_true(mirror_knows(&mirror, "refs/kiln/builds/b", &known));
	assert_false(mirror_knows(&mirror, REF, &known));
	mirror_close(&mirror);
}

static char *make_file(const char *path, const char *name)
{
	char *file = xasprintf("%s/%s", path, name);
	assert_int_equal(close(open(file, O_WRONLY | O_CREAT, 0600)), 0);
	return file;
}

TEST(what_a_killed_git_has_left_is_swept)
{
	static const char *const left[] = {"packed-refs.lock",
									   "packed-refs.new",
									   "objects/tmp_obj_x",
									   "objects/pack/tmp_pack_x",
									   "objects/pack/.tmp-7-pack-x.idx",
									   "objects/pack/pack-x.keep"};
	struct mirror mirror = open_mirror();
	for (size_t i = 0; i < ARRAY_LEN(left); i++) {
		CLEANUP(free_p) char *file = make_file(mirror.path, left[i]);
		mirror_sweep(mirror.path);
		assert_false(is_there(file));
	}
	mirror_close(&mirror);
}

TEST(what_a_packing_is_writing_is_not_swept)
{
	struct mirror mirror = open_mirror();
	struct error err = ERROR_INIT;
	int packing = -1;
	CLEANUP(free_p) char *writing = make_file(mirror.path, "objects/pack/tmp_pack_x");
	assert_int_equal(mirror_lock_pack(mirror.path, &packing, &err), 0);
	mirror_sweep(mirror.path);
	assert_true(is_there(writing));
	assert_int_equal(close(packing), 0);
	mirror_sweep(mirror.path);
	assert_false(is_there(writing));
	mirror_close(&mirror);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_mirror_that_is_open_is_not_moved_away, state_make, folder_remove),
		cmocka_unit_test_setup_teardown(a_mirror_that_is_gone_needs_not_be_moved_away, state_make, folder_remove),
		cmocka_unit_test_setup_teardown(who_is_late_does_not_move_away_the_next_one, state_make, folder_remove),
		cmocka_unit_test_setup_teardown(the_lock_of_one_that_was_moved_away_is_no_use_of_the_path, state_make,
										folder_remove),
		cmocka_unit_test_setup_teardown(a_broken_mirror_is_left_to_those_who_borrow_from_it, state_make, folder_remove),
		cmocka_unit_test_setup_teardown(what_cannot_be_opened_is_made_again, state_make, folder_remove),
		cmocka_unit_test_setup_teardown(a_mirror_that_cannot_be_moved_away_is_told, state_make, folder_remove),
		cmocka_unit_test_setup_teardown(who_waits_for_a_fetch_gives_up_at_the_deadline_or_when_interrupted, state_make,
										folder_remove),
		cmocka_unit_test_setup_teardown(who_may_not_be_interrupted_waits_without_hurry_whatever_comes, state_make,
										folder_remove),
		cmocka_unit_test_setup_teardown(refs_are_changed_only_with_the_lock, state_make, folder_remove),
		cmocka_unit_test_setup_teardown(what_could_not_be_taken_over_as_a_whole_is_not_known, state_make,
										folder_remove),
		cmocka_unit_test_setup_teardown(all_fences_share_one_ref, state_make, folder_remove),
		cmocka_unit_test_setup_teardown(what_a_killed_git_has_left_is_swept, state_make, folder_remove),
		cmocka_unit_test_setup_teardown(what_a_packing_is_writing_is_not_swept, state_make, folder_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
