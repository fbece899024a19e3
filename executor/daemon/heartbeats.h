/*
 * Heartbeats and the dead-man rule (docs/protocol.md section 5). They have a producer of their own, not idempotent,
 * with a message time-out of 5 s: an old one is dropped, not sent late. All agents are killed when Kafka has not
 * acknowledged a heartbeat (or the hello) for 20 s, counted from the creation of the newest that it did acknowledge.
 * Main thread only.
 */
#pragma once

#include "executor/daemon/daemon.h"

/* Makes the producer. */
int heartbeats_init(struct daemon *daemon, const struct kafka_settings *settings, struct error *err) MUST_CHECK;
/* Kafka has acknowledged the one that was created then. */
void heartbeats_acked(struct daemon *daemon, int64_t created_ms);
/* First in each turn of the loop: nothing may be done with a lease that has run out while this process did not run. */
void heartbeats_check(struct daemon *daemon, int64_t now_ms);
/* Sends one when it is due. */
void heartbeats_tick(struct daemon *daemon, int64_t now_ms);
/* Soon: the next turn sends one (draining has begun). */
void heartbeats_hasten(struct daemon *daemon);
int64_t heartbeats_due_ms(const struct daemon *daemon);
