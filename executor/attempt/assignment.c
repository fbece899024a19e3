#include "executor/attempt/assignment.h"

#include <ctype.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/str.h"

#define MAX_EARLIER 1000
#define MAX_TIMEOUT_S 864000 /* the schema has a tenth of it */
#define MAX_BRANCH_BYTES 200

bool branch_is_safe(const char *name)
{
	size_t len = strlen(name);
	if (len == 0 || len > MAX_BRANCH_BYTES || (!isalnum((unsigned char)name[0]) && name[0] != '_'))
		return false;
	char before = '/';
	for (const char *c = name; *c != '\0'; before = *c++) {
		if (!isalnum((unsigned char)*c) && strchr("_+=@#-./", *c) == NULL)
			return false;
		/* No empty, hidden or dot-ended part, no "..". */
		if ((*c == '.' || *c == '/') && (before == '/' || before == '.'))
			return false;
	}
	return before != '/' && before != '.' && !str_ends(name, ".lock") && strstr(name, ".lock/") == NULL &&
		   strstr(name, "@{") == NULL;
}

static bool is_sha(const char *text)
{
	return str_is_sha(text, strlen(text));
}

static int wrong(struct error *err, const char *field)
{
	return error_set(err, ERR_INVALID, "the assignment's %s is missing or malformed", field);
}

static int read_mode(const cJSON *tree, enum attempt_mode *ret_mode, struct error *err)
{
	static const struct {
		const char *name;
		enum attempt_mode mode;
	} modes[] = {{"run", MODE_RUN}, {"settle", MODE_SETTLE}, {"tidy", MODE_TIDY}};
	const char *name = json_get_string(tree, "mode");
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (str_equal(name, modes[i].name)) {
			*ret_mode = modes[i].mode;
			return 0;
		}
	}
	return wrong(err, "mode");
}

static int read_earlier(struct assignment *assignment, struct error *err)
{
	const cJSON *earlier = json_get(assignment->tree, "earlier");
	int count = cJSON_IsArray(earlier) ? cJSON_GetArraySize(earlier) : 0;
	if (count > MAX_EARLIER)
		return wrong(err, "earlier");
	assignment->has_earlier = count > 0;
	assignment->announced = xcalloc((size_t)count + 1, sizeof(*assignment->announced));
	const cJSON *item;
	cJSON_ArrayForEach(item, earlier)
	{
		const char *sha = json_get_string(item, "commit_sha");
		if (sha == NULL)
			continue;
		if (!is_sha(sha))
			return wrong(err, "earlier");
		(void)snprintf(assignment->announced[assignment->announced_len++], GIT_SHA_SIZE, "%s", sha);
	}
	return 0;
}

static int read_run(struct assignment *assignment, const cJSON *spec, struct error *err)
{
	assignment->prompt = json_get_string(spec, "prompt");
	assignment->commit_message = json_get_string(spec, "commit_message");
	assignment->auto_commit = json_get_bool(spec, "auto_commit", false);
	assignment->auto_push = json_get_bool(spec, "auto_push", false);
	assignment->agent = json_get(spec, "agent");
	assignment->artifacts = json_get(spec, "artifacts");
	assignment->timeout_s = json_get_int(spec, "timeout_s", 0);
	const cJSON *continues = json_get(assignment->tree, "continues");
	assignment->continues = cJSON_IsObject(continues) ? continues : NULL;
	const char *other = json_get_string(continues, "build_id");
	if (assignment->continues != NULL && (other == NULL || !uuid_is_valid(other, strlen(other))))
		return wrong(err, "continues");
	if (assignment->prompt == NULL)
		return wrong(err, "prompt");
	if (json_get_string(assignment->agent, "provider") == NULL)
		return wrong(err, "agent");
	if (assignment->timeout_s < 1 || assignment->timeout_s > MAX_TIMEOUT_S)
		return wrong(err, "timeout_s");
	return network_rules_new(json_get(json_get(spec, "network"), "allow"), &assignment->network, err);
}

static int read_settle(struct assignment *assignment, struct error *err)
{
	const cJSON *end = json_get(assignment->tree, "settle_end");
	const cJSON *error = json_get(end, "error");
	assignment->settle_status = json_get_string(end, "status");
	assignment->settle_class = json_get_string(error, "class");
	assignment->settle_message = json_get_string(error, "message");
	assignment->settle_retryable = json_get_bool(end, "retryable", false);
	if (assignment->settle_status == NULL || assignment->settle_class == NULL || assignment->settle_message == NULL)
		return wrong(err, "settle_end");
	return 0;
}

static int read_all(struct assignment *assignment, struct error *err)
{
	const cJSON *tree = assignment->tree, *git = json_get(tree, "git"), *spec = json_get(tree, "spec");
	if (fencing_token_read(tree, &assignment->token, err) < 0 || read_mode(tree, &assignment->mode, err) < 0)
		return -1;
	assignment->project_name = json_get_string(json_get(tree, "project"), "name");
	assignment->project_id = json_get_string(json_get(tree, "project"), "id");
	if (assignment->project_id != NULL && !uuid_is_valid(assignment->project_id, strlen(assignment->project_id)))
		assignment->project_id = NULL;
	assignment->git_url = json_get_string(git, "url");
	assignment->credential = json_get_string(git, "credential");
	assignment->create_missing = json_get_bool(git, "create_missing", false);
	assignment->base_sha = json_get_string(tree, "base_sha");
	assignment->branch = json_get_string(tree, "branch");
	if (assignment->branch == NULL)
		assignment->branch = json_get_string(spec, "branch");
	assignment->fence = json_get_string(tree, "fence");
	assignment->quiet = json_get_bool(tree, "quiet", false);
	if (assignment->project_name == NULL)
		return wrong(err, "project");
	if (assignment->git_url == NULL)
		return wrong(err, "git.url");
	if (assignment->branch != NULL && !branch_is_safe(assignment->branch))
		return wrong(err, "branch");
	if (assignment->base_sha != NULL && !is_sha(assignment->base_sha))
		return wrong(err, "base_sha");
	if (read_earlier(assignment, err) < 0)
		return -1;
	switch (assignment->mode) {
	case MODE_RUN:
		return read_run(assignment, spec, err);
	case MODE_SETTLE:
		return read_settle(assignment, err);
	case MODE_TIDY:
		return assignment->fence != NULL && is_sha(assignment->fence) ? 0 : wrong(err, "fence");
	}
	return wrong(err, "mode");
}

int assignment_read(const char *data, size_t len, struct assignment *ret_assignment, struct error *err)
{
	struct assignment assignment = {.tree = NULL};
	if (json_parse(data, len, &assignment.tree, err) < 0)
		return -1;
	if (read_all(&assignment, err) < 0) {
		assignment_release(&assignment);
		return -1;
	}
	*ret_assignment = assignment;
	return 0;
}

void assignment_release(struct assignment *assignment)
{
	cJSON_Delete(assignment->tree);
	free(assignment->announced);
	network_rules_free(assignment->network);
	*assignment = (struct assignment){.tree = NULL};
}
