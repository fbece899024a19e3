#include "api-gateway/http/gzip.h"

#include <limits.h>
#include <stdint.h>
#define ZLIB_CONST /* it only reads next_in */
#include <zlib.h>

#define LEVEL 4 /* of JSON about as small as the default's 6, in half the time */
#define WINDOW_BITS 15
#define GZIP_HEADER 16 /* zlib: beside the window's bits */
#define MEMORY_LEVEL 8

int gzip_append(struct buffer *buf, const void *data, size_t len)
{
	z_stream stream = {.next_in = data, .avail_in = (uInt)len};
	/* Smaller, or not at all. */
	char *room = len > 0 && len <= UINT_MAX ? buffer_reserve(buf, len) : NULL;
	if (room == NULL)
		return -1;
	CHECK(deflateInit2(&stream, LEVEL, Z_DEFLATED, WINDOW_BITS + GZIP_HEADER, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) ==
		  Z_OK); /* else out of memory */
	stream.next_out = (Bytef *)room;
	stream.avail_out = (uInt)len;
	int result = deflate(&stream, Z_FINISH);
	size_t coded_len = len - stream.avail_out;
	(void)deflateEnd(&stream); /* says only whether it was cut off */
	if (result != Z_STREAM_END || coded_len >= len)
		return -1;
	buffer_commit(buf, coded_len);
	return 0;
}
