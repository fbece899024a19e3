#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include <sys/socket.h>
#include <unistd.h>

#include "executor/attempt/attempt.h"

#define PATIENCE_S 30 /* what hangs ends with the test */

/* An attempt whose agent has left two files, and a store that does not answer. */
static bool cancels; /* the build, when something is put */
static int ends[2];  /* the attempt's and the daemon's */
static struct daemon_link daemon_end;
static struct executor_config config;
static struct attempt attempt;
static cJSON *globs;

static int put_and_hang(struct artifact_store *store UNUSED, int source_fd UNUSED,
						const struct artifact_limits *limits UNUSED, struct artifact_content *ret UNUSED,
						struct error *err UNUSED)
{
	struct buffer frame;
	buffer_init(&frame, 64);
	CHECK(frame_append(&frame, FRAME_CANCEL, 0, "", 0) == 0);
	CHECK(!cancels || send(ends[1], frame.data, frame.len, 0) == (ssize_t)frame.len);
	while (pause() < 0) { /* until it is killed */
	}
	return 0;
}

static void keep_nothing(struct artifact_store *store UNUSED)
{
}

static struct artifact_store hanging = {.put = put_and_hang, .free = keep_nothing};

int __wrap_artifact_directory_new(const char *path, struct artifact_store **ret_store, struct error *err);
int __wrap_artifact_directory_new(const char *path UNUSED, struct artifact_store **ret_store, struct error *err UNUSED)
{
	*ret_store = &hanging;
	return 0;
}

static int begin(void **state)
{
	static char dir[] = "/nowhere";
	if (folder_make(state) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	folder_write("one.txt", "1");
	folder_write("two.txt", "2");
	cancels = false;
	globs = cJSON_Parse("[\"*.txt\"]");
	config = (struct executor_config){.artifacts_dir = dir,
									  .artifacts_max_files = 10,
									  .artifacts_max_file_bytes = 100,
									  .artifacts_max_bytes = 100,
									  .publish_timeout_ms = INT64_C(1000) * PATIENCE_S,
									  .agent_memory_bytes = INT64_C(256) * 1024 * 1024};
	attempt = (struct attempt){
		.config = &config,
		.link = &daemon_end,
		.assignment = {.artifacts = globs,
					   .token = {.build_id = "019363b1-aaaa-7000-8000-000000000001",
								 .lease_id = "11111111-1111-4111-8111-111111111111",
								 .attempt = 1}},
		.workspace.files = folder,
	};
	outcome_init(&attempt.outcome);
	daemon_link_init(&daemon_end, ends[0]);
	attempt_log_init(&attempt.log, &daemon_end, &attempt.assignment.token);
	(void)alarm(PATIENCE_S); /* none was set */
	return 0;
}

static int end(void **state)
{
	(void)alarm(0); /* it has not come */
	attempt_log_release(&attempt.log);
	outcome_release(&attempt.outcome);
	daemon_link_release(&daemon_end);
	cJSON_Delete(globs);
	return close(ends[0]) | close(ends[1]) | folder_remove(state);
}

TEST(a_store_that_hangs_costs_the_artifacts_their_time_and_the_build_nothing)
{
	config.artifacts_timeout_ms = 50;
	attempt_keep_artifacts(&attempt);
	assert_true(attempt.outcome.completed);
	assert_int_equal(attempt.outcome.artifacts.items_len, 0);
	assert_int_equal(attempt.outcome.artifacts.left_out_named, 2);
	const struct buffer *left_out = &attempt.outcome.artifacts.left_out;
	const char *one = memmem(left_out->data, left_out->len, "\"one.txt\",\"reason\":\"timeout\"", 28);
	const char *two = memmem(left_out->data, left_out->len, "\"two.txt\",\"reason\":\"timeout\"", 28);
	assert_true(one != NULL && two != NULL);
}

TEST(a_cancel_ends_it_at_once)
{
	config.artifacts_timeout_ms = INT64_C(1000) * PATIENCE_S;
	cancels = true;
	attempt_keep_artifacts(&attempt);
	assert_true(daemon_end.cancelled);
	assert_int_equal(attempt.outcome.artifacts.left_out_total, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_store_that_hangs_costs_the_artifacts_their_time_and_the_build_nothing, begin,
										end),
		cmocka_unit_test_setup_teardown(a_cancel_ends_it_at_once, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
