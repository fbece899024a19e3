/*
 * Is a record of kiln.build.events an event of a build, as the build service publishes it (docs/events.md)? Whoever may
 * write to the topic may have written anything there. Pure functions; any thread.
 */
#pragma once

#include <stddef.h>

#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/kafka/cloudevent.h"

/* ERR_INVALID unless the attributes and the value are all that restore's statements and kiln_roll_forward
 * (migrations/0028_restored_builds.sql) cast and store; other members, and types that are not known, are no matter.
 * ret_time: the event's time in UTC. */
int published_event_check(const struct cloudevent_in *event, const char *value, size_t len,
						  char ret_time[CLOCK_RFC3339_SIZE], struct error *err) MUST_CHECK;
