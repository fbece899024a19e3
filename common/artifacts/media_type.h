/*
 * The media type of an artifact, by the ending of its name. A table and no look at the content (libmagic): what comes
 * of hostile bytes would be a guess that a parser of a dozen formats makes, and browsers are told not to run any of it
 * (api-gateway/handlers/artifacts.c). What the table lacks is application/octet-stream.
 */
#pragma once

/* Static storage. Case of the ending does not count. */
const char *media_type_of(const char *path);
/* The table's own copy of a type that somebody else tells; application/octet-stream for one that it lacks. */
const char *media_type_known(const char *type);
