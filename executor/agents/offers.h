/* Which agents this worker has, in which versions: found once at the daemon's start, said in hello and heartbeats, and
 * handed to each attempt's child. */
#pragma once

#include <stdbool.h>

#include "common/json/json.h"
#include "executor/config.h"

#define AGENT_OFFERS_MAX 16

struct code_agent;

struct agent_offers {
	const struct code_agent *agents[AGENT_OFFERS_MAX];
	size_t len;
	char *versions; /* "claude-code=2.1.332,opencode=1.18.33" */
};

/* Asks each program that is configured for its version (`--version`, at most a minute each). One that does not answer
 * is not offered, and the log says why. */
void agent_offers_find(const struct executor_config *config, struct agent_offers *ret_offers);
void agent_offers_release(struct agent_offers *offers);
/* Writes `agents` and `agent_versions` into the open object. */
void agent_offers_write(struct json_writer *w, const struct agent_offers *offers);
/* A provider's part of `versions`, to be freed; NULL when it has none. */
char *agent_offers_version(const char *versions, const char *provider);

/* The version in the first line of what `--version` prints: its first word that begins with a digit. NULL when there is
 * none of reasonable form; to be freed. */
char *agent_version_parse(const char *output);
