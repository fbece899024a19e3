#include "common/http/chunks.h"

#include <dlfcn.h>
#include <string.h>

#include "common/base/compiler.h"
#include "common/base/str.h"

#define DIGITS_MAX 8
#define BROKEN (-1)
#define INCOMPLETE (-2)

_Static_assert(sizeof(struct phr_chunked_decoder) == 2 * sizeof(size_t), "the size in h2o's memory");

enum state {
	SIZE,    /* a digit, or CR after the first one */
	SIZE_LF, /* after the size's CR */
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER,      /* at the beginning of a line */
	TRAILER_LINE, /* inside of one */
	TRAILER_LF,   /* after its CR */
	END_LF,       /* after the CR of the empty line */
	END,
};

static int read_size(struct phr_chunked_decoder *decoder, char c)
{
	if (c == '\r' && decoder->_hex_count > 0)
		return SIZE_LF;
	int digit = hex_digit(c);
	if (digit < 0 || decoder->_hex_count == DIGITS_MAX)
		return BROKEN;
	decoder->bytes_left_in_chunk = decoder->bytes_left_in_chunk * 16 + (size_t)digit;
	decoder->_hex_count++;
	return SIZE;
}

static int read_trailer(struct phr_chunked_decoder *decoder, char c)
{
	bool begins = decoder->_state == TRAILER;
	if (c == '\r')
		return begins ? END_LF : TRAILER_LF;
	if (++decoder->bytes_left_in_chunk > CHUNK_TRAILERS_MAX)
		return BROKEN;
	if ((unsigned char)c < ' ' && c != '\t')
		return BROKEN;
	return begins && (c == ' ' || c == '\t') ? BROKEN : TRAILER_LINE;
}

/* The state after one byte that is no data; BROKEN: it must not stand here. */
static int step(struct phr_chunked_decoder *decoder, char c)
{
	switch ((enum state)decoder->_state) {
	case SIZE:
		return read_size(decoder, c);
	case SIZE_LF:
		decoder->_hex_count = 0;
		return c != '\n' ? BROKEN : decoder->bytes_left_in_chunk > 0 ? DATA : TRAILER;
	case DATA_CR:
		return c == '\r' ? DATA_LF : BROKEN;
	case DATA_LF:
		return c == '\n' ? SIZE : BROKEN;
	case TRAILER:
	case TRAILER_LINE:
		return read_trailer(decoder, c);
	case TRAILER_LF:
		return c == '\n' ? TRAILER : BROKEN;
	case END_LF:
		return c == '\n' ? END : BROKEN;
	case DATA:
	case END:
		break;
	}
	return BROKEN;
}

/* What is there of the chunk's data goes to the body. */
static void take_data(struct phr_chunked_decoder *decoder, char *buf, size_t *dst, size_t *src, size_t size)
{
	size_t len = size - *src < decoder->bytes_left_in_chunk ? size - *src : decoder->bytes_left_in_chunk;
	memmove(buf + *dst, buf + *src, len);
	*dst += len;
	*src += len;
	decoder->bytes_left_in_chunk -= len;
	if (decoder->bytes_left_in_chunk == 0)
		decoder->_state = DATA_CR;
}

ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *buf, size_t *bufsz)
{
	size_t dst = 0, src = 0, size = *bufsz;
	int next = decoder->_state;
	while (src < size && next != END && next != BROKEN) {
		if (next == DATA) {
			take_data(decoder, buf, &dst, &src, size);
			next = decoder->_state;
			continue;
		}
		next = step(decoder, buf[src++]);
		if (next != BROKEN)
			decoder->_state = (unsigned char)next;
	}
	*bufsz = dst;
	if (next == BROKEN)
		return BROKEN;
	memmove(buf + dst, buf + src, size - src);
	return next == END ? (ssize_t)(size - src) : INCOMPLETE;
}

bool chunks_in_place(void)
{
	return dlsym(RTLD_DEFAULT, "phr_decode_chunked") == (void *)phr_decode_chunked;
}
