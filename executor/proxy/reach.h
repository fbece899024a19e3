/*
 * Whether a request makes the vendor reach other servers in the agent's name: tools that run there (web search, fetch,
 * code execution, MCP), options that search, images and documents by URL. Such a way out is in no network.allow.
 *
 * Read from the bytes while they pass, however they are cut; nothing is kept but where it is and 64 bytes of a string.
 * Keys and values are compared as JSON means them (escapes decoded) and without case; a key that comes twice counts
 * each time. It is no validator: what is no JSON is for somebody else to refuse.
 *
 * Tools are let through by a list of types that run at the agent's. Options are refused by name: one that a vendor
 * makes up tomorrow passes, and so does a model that searches by itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "executor/proxy/model_api.h"

#define REACH_DEPTH 32
#define REACH_TEXT_BYTES 64

struct reach_frame {
	unsigned char place; /* what is in there (reach.c) */
	bool is_array, has_type;
};

struct reach_reader {
	enum model_protocol protocol;
	bool found;
	char why[160]; /* when found */

	/* Where it is. */
	struct reach_frame frames[REACH_DEPTH];
	size_t depth, skipped; /* skipped: levels below the last frame, of no interest */
	bool ended, wants_key, in_scalar;
	unsigned char next; /* the place of the value behind a key */

	/* The string under way. */
	bool in_string, is_key, collects;
	unsigned escape;  /* 0 no, 1 behind a backslash, 2 to 5 in \uXXXX */
	unsigned escaped; /* the digits so far */
	char text[REACH_TEXT_BYTES];
	size_t text_len; /* full: it is longer than anything that is looked for */
};

void reach_reader_init(struct reach_reader *reader, enum model_protocol protocol);
void reach_reader_add(struct reach_reader *reader, const char *data, size_t len);
