/*
 * The chunked coding (RFC 9112 section 7.1), read strictly. h2o 2.2.5 calls picohttpparser's phr_decode_chunked, which
 * takes "0x5" for a last chunk, anything for a chunk extension, and line ends of many forms: what a proxy in front of
 * us may read as another request. There is no way to hand h2o another decoder, but it calls this one through the
 * dynamic linker: ours, defined in the program itself, goes before the library's. chunks_in_place sees whether it does.
 *
 * Taken: sizes of up to 8 hexadecimal digits, CR LF, and up to CHUNK_TRAILERS_MAX bytes of trailer fields, which are
 * thrown away. Refused: extensions (nobody sends them, and their reading differs), bare line feeds, everything else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CHUNK_TRAILERS_MAX 4096

/* As picohttpparser.h has it (Debian does not install that): h2o's own memory of this size, zeroed by it. */
struct phr_chunked_decoder {
	size_t bytes_left_in_chunk;    /* of a trailer: its bytes so far */
	unsigned char consume_trailer; /* h2o sets it; we always do */
	unsigned char _hex_count;
	unsigned char _state;
};

/* Decodes in place. *bufsz: the bytes that came, then those of them that are body. Returns how many bytes that follow
 * the coding lie behind these, -1 for an error, -2 while there is more to come. */
ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *buf, size_t *bufsz);
/* Would h2o call ours? Not when it is linked with its symbols bound. */
bool chunks_in_place(void);
