#include "tests/unit/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/fd.h"

static int read_all(int fd, size_t max, struct buffer *ret, struct error *err)
{
	assert_true(fd >= 0);
	buffer_init(ret, max);
	*err = (struct error)ERROR_INIT;
	return fd_read_all(fd, ret, err);
}

TEST(a_file_is_read_whole_however_many_reads_it_takes)
{
	size_t len = 200000;
	CLEANUP(free_p) char *bytes = xmalloc(len);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(i * 7 / 5);
	CLEANUP(close_p) int fd = fd_of_bytes("test", bytes, len);
	CLEANUP(buffer_release_p) struct buffer out;
	struct error err;
	assert_int_equal(read_all(fd, 1000000, &out, &err), 0);
	assert_int_equal(out.len, len);
	assert_memory_equal(out.data, bytes, len);
}

TEST(a_file_of_just_the_maximum_is_read)
{
	CLEANUP(close_p) int fd = fd_of_bytes("test", "12345", 5);
	CLEANUP(buffer_release_p) struct buffer out;
	struct error err;
	assert_int_equal(read_all(fd, 5, &out, &err), 0);
	assert_string_equal(out.data, "12345");
}

TEST(a_file_that_is_too_large_says_so)
{
	CLEANUP(close_p) int fd = fd_of_bytes("test", "123456", 6);
	CLEANUP(buffer_release_p) struct buffer out;
	struct error err;
	errno = 0;
	assert_int_equal(read_all(fd, 5, &out, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_string_equal(err.message, "it has more than 5 bytes");
}

TEST(an_empty_file_adds_nothing)
{
	CLEANUP(close_p) int fd = fd_of_bytes("test", "", 0);
	CLEANUP(buffer_release_p) struct buffer out;
	struct error err;
	assert_int_equal(read_all(fd, 5, &out, &err), 0);
	assert_int_equal(out.len, 0);
}

TEST(a_directory_cannot_be_read)
{
	CLEANUP(close_p) int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(buffer_release_p) struct buffer out;
	struct error err;
	assert_int_equal(read_all(fd, 5, &out, &err), -1);
	assert_int_equal(err.sys_errno, EISDIR);
	char text[8];
	assert_int_equal(fd_read_up_to(fd, text, sizeof(text)), -1);
	assert_int_equal(errno, EISDIR);
}

TEST(what_the_buffer_has_stays_before_it)
{
	CLEANUP(close_p) int fd = fd_of_bytes("test", "two", 3);
	CLEANUP(buffer_release_p) struct buffer out;
	struct error err = ERROR_INIT;
	buffer_init(&out, 7);
	assert_int_equal(buffer_append_str(&out, "one "), 0);
	assert_int_equal(fd_read_all(fd, &out, &err), 0);
	assert_string_equal(out.data, "one two");
}

TEST(no_more_is_read_than_there_is_room_for)
{
	CLEANUP(close_p) int fd = fd_of_bytes("test", "123456", 6);
	char text[4];
	assert_int_equal(fd_read_up_to(fd, text, sizeof(text)), 4);
	assert_memory_equal(text, "1234", 4);
	assert_int_equal(fd_read_up_to(fd, text, sizeof(text)), 2);
	assert_memory_equal(text, "56", 2);
	assert_int_equal(fd_read_up_to(fd, text, sizeof(text)), 0);
}

TEST(a_file_in_memory_takes_no_more_from_whoever_has_it)
{
	CLEANUP(close_p) int fd = fd_of_bytes("test", "123456", 6);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 1 << 20), -1);
	assert_int_equal(fallocate(fd, 0, 0, 1 << 20), -1);
	assert_ptr_equal(mmap(NULL, 6, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CLEANUP(close_p) int again = open(path, O_RDWR | O_CLOEXEC);
	assert_true(again >= 0);
	assert_int_equal(pwrite(again, "x", 1, 1 << 20), -1);
	char text[8];
	assert_int_equal(fd_read_up_to(fd, text, sizeof(text)), 6);
	assert_memory_equal(text, "123456", 6);
}

static _Atomic int signals;

static void on_signal(int number)
{
	(void)number;
	atomic_fetch_add(&signals, 1);
}

struct writer {
	pthread_t reader;
	int fd;
};

static void *write_between_signals(void *arg)
{
	struct writer *writer = arg;
	int64_t end_ms = clock_boot_ms() + 60000;
	for (int part = 1; part <= 3; part++) {
		while (atomic_load(&signals) < 50 * part && clock_boot_ms() < end_ms) {
			assert_int_equal(pthread_kill(writer->reader, SIGUSR1), 0);
			(void)sched_yield(); /* it only gives the reader room */
		}
		assert_int_equal(fd_write_all(writer->fd, "ab", 2), 0);
	}
	close_p(&writer->fd);
	return NULL;
}

TEST(neither_signals_nor_short_reads_end_it)
{
	const struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART */
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	CLEANUP(close_p) int fd = ends[0];
	struct writer writer = {.reader = pthread_self(), .fd = ends[1]};
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, write_between_signals, &writer), 0);
	char text[8];
	ssize_t got = fd_read_up_to(fd, text, sizeof(text));
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(got, 6);
	assert_memory_equal(text, "ababab", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_read_whole_however_many_reads_it_takes),
		cmocka_unit_test(a_file_of_just_the_maximum_is_read),
		cmocka_unit_test(a_file_that_is_too_large_says_so),
		cmocka_unit_test(an_empty_file_adds_nothing),
		cmocka_unit_test(a_directory_cannot_be_read),
		cmocka_unit_test(what_the_buffer_has_stays_before_it),
		cmocka_unit_test(no_more_is_read_than_there_is_room_for),
		cmocka_unit_test(a_file_in_memory_takes_no_more_from_whoever_has_it),
		cmocka_unit_test(neither_signals_nor_short_reads_end_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
