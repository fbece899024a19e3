#include "executor/agents/offers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/process.h"
#include "common/base/str.h"
#include "executor/agents/agent.h"
#include "executor/remove_tree.h"

#define ANSWER_MS 60000
#define ANSWER_BYTES ((size_t)64 * 1024)
#define VERSION_MAX_BYTES 64
#define HOME "probe" /* of the programs that are asked: some write there before they say a word */

char *agent_version_parse(const char *output)
{
	static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-+_";
	size_t line = strcspn(output, "\r\n");
	for (size_t at = 0; at < line; at++) {
		if ((at > 0 && output[at - 1] != ' ') || output[at] < '0' || output[at] > '9')
			continue;
		size_t len = strspn(output + at, allowed);
		return len <= VERSION_MAX_BYTES ? xstrndup(output + at, len) : NULL;
	}
	return NULL;
}

/* An empty HOME for one question. */
static int with_home(const char *state_dir, const char *program, const char *agent_path, struct buffer *out,
					 int *ret_status, struct error *err)
{
	CLEANUP(free_p) char *home = xasprintf("%s/" HOME, state_dir);
	if (remove_tree(AT_FDCWD, home, clock_boot_ms() + ANSWER_MS, err) < 0)
		return -1;
	if (mkdir(home, 0700) < 0)
		return error_set_errno(err, errno, "%s", home);
	CLEANUP(free_p) char *home_entry = xasprintf("HOME=%s", home);
	CLEANUP(free_p) char *tmp_entry = xasprintf("TMPDIR=%s", home);
	CLEANUP(free_p) char *path_entry = xasprintf("PATH=%s", agent_path);
	const char *argv[] = {program, "--version", NULL};
	const char *envp[] = {
		path_entry, home_entry, tmp_entry, "LANG=C.UTF-8", "DISABLE_AUTOUPDATER=1", "OPENCODE_DISABLE_AUTOUPDATE=1",
		NULL};
	struct process_options options = {
		.argv = argv, .envp = envp, .cwd = home, .new_session = true, .die_with_parent = true};
	CLEANUP(buffer_release_p) struct buffer errors;
	buffer_init(&errors, ANSWER_BYTES);
	int rc = process_run(&options, NULL, 0, clock_boot_ms() + ANSWER_MS, out, &errors, ret_status, err);
	struct error problem = ERROR_INIT;
	if (remove_tree(AT_FDCWD, home, clock_boot_ms() + ANSWER_MS, &problem) < 0) /* the next start tries again */
		log_warn("the home of a version probe stays", "error", problem.message, NULL);
	return rc;
}

static int ask_version(const struct executor_config *config, const char *program, char **ret_version, struct error *err)
{
	CLEANUP(buffer_release_p) struct buffer out;
	buffer_init(&out, ANSWER_BYTES);
	int status = 0;
	if (with_home(config->state_dir, program, config->agent_path, &out, &status, err) < 0)
		return -1;
	char ending[64];
	agent_ending(status, ending, sizeof(ending));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(err, ERR_UNAVAILABLE, "--version %s", ending);
	char *version = agent_version_parse(out.data);
	if (version == NULL)
		return error_set(err, ERR_INVALID, "--version named no version");
	*ret_version = version;
	return 0;
}

void agent_offers_find(const struct executor_config *config, struct agent_offers *ret_offers)
{
	struct buffer versions;
	buffer_init(&versions, (size_t)AGENT_OFFERS_MAX * 256);
	*ret_offers = (struct agent_offers){.len = 0};
	for (size_t i = 0; code_agents[i] != NULL; i++) {
		const struct code_agent *agent = code_agents[i];
		CLEANUP(free_p) char *version = NULL;
		struct error err = ERROR_INIT;
		if (!agent->configured(config))
			continue;
		if (agent->versioned != NULL && ask_version(config, agent->versioned(config), &version, &err) < 0) {
			log_error("agent is not offered: its program does not answer", "provider", agent->name, "program",
					  agent->versioned(config), "error", err.message, NULL);
			continue;
		}
		CHECK(ret_offers->len < AGENT_OFFERS_MAX);
		ret_offers->agents[ret_offers->len++] = agent;
		if (version != NULL)
			(void)buffer_appendf(&versions, "%s%s=%s", versions.len > 0 ? "," : "", agent->name, version); /* fits */
		log_info("agent is offered", "provider", agent->name, "version", version != NULL ? version : "none", NULL);
	}
	CHECK(buffer_ok(&versions));
	ret_offers->versions = buffer_detach(&versions, &(size_t){0});
}

void agent_offers_release(struct agent_offers *offers)
{
	free(offers->versions);
	*offers = (struct agent_offers){.len = 0};
}

char *agent_offers_version(const char *versions, const char *provider)
{
	size_t len = strlen(provider);
	for (const char *at = versions; at != NULL && *at != '\0';) {
		size_t entry = strcspn(at, ",");
		if (entry > len && at[len] == '=' && strncmp(at, provider, len) == 0)
			return xstrndup(at + len + 1, entry - len - 1);
		at += entry + (at[entry] == ',');
	}
	return NULL;
}

void agent_offers_write(struct json_writer *w, const struct agent_offers *offers)
{
	json_array_begin(w, "agents");
	for (size_t i = 0; i < offers->len; i++)
		json_string(w, NULL, offers->agents[i]->name);
	json_array_end(w);
	json_object_begin(w, "agent_versions");
	for (size_t i = 0; i < offers->len; i++) {
		CLEANUP(free_p) char *version = agent_offers_version(offers->versions, offers->agents[i]->name);
		json_string(w, offers->agents[i]->name, version);
	}
	json_object_end(w);
}
