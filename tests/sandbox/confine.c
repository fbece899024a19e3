/*
 * One agent in a sandbox, without Kafka and git: what attempt.c does with agent_run, for tests and benchmarks.
 *
 *   kiln-test-confine LEASE_ID PROGRAM [ARGUMENT…]     settings from the executor's environment variables
 * (KILN_SANDBOX, …)
 *
 * The workspace is STATE/work/LEASE_ID/{files,home,tmp}, made when it is not there; standard input is the prompt;
 * KILN_TEST_OBJECTS and KILN_TEST_MODEL_SOCKET are bound in when they are set. Prints one JSON object: how it ended,
 * whether it succeeded, why not, and what it printed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/json/json.h"
#include "executor/attempt/agent_run.h"

#define TIMEOUT_MS 60000
#define MAX_TEXT_BYTES ((size_t)4 * 1024 * 1024)
#define PROMPT_MAX_BYTES 65536

static const char *const ends[] = {[AGENT_EXITED] = "exited",
								   [AGENT_TIMED_OUT] = "timed_out",
								   [AGENT_MADE_NO_PROGRESS] = "made_no_progress",
								   [AGENT_PRINTED_TOO_MUCH] = "printed_too_much",
								   [AGENT_CANCELLED] = "cancelled",
								   [AGENT_STOPPED] = "stopped"};

static NORETURN void give_up(const char *message)
{
	(void)fprintf(stderr, "kiln-test-confine: %s\n", message);
	exit(3);
}

static char *make_folder(const char *root, const char *name)
{
	char *path = xasprintf("%s/%s", root, name);
	(void)mkdir(path, 0700); /* EEXIST: the test has filled it */
	return path;
}

static void print_result(const struct agent_report *report, const char *end, const struct output_tail *output)
{
	CLEANUP(buffer_release_p) struct buffer said, text;
	buffer_init(&said, MAX_TEXT_BYTES);
	buffer_init(&text, MAX_TEXT_BYTES);
	output_tail_text(output, &said);
	struct json_writer w;
	json_writer_init(&w, &text);
	json_object_begin(&w, NULL);
	json_string(&w, "end", end);
	json_bool(&w, "success", report->success);
	json_string(&w, "error_class", report->error_class);
	json_string(&w, "message", report->message);
	json_string(&w, "output", said.data);
	json_object_end(&w);
	(void)puts(text.data); /* the test sees what is missing */
	(void)fflush(stdout);  /* as above */
}

int main(int argc, char **argv)
{
	static struct executor_config config;
	static char prompt[PROMPT_MAX_BYTES];
	struct error err = ERROR_INIT;
	if (argc < 3)
		give_up("LEASE_ID PROGRAM [ARGUMENT…]");
	if (config_load(executor_options, executor_options_len, &config, &err) < 0 ||
		executor_config_check(&config, &err) < 0)
		give_up(err.message);
	log_init("kiln-test-confine", (enum log_level)config.common.log_level, (enum log_format)config.common.log_format);
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	size_t len = fread(prompt, 1, sizeof(prompt) - 1, stdin);
	prompt[len] = '\0';

	CLEANUP(free_p) char *work = make_folder(config.state_dir, "work");
	CLEANUP(free_p) char *root = make_folder(work, argv[1]);
	CLEANUP(free_p) char *files = make_folder(root, "files");
	CLEANUP(free_p) char *home = make_folder(root, "home");
	CLEANUP(free_p) char *tmp = make_folder(root, "tmp");
	const struct sandbox *sandbox = sandbox_find(config.sandbox);
	const struct sandbox_spec spec = {.config = &config,
									  .lease_id = argv[1],
									  .files = files,
									  .home = home,
									  .tmp = tmp,
									  .objects = getenv("KILN_TEST_OBJECTS"),
									  .model_socket = getenv("KILN_TEST_MODEL_SOCKET")};
	const struct sandbox_view view = sandbox->view(&spec);
	struct fencing_token token = {.attempt = 1};
	(void)snprintf(token.build_id, sizeof(token.build_id), "%s", argv[1]);
	(void)snprintf(token.lease_id, sizeof(token.lease_id), "%s", argv[1]);
	const struct agent_task task = {.config = &config,
									.token = &token,
									.project = "demo",
									.branch = "main",
									.files = view.files,
									.home = view.home,
									.tmp = view.tmp};
	struct agent_program program = {.argv_len = 0};
	for (int i = 2; i < argc; i++)
		agent_program_arg_copy(&program, argv[i]);
	agent_program_environment(&program, &task);

	int link_ends[2];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link_ends) == 0);
	struct daemon_link link;
	daemon_link_init(&link, link_ends[0]);
	struct attempt_log log;
	attempt_log_init(&log, &link, &token);
	log.quiet = true;
	struct agent_report report;
	agent_report_init(&report);
	struct output_tail output = {.len = 0};
	const char *timeout = getenv("KILN_TEST_TIMEOUT_MS");
	const struct agent_run run = {.config = &config,
								  .agent = &code_agent_command,
								  .program = &program,
								  .prompt = prompt,
								  .sandbox = sandbox,
								  .sandbox_spec = &spec,
								  .lock_fd = link_ends[1], /* any that stays open */
								  .timeout_ms = timeout != NULL ? strtoll(timeout, NULL, 10) : TIMEOUT_MS,
								  .log = &log,
								  .link = &link,
								  .output = &output,
								  .report = &report};
	enum agent_end end = AGENT_EXITED;
	sandbox->warm_up(&config);
	int64_t started_us = clock_boot_us();
	if (agent_run(&run, &end, &err) < 0) {
		agent_report_fail(&report, err.kind == ERR_UNAVAILABLE ? "sandbox_unavailable" : NULL, false, "%s",
						  err.message);
		print_result(&report, "not_started", &output);
		_exit(0);
	}
	if (getenv("KILN_TEST_TIMES") != NULL)
		(void)fprintf(stderr, "%lld\n", (long long)started_us); /* the benchmark's */
	print_result(&report, ends[end], &output);
	_exit(0); /* and the memory with it, as in run_attempt.c */
}
