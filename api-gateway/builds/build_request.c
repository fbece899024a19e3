#include "api-gateway/builds/build_request.h"

#include "api-gateway/requests/audit.h"
#include "api-gateway/requests/request.h"
#include "api-gateway/builds/template_render.h"
#include "common/artifacts/glob.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/str.h"
#include "common/http/address_url.h"
#include "common/model/git_url.h"
#include "common/model/prices.h"
#include "common/model/project.h"

#define PROMPT_MAX_BYTES 1048576
#define LABELS_MAX 32
#define DEFAULT_PRIORITY 5
#define DEFAULT_TIMEOUT_S 3600
#define DEFAULT_QUEUE_TIMEOUT_S 86400
#define DEFAULT_MAX_ATTEMPTS 3
#define POINTER_MAX 160

/* The JSON Pointer of a field of the spec. Most are made for nothing, hence without printf. */
static const char *pointer_to(const struct build_request *build, const char *field, char ret[POINTER_MAX])
{
	size_t before = strnlen(build->pointer, 32), len = strnlen(field, 120);
	memcpy(ret, build->pointer, before);
	ret[before] = '/';
	memcpy(ret + before + 1, field, len);
	ret[before + 1 + len] = '\0';
	return ret;
}

static bool is_wrong(const struct build_request *build, const char *field, const struct schema_problems *problems)
{
	char pointer[POINTER_MAX];
	return schema_problems_have(problems, pointer_to(build, field, pointer));
}

/* Adds a problem of a field of the spec, unless the schema has said what is wrong with it. */
static void complain(const struct build_request *build, const char *field, const char *code, const char *detail,
					 struct schema_problems *problems)
{
	char pointer[POINTER_MAX];
	if (!schema_problems_have(problems, pointer_to(build, field, pointer)))
		schema_problem_add(problems, pointer, code, "%s", detail);
}

const char *build_request_template(const struct spec *spec)
{
	const char *reference = spec_text(spec, SPEC_TEMPLATE);
	if (reference == NULL)
		return NULL;
	size_t len = strlen(reference);
	return str_is_name(reference, len) || template_is_version(reference, len) ? reference : NULL;
}

void agent_check(const cJSON *agent, const char *pointer, struct schema_problems *problems)
{
	const char *provider = json_get_string(agent, "provider"), *command = json_get_string(agent, "command");
	bool is_command = str_equal(provider, "command");
	if (provider == NULL || is_command == (command != NULL))
		return;
	char at[POINTER_MAX];
	(void)snprintf(at, sizeof(at), "%.100s/provider", pointer);
	if (schema_problems_have(problems, at))
		return; /* it may have been meant to be "command" */
	(void)snprintf(at, sizeof(at), "%.100s/command", pointer);
	if (!is_command)
		schema_problem_put(problems, at, "unknown_field", "only the provider \"command\" takes a command");
	else if (!schema_problems_have(problems, at))
		schema_problem_add(problems, at, "required", "the provider \"command\" needs the name of a command");
}

static void check_callback(const struct build_request *build, struct schema_problems *problems)
{
	const char *url = spec_text(&build->spec, SPEC_CALLBACK_URL);
	char pointer[POINTER_MAX];
	struct error err = ERROR_INIT;
	if (url == NULL || strlen(url) > URL_MAX_LEN ||
		address_guard_check_url(build->gateway->webhook_guard, url, "http,https", &err) == 0)
		return;
	schema_problem_put(problems, pointer_to(build, "callback_url", pointer),
					   err.kind == ERR_DENIED ? "address_not_allowed" : "format", "%s", err.message);
}

static void check_artifacts(const struct build_request *build, struct schema_problems *problems)
{
	const cJSON *glob;
	int index = 0;
	cJSON_ArrayForEach(glob, build->spec.at[SPEC_ARTIFACTS])
	{
		CLEANUP(glob_free_p) struct glob *parsed = NULL;
		struct error err = ERROR_INIT;
		char field[32];
		(void)snprintf(field, sizeof(field), "artifacts/%d", index++);
		if (cJSON_IsString(glob) && glob_new(glob->valuestring, &parsed, &err) < 0)
			complain(build, field, "pattern", err.message, problems);
	}
}

/* Only where the model is known here: a build may leave it to the worker, which then says the same. */
static void check_budget(const struct build_request *build, const cJSON *agent, struct schema_problems *problems)
{
	const char *model = json_get_string(agent, "model");
	char detail[128];
	if (build->gateway->model_prices == NULL || !cJSON_IsNumber(json_get(agent, "budget_usd")) || model == NULL ||
		str_equal(json_get_string(agent, "provider"), "command") ||
		model_prices_find(build->gateway->model_prices, model) != NULL)
		return;
	(void)snprintf(detail, sizeof(detail), "the model \"%.64s\" has no price here, so that a budget cannot be kept",
				   model);
	complain(build, "agent/budget_usd", "model_unpriced", detail, problems);
}

static void check_budget_of_project(const struct build_request *build, struct schema_problems *problems)
{
	CLEANUP(cJSON_Delete_p) cJSON *agent = NULL;
	const char *text = build->project != NULL ? build->project->agent : NULL;
	struct error err = ERROR_INIT;
	if (text != NULL && build->gateway->model_prices != NULL && json_parse(text, strlen(text), &agent, &err) == 0)
		check_budget(build, agent, problems);
}

static void check_agent(const struct build_request *build, struct schema_problems *problems)
{
	const cJSON *agent = build->spec.at[SPEC_AGENT];
	char pointer[POINTER_MAX];
	if (agent == NULL)
		check_budget_of_project(build, problems);
	if (cJSON_IsObject(agent)) {
		agent_check(agent, pointer_to(build, "agent", pointer), problems);
		check_budget(build, agent, problems);
	} else if (agent == NULL && build->project != NULL && build->project->agent == NULL) {
		complain(build, "agent", "required", "neither the build nor its project names an agent", problems);
	}
}

static void check_template(const struct build_request *build, struct schema_problems *problems)
{
	const char *template = build_request_template(&build->spec);
	char detail[128];
	if (template == NULL || build->template != NULL)
		return;
	(void)snprintf(detail, sizeof(detail), "there is no template \"%.64s\"", template);
	complain(build, "template", "unknown_template", detail, problems);
}

void build_request_check(const struct build_request *build, struct schema_problems *problems)
{
	const struct spec *spec = &build->spec;
	if (spec_flag(spec, SPEC_AUTO_PUSH) && !spec_flag(spec, SPEC_AUTO_COMMIT) &&
		!is_wrong(build, "auto_commit", problems))
		complain(build, "auto_push", "needs_auto_commit", "auto_push needs auto_commit: there would be nothing to push",
				 problems);
	check_callback(build, problems);
	check_artifacts(build, problems);
	check_agent(build, problems);
	check_template(build, problems);
	if (build->project != NULL && build->project->git_url == NULL && build->gateway->config->git_base_url == NULL)
		schema_problem_add(problems, build->pointer, "git_url_required",
						   "the project has no git_url, and this deployment has no base for one");
}

bool build_request_priority(const struct build_request *build, int *ret_priority)
{
	int most = build->token->max_priority;
	int64_t asked = spec_int(&build->spec, SPEC_PRIORITY, -1);
	if (asked < 0)
		*ret_priority = most < DEFAULT_PRIORITY ? most : DEFAULT_PRIORITY;
	else
		*ret_priority = (int)asked;
	return *ret_priority <= most;
}

void agent_write(struct json_writer *w, const char *key, const cJSON *agent)
{
	json_object_begin(w, key);
	json_string(w, "provider", json_get_string(agent, "provider"));
	json_string(w, "model", json_get_string(agent, "model"));
	json_string(w, "command", json_get_string(agent, "command"));
	json_tree(w, "max_turns", json_get(agent, "max_turns"));
	json_tree(w, "max_tokens", json_get(agent, "max_tokens"));
	json_tree(w, "budget_usd", json_get(agent, "budget_usd"));
	json_object_end(w);
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_labels(struct json_writer *w, const cJSON *labels)
{
	const char *sorted[LABELS_MAX] = {NULL};
	size_t count = 0;
	const cJSON *label;
	cJSON_ArrayForEach(label, labels)
	{
		if (count < LABELS_MAX && cJSON_IsString(label))
			sorted[count++] = label->valuestring;
	}
	qsort(sorted, count, sizeof(sorted[0]), compare_text);
	json_array_begin(w, "labels");
	for (size_t i = 0; i < count; i++)
		json_string(w, NULL, sorted[i]);
	json_array_end(w);
}

static void write_or(struct json_writer *w, const struct spec *spec, enum spec_field field, const char *fallback)
{
	if (spec->at[field] == NULL)
		json_raw(w, spec_name(field), fallback);
	else
		json_tree(w, spec_name(field), spec->at[field]);
}

static void write_text(struct json_writer *w, const struct spec *spec, enum spec_field field)
{
	json_string(w, spec_name(field), spec_text(spec, field));
}

static void write_flag(struct json_writer *w, const struct spec *spec, enum spec_field field)
{
	json_bool(w, spec_name(field), spec_flag(spec, field));
}

static void write_template(struct json_writer *w, const struct template *template)
{
	if (template == NULL) {
		json_null(w, "template");
		return;
	}
	char reference[80];
	(void)snprintf(reference, sizeof(reference), "%s@%d", template->name, template->version);
	json_string(w, "template", reference);
}

static void write_spec(struct json_writer *w, const struct build_request *build, const struct buffer *prompt)
{
	const struct spec *spec = &build->spec;
	const cJSON *agent = spec->at[SPEC_AGENT];
	const char *branch = spec_text(spec, SPEC_BRANCH), *on_red = spec_text(spec, SPEC_ON_RED);
	int priority;
	CHECK(build_request_priority(build, &priority));
	json_object_begin(w, "spec");
	json_string_len(w, "prompt", prompt->data, prompt->len);
	write_template(w, build->template);
	write_or(w, spec, SPEC_VARIABLES, "{}");
	write_flag(w, spec, SPEC_AUTO_COMMIT);
	write_flag(w, spec, SPEC_AUTO_PUSH);
	write_text(w, spec, SPEC_CALLBACK_URL);
	if (agent != NULL)
		agent_write(w, "agent", agent);
	else
		json_raw(w, "agent", build->project->agent);
	json_string(w, "branch", branch != NULL ? branch : build->project->branch);
	write_text(w, spec, SPEC_COMMIT_MESSAGE);
	json_int(w, "priority", priority);
	write_labels(w, spec->at[SPEC_LABELS]);
	json_int(w, "timeout_s", spec_int(spec, SPEC_TIMEOUT_S, DEFAULT_TIMEOUT_S));
	json_int(w, "queue_timeout_s", spec_int(spec, SPEC_QUEUE_TIMEOUT_S, DEFAULT_QUEUE_TIMEOUT_S));
	json_int(w, "max_attempts", spec_int(spec, SPEC_MAX_ATTEMPTS, DEFAULT_MAX_ATTEMPTS));
	write_or(w, spec, SPEC_ARTIFACTS, "[]");
	write_or(w, spec, SPEC_METADATA, "{}");
	write_text(w, spec, SPEC_CONTINUE_FROM);
	write_flag(w, spec, SPEC_WAIT_FOR_PIPELINE);
	json_string(w, "on_red", on_red != NULL ? on_red : "none");
	network_write(w, build->project->network);
	json_object_end(w);
}

/* Whether the first push may make the repository: where the operator says that pushes do, however the project names it.
 * The executor asks the same of its own base. */
static bool is_below_base(const char *git_url, const char *base)
{
	struct git_url url;
	struct error err = ERROR_INIT;
	return git_url_parse(git_url, &url, &err) == 0 && git_url_is_below_base(&url, base);
}

static void write_git(struct json_writer *w, const struct build_request *build)
{
	const struct project *project = build->project;
	const struct gateway_config *config = build->gateway->config;
	bool under_base = project->git_url == NULL;
	json_object_begin(w, "git");
	if (under_base) {
		CLEANUP(buffer_release_p) struct buffer url;
		buffer_init(&url, 4096);
		CHECK(project_git_url(config->git_base_url, NULL, project->name, &url));
		json_string_len(w, "url", url.data, url.len);
	} else {
		json_string(w, "url", project->git_url);
	}
	/* A project's own credential goes before the base's, which is never sent anywhere else. */
	const char *credential = project->credential;
	if (credential == NULL && under_base)
		credential = config->git_base_credential;
	json_string(w, "credential", credential);
	json_bool(w, "create_missing", under_base || is_below_base(project->git_url, config->git_base_url));
	json_object_end(w);
}

/* False: which template it is to be, or with which variables, is not known; after more problems than are told the rest
 * has not been looked at, and there may be any number of variables. */
static bool is_renderable(const struct build_request *build, const struct schema_problems *problems)
{
	const cJSON *template = build->spec.at[SPEC_TEMPLATE];
	return (build->template != NULL || template == NULL || cJSON_IsNull(template)) && !problems->truncated &&
		   !is_wrong(build, "template", problems) && !is_wrong(build, "variables", problems);
}

void build_request_render(const struct build_request *build, struct buffer *prompt, struct schema_problems *problems)
{
	char pointer[POINTER_MAX], detail[96];
	const cJSON *variables = build->spec.at[SPEC_VARIABLES];
	const char *given = spec_text(&build->spec, SPEC_PROMPT);
	buffer_clear(prompt);
	if (!is_renderable(build, problems))
		return;
	const struct template_input input = {
		.text = build->template != NULL ? build->template->text : NULL,
		.defaults = build->template != NULL ? build->template->defaults : NULL,
		.variables = cJSON_IsObject(variables) ? variables : NULL,
		.prompt = given != NULL ? given : "",
		.pointer = pointer_to(build, "variables", pointer),
	};
	template_render(&input, prompt, problems);
	if (!buffer_ok(prompt) || prompt->len > PROMPT_MAX_BYTES) {
		(void)snprintf(detail, sizeof(detail), "the rendered prompt has more than %d bytes", PROMPT_MAX_BYTES);
		complain(build, "prompt", "too_long", detail, problems);
	}
}

static void begin_record(struct json_writer *w, const struct build_request *build, struct buffer *value)
{
	buffer_clear(value);
	json_writer_init(w, value);
	json_object_begin(w, NULL);
	json_string(w, "build_id", build->build_id);
	json_object_begin(w, "project");
	json_string(w, "id", build->project->id);
	json_string(w, "name", build->project->name);
	json_object_end(w);
	json_bool(w, "provisional", build->provisional);
}

static void end_record(struct json_writer *w, const struct build_request *build)
{
	char hash[2 * SHA256_SIZE + 1], time[CLOCK_RFC3339_SIZE];
	bool has_key = build->request != NULL && build->request->idempotency_key.data != NULL;
	if (has_key)
		hex_encode(build->request_hash, SHA256_SIZE, hash);
	clock_format_rfc3339(clock_wall_us(), time);
	write_git(w, build);
	json_string(w, "owner", build->token->id);
	json_string(w, "request_hash", has_key ? hash : NULL);
	json_string(w, "retry_of", build->retry_of);
	json_string(w, "requested_at", time);
	if (build->request != NULL)
		audit_write_origin(w, build->request);
	json_object_end(w);
}

void build_request_write(const struct build_request *build, const struct buffer *prompt, struct buffer *value)
{
	struct json_writer w;
	begin_record(&w, build, value);
	write_spec(&w, build, prompt);
	end_record(&w, build);
}

void build_request_write_again(const struct build_request *build, const cJSON *spec, struct buffer *value)
{
	struct json_writer w;
	const cJSON *member;
	begin_record(&w, build, value);
	json_object_begin(&w, "spec");
	cJSON_ArrayForEach(member, spec)
	{
		if (!str_equal(member->string, "network"))
			json_tree(&w, member->string, member);
	}
	network_write(&w, build->project->network);
	json_object_end(&w);
	end_record(&w, build);
}

void build_request_hash(const cJSON *body, struct buffer *scratch, uint8_t ret[SHA256_SIZE])
{
	buffer_clear(scratch);
	CHECK(json_canonical(scratch, body) == 0); /* bounded by the size of a body, escapes included */
	sha256(scratch->data, scratch->len, ret);
}
