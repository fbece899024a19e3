#include "executor/config.h"

#include "common/artifacts/artifact_store.h"
#include "common/base/alloc.h"
#include "common/base/ids.h"
#include "common/base/str.h"
#include "common/http/address_guard.h"
#include "common/http/address_url.h"
#include "common/kafka/config.h"
#include "common/model/labels.h"
#include "common/model/prices.h"
#include "executor/sandbox/sandbox.h"

#define DAY_MS 86400000
#define GIB (INT64_C(1) << 30)

#define AT(field) offsetof(struct executor_config, field)

static const char *const opencode_apis[] = {"openai", "anthropic", NULL};

static int check_absolute(const char *value, struct error *err)
{
	return value[0] == '/' ? 0 : error_set(err, ERR_INVALID, "\"%.200s\" is not an absolute path", value);
}

static int check_readable(const char *value, struct error *err)
{
	CLEANUP(strv_free_p) char **paths = strv_split(value, ',');
	if (strv_len(paths) > SANDBOX_MAX_READABLE)
		return error_set(err, ERR_INVALID, "more than %d paths", SANDBOX_MAX_READABLE);
	for (size_t i = 0; paths[i] != NULL; i++) {
		if (check_absolute(paths[i], err) < 0)
			return -1;
	}
	return 0;
}

static int check_sandbox(const char *value, struct error *err)
{
	return sandbox_find(value) != NULL ? 0
									   : error_set(err, ERR_INVALID, "\"%.100s\" is neither `bwrap` nor `none`", value);
}

static int check_worker_id(const char *value, struct error *err)
{
	return uuid_is_valid(value, strlen(value))
			   ? 0
			   : error_set(err, ERR_INVALID, "\"%.100s\" is not a lower-case UUID", value);
}

/* They go into commits and into git's configuration as they are. */
static int check_name(const char *value, struct error *err)
{
	return strpbrk(value, "\"\\\n<>") == NULL
			   ? 0
			   : error_set(err, ERR_INVALID, "no quotes, angle brackets, backslashes or line breaks");
}

static int check_email(const char *value, struct error *err)
{
	return strchr(value, ' ') == NULL ? check_name(value, err) : error_set(err, ERR_INVALID, "no spaces");
}

/* clang-format off */
const struct config_option executor_options[] = {
	KAFKA_CONFIG_OPTION_BY(NULL), /* executor_config_check */
	{"KILN_STATE_DIR", CONFIG_STRING, AT(state_dir), .flags = CONFIG_REQUIRED, .check = check_absolute,
	 .help = "absolute path of this worker's own directory: identity, mirrors, workspaces, results"},
	{"KILN_WORKER_ID", CONFIG_STRING, AT(worker_id), .check = check_worker_id,
	 .help = "UUID of this worker; otherwise made once and kept in the state directory"},
	{"KILN_SLOTS", CONFIG_INT, AT(slots), .fallback = "2", .min = 0, .max = 1000,
	 .help = "builds that may run here at once"},
	{"KILN_LABELS", CONFIG_LIST, AT(labels), .check = labels_check,
	 .help = "what this worker offers to builds that ask for labels, comma-separated"},
	{"KILN_SANDBOX", CONFIG_STRING, AT(sandbox), .fallback = "bwrap", .check = check_sandbox,
	 .help = "how agents are confined: `bwrap`, by bubblewrap, or `none`, not at all: they can do what this user can"},
	{"KILN_BWRAP_PROGRAM", CONFIG_STRING, AT(bwrap_program), .fallback = "/usr/bin/bwrap", .check = check_absolute,
	 .help = "absolute path of bubblewrap"},
	{"KILN_SANDBOX_READABLE", CONFIG_LIST, AT(sandbox_readable), .check = check_readable,
	 .help = "absolute paths that confined agents may read besides /usr, comma-separated: tools that they need"},

	{"KILN_COMMAND_AGENTS_DIR", CONFIG_STRING, AT(command_agents_dir), .check = check_absolute,
	 .help = "directory of the programs that agent provider `command` may run; unset: the provider is not offered"},
	{"KILN_AGENT_PATH", CONFIG_STRING, AT(agent_path), .fallback = "/usr/local/bin:/usr/bin:/bin",
	 .help = "PATH of agents"},
	{"KILN_CLAUDE_CODE_PROGRAM", CONFIG_STRING, AT(claude_code_program), .check = check_absolute,
	 .help = "absolute path of `claude`; unset: the agent provider `claude-code` is not offered"},
	{"KILN_CLAUDE_CODE_KEY_FILE", CONFIG_STRING, AT(claude_code_key_file), .check = check_absolute,
	 .help = "file with the key of Anthropic's API for Claude Code, read at each attempt"},
	{"KILN_CLAUDE_CODE_BASE_URL", CONFIG_STRING, AT(claude_code_base_url),
	 .help = "base URL of the model's API for Claude Code; unset: Anthropic's"},
	{"KILN_CLAUDE_CODE_MODEL", CONFIG_STRING, AT(claude_code_model),
	 .help = "model of builds with Claude Code that name none; unset: Claude Code's own choice"},
	{"KILN_OPENCODE_PROGRAM", CONFIG_STRING, AT(opencode_program), .check = check_absolute,
	 .help = "absolute path of `opencode`; unset: the agent provider `opencode` is not offered"},
	{"KILN_OPENCODE_KEY_FILE", CONFIG_STRING, AT(opencode_key_file), .check = check_absolute,
	 .help = "file with the key of the model's API for OpenCode, read at each attempt"},
	{"KILN_OPENCODE_BASE_URL", CONFIG_STRING, AT(opencode_base_url),
	 .help = "base URL of the model's API for OpenCode, with its version (…/v1)"},
	{"KILN_OPENCODE_API", CONFIG_ENUM, AT(opencode_api), .fallback = "openai", .choices = opencode_apis,
	 .help = "protocol of that API"},
	{"KILN_OPENCODE_MODEL", CONFIG_STRING, AT(opencode_model),
	 .help = "model of builds with OpenCode that name none"},
	{"KILN_MODEL_RETRIES", CONFIG_INT, AT(model_retries), .fallback = "4", .min = 0, .max = 100,
	 .help = "how often an agent that can be told so (Claude Code) repeats a failed call of the model's API"},
	{"KILN_MODEL_PRICES", CONFIG_STRING, AT(model_prices), .check = model_prices_check,
	 .help = "JSON: model names (a * at the end stands for any ending), each with USD per million tokens: "
			 "{\"NAME\": {\"input\": 3, \"output\": 15, \"cache_read\": 0.3, \"cache_write\": 3.75}}"},
	{"KILN_MODEL_IDLE_TIMEOUT_MS", CONFIG_INT, AT(model_idle_timeout_ms), .fallback = "600000", .min = 1000,
	 .max = DAY_MS, .help = "milliseconds for which the model's API may say nothing in the middle of a call"},
	{"KILN_MODEL_SERVER_TOOLS", CONFIG_BOOL, AT(model_server_tools), .fallback = "false",
	 .help = "whether agents may use what makes their vendor reach other servers: its search, fetch and code tools, MCP "
			 "servers, images and documents by URL"},
	{"KILN_NETWORK_ALLOW", CONFIG_STRING, AT(network_allow), .check = address_guard_check,
	 .help = "private addresses that a project's network.allow may open to agents: CIDRs, addresses or host names, each "
			 "with :port if wanted, comma-separated"},
	{"KILN_NETWORK_IDLE_TIMEOUT_MS", CONFIG_INT, AT(network_idle_timeout_ms), .fallback = "300000", .min = 1000,
	 .max = DAY_MS, .help = "milliseconds for which a connection that network.allow has opened may stand without a byte"},
	{"KILN_AGENT_OUTPUT_LIMIT", CONFIG_INT, AT(agent_output_limit_bytes), .fallback = "67108864", .min = 1024,
	 .max = 64 * GIB, .help = "bytes that an agent may print before its build ends with output_limit"},
	{"KILN_SESSIONS_BYTES", CONFIG_INT, AT(sessions_bytes), .fallback = "268435456", .min = 0, .max = INT64_C(1) << 50,
	 .help = "sessions of ended agents that are kept for builds which continue theirs; the oldest go, 0 keeps none"},
	{"KILN_AGENT_NO_PROGRESS_S", CONFIG_INT, AT(agent_no_progress_s), .fallback = "1800", .min = 0, .max = 31536000,
	 .help = "seconds for which an agent may print nothing and have nothing to do with its model before its build ends "
			 "with no_progress; 0: for ever"},
	{"KILN_AGENT_MAX_FILE_BYTES", CONFIG_INT, AT(agent_max_file_bytes), .fallback = "4294967296", .min = 1024,
	 .max = 1024 * GIB, .help = "largest file in bytes that an agent's process may write"},
	{"KILN_AGENT_MAX_PROCESSES", CONFIG_INT, AT(agent_max_processes), .fallback = "4096", .min = 16, .max = 4194304,
	 .help = "processes and threads that an agent may have (without a sandbox: that the executor's user may have while "
			 "an agent starts another)"},
	{"KILN_AGENT_MEMORY_BYTES", CONFIG_INT, AT(agent_memory_bytes), .fallback = "4294967296", .min = 16777216,
	 .max = GIB * 64 * 1024, .help = "memory in bytes that a confined agent's processes may have together"},
	{"KILN_AGENT_DISK_BYTES", CONFIG_INT, AT(agent_disk_bytes), .fallback = "17179869184", .min = 1048576,
	 .max = GIB * 1024 * 1024,
	 .help = "bytes that a confined agent's workspace, HOME and /tmp may take together; a repository with more is "
			 "rejected"},
	{"KILN_AGENT_MAX_FILES", CONFIG_INT, AT(agent_max_files), .fallback = "500000", .min = 100, .max = 1000000000,
	 .help = "files and folders that a confined agent's workspace, HOME and /tmp may have together; a repository with "
			 "more is rejected"},
	{"KILN_AGENT_CPU_S", CONFIG_INT, AT(agent_cpu_s), .fallback = "14400", .min = 1, .max = 31536000,
	 .help = "seconds of processor time that a confined agent's processes may use together"},

	{"KILN_CREDENTIALS_DIR", CONFIG_STRING, AT(credentials_dir), .check = check_absolute,
	 .help = "directory of NAME.json files with git credentials, read at each use"},
	{"KILN_GIT_BASE_URL", CONFIG_STRING, AT(git_base_url), .check = url_check_git_base,
	 .help = "base of the repositories that the first push may make"},
	{"KILN_GIT_ALLOW", CONFIG_STRING, AT(git_allow), .check = address_guard_check,
	 .help = "private addresses and plain-http hosts that git may speak to: CIDRs or host names, comma-separated"},
	{"KILN_MIRRORS_BYTES", CONFIG_INT, AT(mirrors_bytes), .fallback = "0", .min = 0, .max = INT64_C(1) << 60,
	 .help = "bytes that the copies of remote repositories, from which builds start, may have together; what was used "
			 "longest ago goes; 0: half of the state directory's file system"},
	{"KILN_RETENTION_MIRRORS_DAYS", CONFIG_INT, AT(mirrors_days), .fallback = "14", .min = 0, .max = 36500,
	 .help = "days after which such a copy goes when no build has used it; 0: never"},
	{"KILN_COMMITTER_NAME", CONFIG_STRING, AT(committer_name), .fallback = "Kiln", .check = check_name,
	 .help = "name on the commits that Kiln makes"},
	{"KILN_COMMITTER_EMAIL", CONFIG_STRING, AT(committer_email), .fallback = "kiln@localhost", .check = check_email,
	 .help = "e-mail address on the commits that Kiln makes"},
	{"KILN_ARTIFACTS_DIR", CONFIG_STRING, AT(artifacts_dir), .check = check_absolute,
	 .help = "directory of the artifact store, which executors and gateways share; unset: artifacts are not kept"},
	{"KILN_ARTIFACTS_MAX_FILES", CONFIG_INT, AT(artifacts_max_files), .fallback = "100", .min = 1, .max = 1000,
	 .help = "artifacts that a build may have; of more files, the first in the order of their paths are kept"},
	{"KILN_ARTIFACTS_MAX_FILE_BYTES", CONFIG_INT, AT(artifacts_max_file_bytes), .fallback = "268435456", .min = 1,
	 .max = 1024 * GIB, .help = "largest artifact in bytes; a larger one is left out"},
	{"KILN_ARTIFACTS_MAX_BYTES", CONFIG_INT, AT(artifacts_max_bytes), .fallback = "1073741824", .min = 1,
	 .max = 1024 * GIB, .help = "bytes that a build's artifacts may have together; what does not fit is left out"},
	{"KILN_ARTIFACTS_TIMEOUT_MS", CONFIG_INT, AT(artifacts_timeout_ms), .fallback = "60000", .min = 100, .max = DAY_MS,
	 .help = "milliseconds for finding and copying a build's artifacts; what is not done by then is left out, also when the "
			 "store hangs"},
	{"KILN_RETENTION_ARTIFACTS_DAYS", CONFIG_INT, AT(artifacts_days), .fallback = "30", .min = 0, .max = 36500,
	 .help = "days for which artifacts are kept; 0: for ever"},

	{"KILN_HEARTBEAT_MS", CONFIG_INT, AT(heartbeat_ms), .fallback = "5000", .min = 100, .max = 10000,
	 .help = "milliseconds between heartbeats"},
	{"KILN_LEASE_DEAD_MAN_MS", CONFIG_INT, AT(dead_man_ms), .fallback = "20000", .min = 500, .max = 25000,
	 .help = "milliseconds after the creation of the last acknowledged heartbeat at which all agents are killed"},
	{"KILN_RESEND_MS", CONFIG_INT, AT(resend_ms), .fallback = "5000", .min = 100, .max = 600000,
	 .help = "milliseconds after which a result that was not released is sent again (doubled each time, to a minute)"},
	{"KILN_KILL_GRACE_MS", CONFIG_INT, AT(kill_grace_ms), .fallback = "5000", .min = 0, .max = 60000,
	 .help = "milliseconds between SIGTERM and SIGKILL for an agent that is cancelled or out of time"},
	{"KILN_GIT_TIMEOUT_MS", CONFIG_INT, AT(git_timeout_ms), .fallback = "600000", .min = 1000, .max = DAY_MS,
	 .help = "milliseconds that one fetch or push may take"},
	{"KILN_PREPARE_TIMEOUT_MS", CONFIG_INT, AT(prepare_timeout_ms), .fallback = "3600000", .min = 1000, .max = DAY_MS,
	 .help = "milliseconds from the beginning of an attempt to its agent's: the remote, other builds' fetches, the "
			 "checkout; more than the several KILN_GIT_TIMEOUT_MS that it may have to wait"},
	{"KILN_COMMIT_TIMEOUT_MS", CONFIG_INT, AT(commit_timeout_ms), .fallback = "600000", .min = 1000, .max = DAY_MS,
	 .help = "milliseconds for making the commit of what an agent left, once its artifacts are kept"},
	{"KILN_PUBLISH_TIMEOUT_MS", CONFIG_INT, AT(publish_timeout_ms), .fallback = "300000", .min = 1000, .max = DAY_MS,
	 .help = "milliseconds for publishing, with all its repetitions; a rebase on the way may take as many of its own"},
};
/* clang-format on */
const size_t executor_options_len = ARRAY_LEN(executor_options);

/* One line more, as config_load's. */
static void add_if(bool broken, const char *rule, struct error *err)
{
	size_t used = strlen(err->message);
	if (!broken)
		return;
	(void)snprintf(err->message + used, sizeof(err->message) - used, "%s%s", used > 0 ? "\n" : "", rule); /* all fit */
	err->kind = ERR_INVALID;
}

/* `value` NULL: it is not set. */
static void add_wrong(const char *name, const char *value, int (*check)(const char *value, struct error *err),
					  struct error *err)
{
	struct error wrong = ERROR_INIT;
	if (value == NULL || check(value, &wrong) == 0)
		return;
	CLEANUP(free_p) char *rule = xasprintf("%s: %s", name, wrong.message);
	add_if(true, rule, err);
}

int executor_config_check(const struct executor_config *config, struct error *err)
{
	struct error all = ERROR_INIT;
	bool claude = config->claude_code_program != NULL, opencode = config->opencode_program != NULL;
	add_if(config->dead_man_ms <= config->heartbeat_ms, "KILN_LEASE_DEAD_MAN_MS must be more than KILN_HEARTBEAT_MS",
		   &all);
	/* An agent provider that is switched on by its program has all that it needs. */
	add_if(claude && config->claude_code_key_file == NULL, "KILN_CLAUDE_CODE_PROGRAM needs KILN_CLAUDE_CODE_KEY_FILE",
		   &all);
	add_if(opencode && config->opencode_key_file == NULL, "KILN_OPENCODE_PROGRAM needs KILN_OPENCODE_KEY_FILE", &all);
	add_if(opencode && config->opencode_base_url == NULL, "KILN_OPENCODE_PROGRAM needs KILN_OPENCODE_BASE_URL", &all);
	/* Looked at by the daemon alone: its children load these settings too, and a store that hangs is not to hold them. */
	add_wrong("KILN_KAFKA_CONFIG", config->common.kafka_config, kafka_properties_check, &all);
	add_wrong("KILN_ARTIFACTS_DIR", config->artifacts_dir, artifact_directory_check, &all);
	if (all.kind == ERR_NONE)
		return 0;
	*err = all;
	return -1;
}
