/* `kiln-executor run-attempt`: the child process of one attempt. Its standard input is the socket to the daemon; it
 * waits there for its assignment (a spare child may wait for long), works on it, sends its RESULT and exits. The parts
 * of it are for the nursery, which forks such children when it has prepared itself. */
#pragma once

#include "common/base/compiler.h"
#include "common/http/address_guard.h"
#include "common/model/prices.h"
#include "executor/config.h"

/* What is the same in all of them; lives as long as the process. */
struct run_attempt {
	struct executor_config config;
	struct address_guard *guard, *network_guard;
	struct model_prices *prices;
};

/* `agent_versions`: what the daemon has found (agents/offers.h). Returns the exit status. */
int run_attempt_main(const char *agent_versions);

/* Reads the settings and does what can be done before there is an attempt; makes no thread. -1: it has said why. */
int run_attempt_prepare(struct run_attempt *ret_common) MUST_CHECK;
/* The socket that standard input is. From then on that is /dev/null, so that nothing that is started later meets it. */
int run_attempt_take_socket(void);
/* The attempt that comes through the socket. */
NORETURN void run_attempt_run(const struct run_attempt *common, const char *agent_versions, int socket_fd);
