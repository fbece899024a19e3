#include "tests/unit/unit.h"
#include "tests/unit/executor/mirrors.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>

#include "common/base/process.h"
#include "executor/descendants.h"
#include "executor/git/mirror_lock.h"
#include "executor/git/mirror_pack.h"
#include "executor/git/mirror_sweep.h"
#include "executor/git/skeleton.h"

#define URL "https://h/x.git"
#define MANY (MIRROR_MANY_LOOSE + 10)
#define HOUR_US INT64_C(3600000000)
#define BLOCK INT64_C(4096)

static struct git_remote here;

/* ---- a disk that is full (linked in the place of libc's) */

static int64_t free_bytes; /* INT64_MAX: as many as there are */
static int no_new_file;    /* errno, or 0 */

int __real_statvfs(const char *path, struct statvfs *ret);
int __wrap_statvfs(const char *path, struct statvfs *ret);
int __real_open(const char *path, int flags, mode_t mode);
int __wrap_open(const char *path, int flags, ...);

int __wrap_statvfs(const char *path, struct statvfs *ret)
{
	if (free_bytes == INT64_MAX)
		return __real_statvfs(path, ret);
	*ret = (struct statvfs){.f_frsize = BLOCK, .f_bavail = (fsblkcnt_t)(free_bytes / BLOCK)};
	return 0;
}

int __wrap_open(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (no_new_file == 0 || (flags & O_CREAT) == 0 || access(path, F_OK) == 0)
		return __real_open(path, flags, mode);
	errno = no_new_file;
	return -1;
}

static int begin(void **state)
{
	if (state_make(state) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return -1;
	free_bytes = INT64_MAX;
	no_new_file = 0;
	here = (struct git_remote){.scratch_dir = folder, .lock_fd = -1, .timeout_ms = 60000, .interrupt_fd = -1};
	return 0;
}

/* Loose objects from number `first` on. */
static void add_objects(git_repository *repo, int first, int count)
{
	for (int i = first; i < first + count; i++) {
		char text[32];
		git_oid oid;
		int len = snprintf(text, sizeof(text), "object %d", i);
		assert_int_equal(git_blob_create_from_buffer(&oid, repo, text, (size_t)len), 0);
	}
}

static bool has_object(git_repository *repo, int number)
{
	char text[32];
	git_oid oid;
	git_blob *blob = NULL;
	int len = snprintf(text, sizeof(text), "object %d", number);
	assert_int_equal(git_odb_hash(&oid, text, (size_t)len, GIT_OBJECT_BLOB), 0);
	bool has = git_blob_lookup(&blob, repo, &oid) == 0 && git_blob_rawsize(blob) == (git_object_size_t)len;
	git_blob_free(blob);
	return has;
}

static void add_refs(git_repository *repo, int count)
{
	CLEANUP(git_signature_free_p) git_signature *us = NULL;
	CLEANUP(git_tree_free_p) git_tree *tree = NULL;
	git_treebuilder *builder = NULL;
	git_oid tree_id, commit;
	assert_int_equal(git_treebuilder_new(&builder, repo, NULL), 0);
	assert_int_equal(git_treebuilder_write(&tree_id, builder), 0);
	git_treebuilder_free(builder);
	assert_int_equal(git_tree_lookup(&tree, repo, &tree_id), 0);
	assert_int_equal(git_signature_new(&us, "a", "a@b", 1, 0), 0);
	assert_int_equal(git_commit_create(&commit, repo, NULL, us, us, NULL, "x", tree, 0, NULL), 0);
	for (int i = 0; i < count; i++) {
		char name[64];
		git_reference *ref = NULL;
		(void)snprintf(name, sizeof(name), "refs/kiln/%032d", i);
		assert_int_equal(git_reference_create(&ref, repo, name, &commit, 1, NULL), 0);
		git_reference_free(ref);
	}
}

static struct mirror large_mirror(void)
{
	struct mirror mirror = mirror_of(URL);
	add_objects(mirror.repo, 0, MANY);
	return mirror;
}

/* As the next build does. */
static void use(const struct mirror *mirror)
{
	int64_t packed_us = mirror_packed_us(mirror->path);
	do { /* the kernel's time of a file is some milliseconds behind */
		struct mirror again = mirror_of(URL);
		assert_string_equal(again.path, mirror->path);
		mirror_close(&again);
	} while (packed_us <= clock_wall_us() && mirror_last_used_us(mirror->path) <= packed_us);
}

static int try(const struct mirror *mirror, enum mirror_part part, struct error *err)
{
	struct mirror_files before;
	return mirror_pack(mirror->path, &here, part, &before, err);
}

static int try_all(const struct mirror *mirror, struct error *err)
{
	int refs = try(mirror, MIRROR_REFS, err), objects = refs < 0 ? -1 : try(mirror, MIRROR_OBJECTS, err);
	return refs > 0 && objects == 0 ? 1 : objects;
}

/* As pack_mirrors.c. */
static int pack(const struct mirror *mirror)
{
	struct error err = ERROR_INIT;
	int rc = try_all(mirror, &err);
	if (rc < 0)
		fail_msg("%s", err.message);
	return rc;
}

/* All of it, though not all at once: what is large enough is left alone, and what is few. */
static void assert_packed(const struct mirror *mirror)
{
	struct mirror_files files;
	mirror_count_files(mirror->path, &files);
	assert_int_equal(files.loose, 0);
	assert_in_range(files.packs, 1, 2);
	assert_in_range(files.refs, 0, MIRROR_MANY_REFS - 1);
}

static void assert_files(const struct mirror *mirror, int64_t loose, int64_t packs, int64_t refs)
{
	struct mirror_files files;
	mirror_count_files(mirror->path, &files);
	assert_int_equal(files.loose, loose);
	assert_int_equal(files.packs, packs);
	assert_int_equal(files.refs, refs);
}

static void assert_valid(const struct mirror *mirror)
{
	CLEANUP(free_p) char *option = xasprintf("--git-dir=%s", mirror->path);
	const char *argv[] = {"git", option, "fsck", "--full", "--strict", NULL};
	static const char *const envp[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM=1",
									   "GIT_CONFIG_GLOBAL=/dev/null", NULL};
	const struct process_options options = {.argv = argv, .envp = envp};
	struct buffer out, said;
	struct error err = ERROR_INIT;
	int status = -1;
	buffer_init(&out, 65536);
	buffer_init(&said, 65536);
	assert_int_equal(process_run(&options, NULL, 0, clock_boot_ms() + 60000, &out, &said, &status, &err), 0);
	if (status != 0)
		fail_msg("%s", said.data);
	buffer_release(&out);
	buffer_release(&said);
}

TEST(many_loose_objects_become_one_pack)
{
	struct mirror mirror = large_mirror();
	assert_int_equal(pack(&mirror), 1);
	assert_files(&mirror, 0, 1, 0);
	assert_valid(&mirror);
	mirror_close(&mirror);
}

TEST(many_refs_become_one_file)
{
	struct mirror mirror = mirror_of(URL);
	git_oid oid;
	add_refs(mirror.repo, MIRROR_MANY_REFS);
	assert_int_equal(pack(&mirror), 1);
	assert_files(&mirror, 2, 0, 0);
	assert_int_equal(git_reference_name_to_id(&oid, mirror.repo, "refs/kiln/00000000000000000000000000000007"), 0);
	mirror_close(&mirror);
}

TEST(many_packs_become_few)
{
	struct mirror mirror = mirror_of(URL);
	CLEANUP(free_p) char *packs = xasprintf("%s/pack", mirror.objects);
	for (int i = 0; i < MIRROR_MANY_PACKS; i++) { /* as fetches leave them */
		git_packbuilder *builder = NULL;
		git_oid oid;
		char text[32];
		int len = snprintf(text, sizeof(text), "object %d", i);
		assert_int_equal(git_blob_create_from_buffer(&oid, mirror.repo, text, (size_t)len), 0);
		assert_int_equal(git_packbuilder_new(&builder, mirror.repo), 0);
		assert_int_equal(git_packbuilder_insert(builder, &oid, NULL), 0);
		assert_int_equal(git_packbuilder_write(builder, packs, 0, NULL, NULL), 0);
		git_packbuilder_free(builder);
	}
	assert_files(&mirror, MIRROR_MANY_PACKS, MIRROR_MANY_PACKS, 0);
	assert_int_equal(pack(&mirror), 1);
	assert_files(&mirror, 0, 1, 0);
	assert_true(has_object(mirror.repo, 0) && has_object(mirror.repo, MIRROR_MANY_PACKS - 1));
	mirror_close(&mirror);
}

TEST(what_is_few_is_left_as_it_is)
{
	struct mirror mirror = mirror_of(URL);
	add_objects(mirror.repo, 0, MIRROR_MANY_LOOSE - 10);
	add_refs(mirror.repo, MIRROR_MANY_REFS - 1);
	assert_int_equal(pack(&mirror), 0);
	assert_files(&mirror, MIRROR_MANY_LOOSE - 8, 0, MIRROR_MANY_REFS - 1);
	mirror_close(&mirror);
}

TEST(one_that_no_build_has_used_since_is_not_looked_at)
{
	struct mirror mirror = mirror_of(URL);
	assert_int_equal(pack(&mirror), 0);
	add_objects(mirror.repo, 0, MANY);
	assert_int_equal(pack(&mirror), 0);
	assert_files(&mirror, MANY, 0, 0);
	use(&mirror);
	assert_int_equal(pack(&mirror), 1);
	mirror_close(&mirror);
}

/* With an objects directory of its own, as an attempt has it. */
static git_repository *borrower(const struct mirror *mirror, const char *name)
{
	CLEANUP(free_p) char *path = xasprintf("%s/%s", folder, name);
	git_repository *repo = NULL;
	struct error err = ERROR_INIT;
	assert_int_equal(git_skeleton_make(path, true, NULL, &err), 0);
	assert_int_equal(git_skeleton_complete(path, "refs/heads/x", mirror->objects, &err), 0);
	assert_int_equal(git_repository_open_bare(&repo, path), 0);
	return repo;
}

/* Packs go too: of that one the first reader has it open, the second one knows its index only, the third one nothing. */
TEST(who_borrows_meanwhile_finds_every_object)
{
	struct mirror mirror = large_mirror();
	assert_int_equal(pack(&mirror), 1);
	add_objects(mirror.repo, MANY, MANY);
	use(&mirror);
	assert_int_equal(pack(&mirror), 1);
	assert_files(&mirror, 0, 2, 0);
	CLEANUP(git_repository_free_p) git_repository *open = borrower(&mirror, "open");
	CLEANUP(git_repository_free_p) git_repository *knows = borrower(&mirror, "knows");
	CLEANUP(git_repository_free_p) git_repository *new = borrower(&mirror, "new");
	add_objects(mirror.repo, 2 * MANY, MANY);
	assert_true(has_object(open, 0) && has_object(open, MANY));
	assert_true(has_object(knows, 2 * MANY)); /* a loose one */
	use(&mirror);
	assert_int_equal(pack(&mirror), 1);
	assert_files(&mirror, 0, 1, 0); /* another one, with all in it */
	for (int i = 0; i < 3 * MANY; i++)
		assert_true(has_object(open, i) && has_object(knows, i) && has_object(new, i));
	mirror_close(&mirror);
}

TEST(a_pack_that_is_much_larger_than_the_rest_is_left_alone)
{
	struct mirror mirror = mirror_of(URL);
	add_objects(mirror.repo, 0, 3 * MANY);
	assert_int_equal(pack(&mirror), 1);
	add_objects(mirror.repo, 3 * MANY, MANY);
	use(&mirror);
	assert_int_equal(pack(&mirror), 1);
	assert_files(&mirror, 0, 2, 0);
	mirror_close(&mirror);
}

/* What git does when it is killed, at moments all along its way, until it is faster. */
TEST(killed_at_any_moment_it_leaves_a_mirror_that_is_valid_and_is_packed_next_time)
{
	struct mirror mirror = large_mirror();
	add_refs(mirror.repo, MIRROR_MANY_REFS);
	int killed = 0;
	bool whole = false;
	for (int wait_ms = 1; !whole && wait_ms < 60000; wait_ms *= 2) {
		use(&mirror);
		pid_t pid = fork();
		if (pid == 0) {
			struct error err = ERROR_INIT;
			_exit(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && try_all(&mirror, &err) >= 0 ? 0 : 1);
		}
		assert_true(pid > 0);
		(void)poll(NULL, 0, wait_ms); /* the moment, not a condition */
		int status = 0;
		bool ended = false;
		assert_true(descendants_kill(clock_boot_ms() + 60000, pid, &status, &ended));
		assert_true(ended);
		assert_valid(&mirror);
		killed += WIFSIGNALED(status) ? 1 : 0;
		whole = WIFEXITED(status);
		assert_true(!whole || WEXITSTATUS(status) == 0);
	}
	assert_true(whole);
	assert_true(killed > 0);
	use(&mirror);
	add_objects(mirror.repo, MANY, MANY);
	assert_int_equal(pack(&mirror), 1);
	assert_packed(&mirror);
	for (int i = 0; i < 2 * MANY; i++)
		assert_true(has_object(mirror.repo, i));
	mirror_close(&mirror);
}

TEST(one_that_was_interrupted_counts_as_not_looked_at)
{
	struct mirror mirror = large_mirror();
	struct error err = ERROR_INIT;
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(close(ends[1]), 0);
	here.interrupt_fd = ends[0];
	here.interrupted = is_interrupted;
	assert_int_equal(try(&mirror, MIRROR_OBJECTS, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELLED);
	here.interrupted = NULL;
	here.interrupt_fd = -1;
	assert_int_equal(close(ends[0]), 0);
	assert_int_equal(pack(&mirror), 1);
	mirror_close(&mirror);
}

/* A loose object whose end is missing. */
static char *add_broken_object(git_repository *repo)
{
	enum { LEN = 20000 };
	CLEANUP(free_p) uint8_t *content = xmalloc(LEN);
	char sha[GIT_OID_HEXSZ + 1];
	uint32_t state = 1;
	git_oid oid;
	for (size_t i = 0; i < LEN; i++) {
		state = state * 1664525 + 1013904223;
		content[i] = (uint8_t)(state >> 24);
	}
	assert_int_equal(git_blob_create_from_buffer(&oid, repo, content, LEN), 0);
	git_oid_text(&oid, sha);
	char *path = xasprintf("%sobjects/%.2s/%s", git_repository_path(repo), sha, sha + 2);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(truncate(path, LEN / 2), 0);
	return path;
}

TEST(one_that_cannot_be_packed_is_left_alone_for_an_hour)
{
	struct mirror mirror = large_mirror();
	struct error err = ERROR_INIT;
	CLEANUP(free_p) char *broken = add_broken_object(mirror.repo);
	CLEANUP(free_p) char *looked = xasprintf("%s/kiln-pack", mirror.path);
	assert_int_equal(try_all(&mirror, &err), -1);
	assert_non_null(strstr(err.message, "git has failed"));
	assert_files(&mirror, MANY + 1, 0, 0);
	use(&mirror);
	assert_int_equal(pack(&mirror), 0);
	assert_true(mirror_packed_us(mirror.path) > clock_wall_us() + HOUR_US / 2);
	/* Then it is tried again. */
	const struct timespec then = {.tv_sec = 1}, times[2] = {then, then};
	assert_int_equal(utimensat(AT_FDCWD, looked, times, 0), 0);
	assert_int_equal(unlink(broken), 0);
	assert_int_equal(pack(&mirror), 1);
	mirror_close(&mirror);
}

/* Half a pack, one whose index is missing, as when it was killed between the two; and one that is whole. */
TEST(what_a_packing_that_failed_has_left_goes_at_once)
{
	struct mirror mirror = large_mirror();
	struct error err = ERROR_INIT;
	static const char *const left[] = {"tmp_pack_x", ".tmp-1-pack-a.pack", "pack-b.pack", "pack-b.rev"};
	static const char *const whole[] = {"pack-c.rev", "pack-c.idx"};
	char *key = strrchr(mirror.path, '/') + 1;
	for (size_t i = 0; i < ARRAY_LEN(left) + ARRAY_LEN(whole); i++) {
		CLEANUP(free_p)
		char *name =
			xasprintf("mirrors/%s/objects/pack/%s", key, i < ARRAY_LEN(left) ? left[i] : whole[i - ARRAY_LEN(left)]);
		folder_write(name, "");
	}
	CLEANUP(free_p) char *broken = add_broken_object(mirror.repo);
	assert_int_equal(try(&mirror, MIRROR_OBJECTS, &err), -1);
	for (size_t i = 0; i < ARRAY_LEN(left); i++) {
		CLEANUP(free_p) char *path = xasprintf("%s/pack/%s", mirror.objects, left[i]);
		assert_false(is_there(path));
	}
	for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
		CLEANUP(free_p) char *path = xasprintf("%s/pack/%s", mirror.objects, whole[i]);
		assert_true(is_there(path));
	}
	mirror_close(&mirror);
}

TEST(one_that_takes_too_long_is_left_alone_for_a_day)
{
	struct mirror mirror = large_mirror();
	struct error err = ERROR_INIT;
	here.timeout_ms = 1;
	assert_int_equal(try(&mirror, MIRROR_OBJECTS, &err), -1);
	assert_int_equal(err.kind, ERR_TIMEOUT);
	assert_true(mirror_packed_us(mirror.path) > clock_wall_us() + 23 * HOUR_US);
	use(&mirror);
	assert_int_equal(pack(&mirror), 0);
	mirror_close(&mirror);
}

TEST(one_that_was_looked_at_by_a_clock_that_was_ahead_is_packed)
{
	struct mirror mirror = large_mirror();
	struct error err = ERROR_INIT;
	int fd = -1;
	assert_int_equal(mirror_lock_pack(mirror.path, &fd, &err), 0);
	mirror_set_packed_us(fd, clock_wall_us() + 25 * HOUR_US);
	assert_int_equal(close(fd), 0);
	assert_int_equal(pack(&mirror), 1);
	mirror_close(&mirror);
}

TEST(without_room_for_twice_as_much_nothing_is_packed)
{
	struct mirror mirror = large_mirror();
	struct mirror_files files;
	mirror_count_files(mirror.path, &files);
	assert_true(files.bytes > 2 * BLOCK);
	free_bytes = files.bytes * 2 - 2 * BLOCK;
	assert_int_equal(pack(&mirror), 0);
	assert_files(&mirror, MANY, 0, 0);
	free_bytes = files.bytes * 2 + BLOCK;
	assert_int_equal(pack(&mirror), 0); /* it counts as looked at */
	use(&mirror);
	assert_int_equal(pack(&mirror), 1);
	mirror_close(&mirror);
}

/* A link is not followed, as good as a file that nobody may open. */
TEST(one_whose_lock_cannot_be_opened_is_left_as_it_is)
{
	struct mirror mirror = large_mirror();
	CLEANUP(free_p) char *lock = xasprintf("%s/kiln-pack", mirror.path);
	assert_int_equal(symlink("elsewhere", lock), 0);
	assert_int_equal(pack(&mirror), 0);
	assert_files(&mirror, MANY, 0, 0);
	mirror_close(&mirror);
}

/* As in a mirror of an older release. */
TEST(where_the_disk_has_no_room_for_its_lock_packs_are_swept_all_the_same)
{
	struct mirror mirror = mirror_of(URL);
	CLEANUP(free_p) char *half = xasprintf("%s/pack/tmp_pack_x", mirror.objects);
	CLEANUP(free_p) char *lock = xasprintf("%s/kiln-pack", mirror.path);
	FILE *file = fopen(half, "we");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	no_new_file = EACCES;
	mirror_sweep(mirror.path);
	assert_true(is_there(half)); /* perhaps another packs it */
	no_new_file = ENOSPC;
	mirror_sweep(mirror.path);
	assert_false(is_there(half) || is_there(lock));
	mirror_close(&mirror);
}

/* By a folder in the place of git's lock, which nobody sweeps. */
TEST(one_whose_refs_cannot_be_packed_is_left_alone_too)
{
	struct mirror mirror = mirror_of(URL);
	struct error err = ERROR_INIT;
	CLEANUP(free_p) char *in_its_way = xasprintf("%s/packed-refs.lock", mirror.path);
	add_refs(mirror.repo, MIRROR_MANY_REFS);
	assert_int_equal(mkdir(in_its_way, 0700), 0);
	assert_int_equal(try(&mirror, MIRROR_REFS, &err), -1);
	assert_non_null(strstr(err.message, "git has failed"));
	use(&mirror);
	assert_int_equal(pack(&mirror), 0);
	mirror_close(&mirror);
}

TEST(one_that_another_packs_or_moves_is_left_to_him)
{
	struct mirror mirror = large_mirror();
	struct error err = ERROR_INIT;
	int fd = -1;
	assert_int_equal(mirror_lock_pack(mirror.path, &fd, &err), 0);
	assert_int_equal(pack(&mirror), 0);
	assert_int_equal(close(fd), 0);
	CLEANUP(free_p) char *away = xasprintf("%s/trash/away", folder);
	assert_int_equal(rename(mirror.path, away), 0);
	assert_int_equal(pack(&mirror), 0);
	mirror_close(&mirror);
}

TEST(a_fetch_under_way_keeps_the_refs_from_being_packed_but_not_the_objects)
{
	struct mirror mirror = large_mirror();
	struct error err = ERROR_INIT;
	int fd = -1;
	add_refs(mirror.repo, MIRROR_MANY_REFS);
	assert_int_equal(mirror_lock_fetch(mirror.path, NULL, clock_boot_ms() + 1000, &fd, &err), 0);
	assert_int_equal(pack(&mirror), 1);
	assert_files(&mirror, 0, 1, MIRROR_MANY_REFS);
	assert_int_equal(close(fd), 0);
	mirror_close(&mirror);
}

TEST(what_is_packed_is_not_moved_away)
{
	struct mirror mirror = large_mirror();
	struct error err = ERROR_INIT;
	int fd = -1, none = -1;
	CLEANUP(free_p) char *path = xstrdup(mirror.path);
	mirror_close(&mirror);
	const int64_t used_us = mirror_last_used_us(path);
	assert_int_equal(mirror_lock_stay(path, &fd, &err), 0);
	assert_int_equal(mirror_last_used_us(path), used_us); /* that is no use */
	assert_int_equal(mirror_retire(path, folder, &none, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(close(fd), 0);
	assert_int_equal(mirror_retire(path, folder, &none, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(many_loose_objects_become_one_pack, begin, folder_remove),
		cmocka_unit_test_setup_teardown(many_refs_become_one_file, begin, folder_remove),
		cmocka_unit_test_setup_teardown(many_packs_become_few, begin, folder_remove),
		cmocka_unit_test_setup_teardown(what_is_few_is_left_as_it_is, begin, folder_remove),
		cmocka_unit_test_setup_teardown(one_that_no_build_has_used_since_is_not_looked_at, begin, folder_remove),
		cmocka_unit_test_setup_teardown(who_borrows_meanwhile_finds_every_object, begin, folder_remove),
		cmocka_unit_test_setup_teardown(a_pack_that_is_much_larger_than_the_rest_is_left_alone, begin, folder_remove),
		cmocka_unit_test_setup_teardown(killed_at_any_moment_it_leaves_a_mirror_that_is_valid_and_is_packed_next_time,
										begin, folder_remove),
		cmocka_unit_test_setup_teardown(one_that_was_interrupted_counts_as_not_looked_at, begin, folder_remove),
		cmocka_unit_test_setup_teardown(one_that_cannot_be_packed_is_left_alone_for_an_hour, begin, folder_remove),
		cmocka_unit_test_setup_teardown(what_a_packing_that_failed_has_left_goes_at_once, begin, folder_remove),
		cmocka_unit_test_setup_teardown(one_that_takes_too_long_is_left_alone_for_a_day, begin, folder_remove),
		cmocka_unit_test_setup_teardown(one_that_was_looked_at_by_a_clock_that_was_ahead_is_packed, begin,
										folder_remove),
		cmocka_unit_test_setup_teardown(without_room_for_twice_as_much_nothing_is_packed, begin, folder_remove),
		cmocka_unit_test_setup_teardown(one_whose_lock_cannot_be_opened_is_left_as_it_is, begin, folder_remove),
		cmocka_unit_test_setup_teardown(where_the_disk_has_no_room_for_its_lock_packs_are_swept_all_the_same, begin,
										folder_remove),
		cmocka_unit_test_setup_teardown(one_whose_refs_cannot_be_packed_is_left_alone_too, begin, folder_remove),
		cmocka_unit_test_setup_teardown(one_that_another_packs_or_moves_is_left_to_him, begin, folder_remove),
		cmocka_unit_test_setup_teardown(a_fetch_under_way_keeps_the_refs_from_being_packed_but_not_the_objects, begin,
										folder_remove),
		cmocka_unit_test_setup_teardown(what_is_packed_is_not_moved_away, begin, folder_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
