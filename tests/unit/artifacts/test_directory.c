#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "common/artifacts/artifact_store.h"
#include "common/base/hash.h"
#include "common/base/str.h"

#define DAY_S INT64_C(86400)
#define HELLO_SHA256 "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" /* of "hello" */

static struct artifact_store *store;
/* Called once, before the next renameat of any thread (wrapped by the linker). */
static void (*_Atomic before_rename)(void);

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	void (*hook)(void) = atomic_exchange(&before_rename, NULL);
	if (hook != NULL)
		hook();
	return __real_renameat(from_fd, from, to_fd, to);
}

static int store_make(void **state)
{
	struct error err = ERROR_INIT;
	return folder_make(state) < 0 ? -1 : artifact_directory_new(folder, &store, &err);
}

static int store_remove(void **state)
{
	artifact_store_free(store);
	return folder_remove(state);
}

static int source_of(const char *data, size_t len)
{
	int fd = memfd_create("source", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static int try_put(const char *text, const struct artifact_limits *limits, struct artifact_content *ret,
				   struct error *err)
{
	int fd = source_of(text, strlen(text));
	int rc = store->put(store, fd, limits, ret, err);
	(void)close(fd);
	return rc;
}

static void put(const char *text, struct artifact_content *ret)
{
	struct error err = ERROR_INIT;
	const struct artifact_limits limits = {.max_bytes = 1 << 20, .deadline_ms = INT64_MAX};
	if (try_put(text, &limits, ret, &err) < 0)
		fail_msg("%s", err.message);
}

static void assert_kept(const char *sha256, const char *text)
{
	struct artifact_blob blob;
	struct error err = ERROR_INIT;
	char data[64];
	size_t len = 0;
	if (store->open(store, sha256, &blob, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(blob.size, strlen(text));
	assert_int_equal(store->read(&blob, 0, data, sizeof(data), &len, &err), 0);
	assert_int_equal(len, strlen(text));
	assert_memory_equal(data, text, len);
	assert_int_equal(store->read(&blob, (int64_t)len, data, sizeof(data), &len, &err), 0);
	assert_int_equal(len, 0);
	store->close(&blob);
}

static enum error_kind open_fails(const char *sha256)
{
	struct artifact_blob blob;
	struct error err = ERROR_INIT;
	assert_int_equal(store->open(store, sha256, &blob, &err), -1);
	return err.kind;
}

static void path_of(const char *sha256, char ret[256])
{
	(void)snprintf(ret, 256, "%s/sha256/%.2s/%s", folder, sha256, sha256);
}

/* As if it had been put `days` ago. */
static void make_older(const char *path, int64_t days)
{
	struct timespec then = {.tv_sec = clock_wall_us() / 1000000 - days * DAY_S};
	assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){then, then}, 0), 0);
}

static int64_t remove_older_than(int64_t days)
{
	int64_t removed = -1;
	struct error err = ERROR_INIT;
	assert_int_equal(store->remove_old(store, clock_wall_us() / 1000000 - days * DAY_S, NULL, NULL, &removed, &err), 0);
	return removed;
}

static size_t files_in(const char *name)
{
	char command[128];
	(void)snprintf(command, sizeof(command), "%s/%s", folder, name);
	int fd = open(command, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	DIR *dir = fdopendir(fd);
	size_t count = 0;
	while (readdir(dir) != NULL)
		count++;
	(void)closedir(dir);
	return count - 2;
}

TEST(what_was_put_is_found_by_its_hash)
{
	struct artifact_content content;
	put("hello", &content);
	assert_string_equal(content.sha256, HELLO_SHA256);
	assert_int_equal(content.size, 5);
	assert_kept(HELLO_SHA256, "hello");
	assert_int_equal(files_in("new"), 0);
}

TEST(an_empty_file_is_a_content_too)
{
	struct artifact_content content;
	put("", &content);
	assert_int_equal(content.size, 0);
	assert_kept(content.sha256, "");
}

TEST(the_same_content_is_kept_once)
{
	struct artifact_content content;
	put("hello", &content);
	put("hello", &content);
	assert_int_equal(files_in("sha256/2c"), 1);
	assert_int_equal(files_in("new"), 0);
}

TEST(a_content_that_a_crash_has_cut_is_written_anew)
{
	struct artifact_content content;
	char path[256];
	put("hello", &content);
	path_of(content.sha256, path);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(truncate(path, 2), 0);
	put("hello", &content);
	assert_kept(HELLO_SHA256, "hello");
}

TEST(what_is_too_large_is_refused_and_leaves_nothing)
{
	struct artifact_content content;
	struct error err = ERROR_INIT;
	const struct artifact_limits limits = {.max_bytes = 4, .deadline_ms = INT64_MAX};
	assert_int_equal(try_put("hello", &limits, &content, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(files_in("new"), 0);
	assert_int_equal(open_fails(HELLO_SHA256), ERR_NOT_FOUND);
}

static bool stop_at_once(void *ctx UNUSED)
{
	return true;
}

TEST(a_deadline_and_a_stop_end_a_put)
{
	struct artifact_content content;
	struct error err = ERROR_INIT;
	struct artifact_limits limits = {.max_bytes = 100, .deadline_ms = clock_boot_ms() - 1};
	assert_int_equal(try_put("hello", &limits, &content, &err), -1);
	assert_int_equal(err.kind, ERR_TIMEOUT);
	limits = (struct artifact_limits){.max_bytes = 100, .deadline_ms = INT64_MAX, .stop = stop_at_once};
	assert_int_equal(try_put("hello", &limits, &content, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELLED);
	assert_int_equal(files_in("new"), 0);
}

TEST(a_name_that_is_no_hash_opens_nothing)
{
	assert_int_equal(open_fails("../../../../etc/passwd"), ERR_INVALID);
	assert_int_equal(open_fails(""), ERR_INVALID);
	assert_int_equal(open_fails("2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824"), ERR_INVALID);
	assert_int_equal(open_fails(HELLO_SHA256), ERR_NOT_FOUND);
}

TEST(old_contents_go_and_young_ones_stay)
{
	struct artifact_content old, young;
	char path[256];
	put("old", &old);
	put("young", &young);
	path_of(old.sha256, path);
	make_older(path, 31);
	assert_int_equal(remove_older_than(30), 1);
	assert_int_equal(open_fails(old.sha256), ERR_NOT_FOUND);
	assert_kept(young.sha256, "young");
	assert_int_equal(remove_older_than(30), 0);
}

TEST(an_old_content_that_is_put_again_lives_anew)
{
	struct artifact_content content;
	char path[256];
	put("hello", &content);
	path_of(content.sha256, path);
	make_older(path, 31);
	put("hello", &content);
	assert_int_equal(remove_older_than(30), 0);
	assert_kept(HELLO_SHA256, "hello");
}

TEST(what_is_open_can_be_read_after_its_removal)
{
	struct artifact_content content;
	struct artifact_blob blob;
	struct error err = ERROR_INIT;
	char path[256], data[8];
	size_t len = 0;
	put("hello", &content);
	path_of(content.sha256, path);
	assert_int_equal(store->open(store, content.sha256, &blob, &err), 0);
	make_older(path, 31);
	assert_int_equal(remove_older_than(30), 1);
	assert_int_equal(store->read(&blob, 1, data, sizeof(data), &len, &err), 0);
	assert_int_equal(len, 4);
	store->close(&blob);
}

TEST(what_a_broken_put_has_left_goes_after_a_day)
{
	struct artifact_content content;
	char path[256];
	put("hello", &content);
	folder_write("new/00000000-0000-4000-8000-000000000000", "half");
	assert_int_equal(remove_older_than(30), 0);
	assert_int_equal(files_in("new"), 1);
	(void)snprintf(path, sizeof(path), "%s/new/00000000-0000-4000-8000-000000000000", folder);
	make_older(path, 2);
	assert_int_equal(remove_older_than(30), 0); /* it was no content */
	assert_int_equal(files_in("new"), 0);
}

#define ROUNDS 200

static void *put_again_and_again(void *arg UNUSED)
{
	struct artifact_content content;
	for (int i = 0; i < ROUNDS; i++) {
		put("hello", &content);
		assert_kept(content.sha256, "hello");
	}
	return NULL;
}

TEST(two_writers_of_the_same_content_do_not_hurt_each_other)
{
	pthread_t threads[2];
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_again_and_again, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_kept(HELLO_SHA256, "hello");
}

static void put_hello(void)
{
	struct artifact_content content;
	put("hello", &content);
}

TEST(a_content_that_is_put_while_it_is_being_removed_is_not_lost)
{
	char path[256];
	put_hello();
	path_of(HELLO_SHA256, path);
	make_older(path, 31);
	before_rename = put_hello; /* after the look at its time, before its name is taken away */
	assert_int_equal(remove_older_than(30), 0);
	assert_null(atomic_load(&before_rename));
	assert_kept(HELLO_SHA256, "hello");
}

TEST(a_path_that_is_no_directory_is_refused)
{
	struct artifact_store *none = NULL;
	struct error err = ERROR_INIT;
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/nothing", folder);
	assert_int_equal(artifact_directory_new(path, &none, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_non_null(strstr(err.message, path));
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, store_make, store_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(what_was_put_is_found_by_its_hash),
		WITH_STORE(an_empty_file_is_a_content_too),
		WITH_STORE(the_same_content_is_kept_once),
		WITH_STORE(a_content_that_a_crash_has_cut_is_written_anew),
		WITH_STORE(what_is_too_large_is_refused_and_leaves_nothing),
		WITH_STORE(a_deadline_and_a_stop_end_a_put),
		WITH_STORE(a_name_that_is_no_hash_opens_nothing),
		WITH_STORE(old_contents_go_and_young_ones_stay),
		WITH_STORE(an_old_content_that_is_put_again_lives_anew),
		WITH_STORE(what_is_open_can_be_read_after_its_removal),
		WITH_STORE(what_a_broken_put_has_left_goes_after_a_day),
		WITH_STORE(two_writers_of_the_same_content_do_not_hurt_each_other),
		WITH_STORE(a_content_that_is_put_while_it_is_being_removed_is_not_lost),
		WITH_STORE(a_path_that_is_no_directory_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
