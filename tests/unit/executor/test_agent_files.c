#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include "executor/agent_files.h"

static int folder_fd = -1;
static struct buffer text;

static int set_up(void **state)
{
	buffer_init(&text, 15);
	if (folder_make(state) < 0)
		return -1;
	folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return folder_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	buffer_release(&text);
	(void)close(folder_fd);
	return folder_remove(state);
}

static void assert_refused(const char *path, enum error_kind kind)
{
	int fd = -1;
	struct error err = ERROR_INIT;
	assert_int_equal(agent_open_file(folder_fd, path, &fd, &err), -1);
	assert_int_equal(err.kind, kind);
	assert_int_equal(fd, -1);
	assert_false(agent_read_file(folder_fd, path, &text));
}

TEST(a_regular_file_is_read_whole)
{
	folder_mkdir("d");
	folder_write("d/a", "yes");
	assert_true(agent_read_file(folder_fd, "d/a", &text));
	assert_string_equal(text.data, "yes");
}

TEST(a_file_of_just_the_limit_is_read_and_a_longer_one_is_not)
{
	folder_write("a", "123456789012345");
	assert_true(agent_read_file(folder_fd, "a", &text));
	assert_string_equal(text.data, "123456789012345");
	buffer_clear(&text);
	folder_write("a", "1234567890123456");
	assert_false(agent_read_file(folder_fd, "a", &text));
}

TEST(an_empty_file_has_nothing_to_read)
{
	folder_write("a", "");
	assert_false(agent_read_file(folder_fd, "a", &text));
}

TEST(a_file_that_is_not_there_is_told)
{
	assert_refused("a", ERR_NOT_FOUND);
}

TEST(a_link_is_not_followed)
{
	folder_link("/etc/passwd", "a");
	assert_refused("a", ERR_INVALID);
}

TEST(a_link_on_the_way_is_not_gone_through)
{
	folder_link("/etc", "d");
	assert_refused("d/passwd", ERR_INVALID);
}

TEST(nothing_above_the_folder_is_reached)
{
	int fd = -1;
	struct error err = ERROR_INIT;
	assert_int_equal(agent_open_file(folder_fd, "../../etc/passwd", &fd, &err), -1);
}

TEST(a_fifo_is_refused_without_waiting)
{
	assert_int_equal(mkfifoat(folder_fd, "fifo", 0600), 0);
	assert_refused("fifo", ERR_INVALID);
}

TEST(a_folder_is_no_file)
{
	folder_mkdir("d");
	assert_refused("d", ERR_INVALID);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(a_regular_file_is_read_whole),
		IN_FOLDER(a_file_of_just_the_limit_is_read_and_a_longer_one_is_not),
		IN_FOLDER(an_empty_file_has_nothing_to_read),
		IN_FOLDER(a_file_that_is_not_there_is_told),
		IN_FOLDER(a_link_is_not_followed),
		IN_FOLDER(a_link_on_the_way_is_not_gone_through),
		IN_FOLDER(nothing_above_the_folder_is_reached),
		IN_FOLDER(a_fifo_is_refused_without_waiting),
		IN_FOLDER(a_folder_is_no_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
