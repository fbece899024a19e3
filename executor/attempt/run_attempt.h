/* `kiln-executor run-attempt`: the child process of one attempt. Its standard input is the socket to the daemon; it
 * waits there for its assignment (a spare child may wait for long), works on it, sends its RESULT and exits. */
#pragma once

/* `agent_versions`: what the daemon has found (agents/offers.h). Returns the exit status. */
int run_attempt_main(const char *agent_versions);
