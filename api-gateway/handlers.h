/* The handlers of the route table, one file per resource under handlers/. Each says in one line what it answers. */
#pragma once

#include "api-gateway/routes.h"

route_handler project_create; /* 201 with the webhook secret */
route_handler project_list;   /* newest first */
route_handler project_get;    /* with ETag */
route_handler project_patch;  /* merge patch under If-Match */
route_handler project_delete; /* 409 while a build has not ended */

route_handler build_accept;     /* the hot path: 202 after Kafka's acknowledgement (accept.c) */
route_handler create_and_build; /* 202 with the project */
route_handler build_list;       /* a project's, newest first */
route_handler build_get;        /* Postgres' row, else the own tail, else proof of absence */
route_handler build_cancel;     /* 202; 409 when it ended otherwise */
route_handler build_retry;      /* 202 with a new build of the same spec; 409 when it has not ended */
route_handler build_explain;    /* why it waits */
route_handler build_events;     /* the trail, as JSON or a stream */
route_handler build_logs;       /* lines, as JSON, text or a stream */

route_handler build_artifact; /* bytes, whole or by range */

route_handler project_events; /* a stream of what happens to a project and its builds */
route_handler all_events;     /* a stream of everything */

route_handler queue_get;   /* what waits, by project and class */
route_handler worker_list; /* in the order of their ids */
route_handler worker_get;
route_handler worker_drain; /* 202; 409 when it has gone */

route_handler template_create; /* the next version */
route_handler template_list;   /* the newest version of each */
route_handler template_get;    /* the newest version, or ?version= */

route_handler token_create; /* 201 with the token, shown once */
route_handler token_list;   /* those that the caller could have made */
route_handler token_delete; /* revokes */
route_handler token_me;     /* the caller's own */

route_handler audit_list; /* who wrote what, newest first */

route_handler openapi_get; /* the published contract */
route_handler problem_get; /* what a problem type means */
