#include "executor/attempt/agent_model.h"

#include <string.h>

#include "common/base/alloc.h"
#include "executor/proxy/key.h"

#define SOCKET_NAME "model.sock" /* beside what the agent sees of its workspace, not in it */

static double budget_of(const struct attempt *attempt)
{
	const cJSON *budget = json_get(attempt->assignment.agent, "budget_usd");
	return cJSON_IsNumber(budget) ? budget->valuedouble : 0;
}

/* The key is read at each call; one that is missing is better known before anything is fetched. */
static int look_at_key(struct attempt *attempt, const char *path, struct error *err)
{
	CLEANUP(model_key_free_p) char *key = NULL;
	if (model_key_read(path, &key, err) < 0)
		return -1;
	secrets_add(&attempt->log.secrets, key);
	return 0;
}

static int make_proxy(struct attempt *attempt, const struct code_agent *agent)
{
	const cJSON *spec = attempt->assignment.agent;
	struct error err = ERROR_INIT;
	struct model_proxy_options options = {
		.limits = {.max_turns = json_get_int(spec, "max_turns", 0),
				   .max_tokens = json_get_int(spec, "max_tokens", 0),
				   .budget_usd = budget_of(attempt)},
		.prices = attempt->prices,
		.idle_ms = attempt->config->model_idle_timeout_ms,
		.server_tools = attempt->config->model_server_tools,
		.rules = attempt->assignment.network,
		.guard = attempt->network_guard,
		.tunnel_idle_ms = attempt->config->network_idle_timeout_ms,
	};
	if (agent->model_api != NULL)
		agent->model_api(attempt->config, &options.api);
	if (attempt->sandbox->confines)
		attempt->model_socket = xasprintf("%s/" SOCKET_NAME, attempt->workspace.root);
	options.socket_path = attempt->model_socket;
	/* As what the proxy answers to a call then: the file may be about to be replaced, or another worker's be well. */
	if (options.api.base_url != NULL && look_at_key(attempt, options.api.key_file, &err) < 0)
		return outcome_fail(&attempt->outcome, "model_unavailable", true, "%s", err.message);
	if (model_proxy_new(&options, &attempt->model_proxy, &err) < 0)
		return outcome_fail(&attempt->outcome, "internal", true, "%s", err.message);
	secrets_add(&attempt->log.secrets, model_proxy_token(attempt->model_proxy));
	secrets_add(&attempt->log.secrets, model_proxy_basic(attempt->model_proxy));
	return 0;
}

int attempt_open_proxy(struct attempt *attempt, const struct code_agent *agent, char **ret_model_url,
					   char **ret_network_proxy)
{
	bool has_network = network_rules_len(attempt->assignment.network) > 0;
	if (agent->model_api == NULL && !has_network)
		return 0;
	if (attempt->model_proxy == NULL && make_proxy(attempt, agent) < 0)
		return -1;
	CLEANUP(free_p)
	char *address = attempt->sandbox->confines ? xstrdup(SANDBOX_MODEL_ADDRESS)
											   : xasprintf("127.0.0.1:%d", model_proxy_port(attempt->model_proxy));
	if (agent->model_api != NULL)
		*ret_model_url = xasprintf("http://%s", address);
	if (has_network)
		*ret_network_proxy =
			xasprintf("http://" MODEL_PROXY_USER ":%s@%s", model_proxy_token(attempt->model_proxy), address);
	return 0;
}

int attempt_check_model(struct attempt *attempt, const char *model)
{
	if (budget_of(attempt) > 0 && model != NULL && model_prices_find(attempt->prices, model) == NULL)
		return outcome_fail(&attempt->outcome, model_verdict_class(MODEL_UNPRICED), false,
							"budget_usd cannot be kept: this worker has no price of model \"%.80s\" "
							"(KILN_MODEL_PRICES)",
							model);
	return 0;
}

int64_t agent_model_take(struct model_proxy *proxy, struct attempt_log *log, struct agent_report *report)
{
	CLEANUP(buffer_release_p) struct buffer lines;
	CLEANUP(model_key_free_p) char *key = NULL;
	buffer_init(&lines, MODEL_PROXY_LINES_BYTES);
	model_proxy_take(proxy, &lines, &key);
	secrets_add(&log->secrets, key);
	for (size_t at = 0; at < lines.len;) {
		size_t len = strcspn(lines.data + at, "\n");
		attempt_log_kiln(log, "%.*s", (int)len, lines.data + at);
		at += len + 1;
	}
	struct model_meter meter = model_proxy_meter(proxy);
	if (meter.verdict != MODEL_WITHIN && !report->hopeless) {
		report->hopeless = true;
		agent_report_fail(report, model_verdict_class(meter.verdict), false, "%s", meter.why);
	}
	return (int64_t)lines.len;
}

void agent_model_count(struct model_proxy *proxy, struct agent_report *report)
{
	struct model_meter meter = model_proxy_meter(proxy);
	const struct model_usage *usage = &meter.usage;
	report->turns = meter.turns;
	report->tokens_input = usage->input + usage->cache_write + usage->cache_write_1h;
	report->tokens_output = usage->output;
	report->tokens_cached = usage->cache_read;
	report->cost_usd = meter.unpriced ? -1 : meter.cost_usd;
}
