/* Included before routes.c: the handlers that its table names become weak, so that they need not be linked. No harness
 * calls one. */
#pragma once

#include "api-gateway/routes.h"

#define route_handler __attribute__((weak)) route_handler
#include "api-gateway/handlers.h"
#undef route_handler
