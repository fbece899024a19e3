/* GET /builds/{taskId}. */
#include "api-gateway/builds/build_answer.h"
#include "api-gateway/builds/build_cache.h"
#include "api-gateway/builds/build_reads.h"
#include "api-gateway/builds/build_wait.h"
#include "api-gateway/handlers.h"
#include "api-gateway/requests/workers.h"
#include "common/base/clock.h"

static bool answer_kept(struct request *request)
{
	CLEANUP(cached_build_unref) struct cached_build *build = NULL;
	if (request->wait_s > 0 || !uuid_is_valid(request->param, strlen(request->param)))
		return false;
	build = build_cache_find(request->gateway->build_cache, request->param, clock_boot_ms());
	if (build == NULL || !api_token_sees_project(request->token, build->project_name))
		return false;
	request_set_build(request, request->param);
	struct json_writer w;
	answer_json(&request->answer, 200, &w);
	(void)buffer_append(&request->answer.body, build->body, build->body_len); /* the sender looks at buffer_ok */
	memcpy(request->answer.tag, build->etag, sizeof(build->etag));
	return true;
}

bool build_get(struct request *request)
{
	if (answer_kept(request))
		return true;
	if (build_wait_begin(request, NULL))
		return false;
	if (uuid_is_valid(request->param, strlen(request->param)))
		build_reads_answer(request);
	else
		workers_answer(request, build_read); /* no build ever has such an id */
	return false;
}
