/* From h2o's request to a handler: route, framing, query, token, scope, Accept, size; then the handler on the loop or
 * on a worker. */
#pragma once

#include "api-gateway/requests/request.h"

/* Loop: h2o's callback. */
void dispatch_new(struct loop *loop, h2o_req_t *h2o);
