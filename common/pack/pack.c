#include "common/pack/pack.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/base/alloc.h"

/* Of 64 KiB of log lines 16 % are left at 2.7 ms for a MB; level 3 takes 3.6 ms for half a per cent less. */
#define LEVEL 1

struct packer {
	ZSTD_CCtx *zstd;
};

struct packer *packer_new(void)
{
	struct packer *packer = xcalloc(1, sizeof(*packer));
	packer->zstd = ZSTD_createCCtx();
	CHECK(packer->zstd != NULL);
	return packer;
}

void packer_free(struct packer *packer)
{
	if (packer == NULL)
		return;
	(void)ZSTD_freeCCtx(packer->zstd); /* cannot fail */
	free(packer);
}

static bool is_frame(const void *data, size_t len)
{
	static const unsigned char magic[] = {0x28, 0xB5, 0x2F, 0xFD};
	return len >= sizeof(magic) && memcmp(data, magic, sizeof(magic)) == 0;
}

int packer_append(struct packer *packer, const void *data, size_t len, struct buffer *out)
{
	size_t room = ZSTD_compressBound(len);
	char *to = buffer_reserve(out, room);
	if (to == NULL)
		return -1;
	size_t packed = ZSTD_compressCCtx(packer->zstd, to, room, data, len, LEVEL);
	CHECK(!ZSTD_isError(packed)); /* there is room */
	if (packed >= len && !is_frame(data, len))
		return buffer_append(out, data, len);
	buffer_commit(out, packed);
	return 0;
}

int unpack(const void *data, size_t len, size_t max_bytes, struct buffer *out, struct error *err)
{
	if (!is_frame(data, len)) {
		if (len > max_bytes || buffer_append(out, data, len) < 0)
			return error_set(err, ERR_INVALID, "%zu bytes are too many", len);
		return 0;
	}
	/* Both that it is not known and that it is no frame are very large numbers. */
	unsigned long long size = ZSTD_getFrameContentSize(data, len);
	char *to = size <= max_bytes ? buffer_reserve(out, (size_t)size) : NULL;
	if (to == NULL)
		return error_set(err, ERR_INVALID, "a packed record is too long, or does not say how long it is");
	size_t got = ZSTD_decompress(to, (size_t)size, data, len);
	if (ZSTD_isError(got) || got != size)
		return error_set(err, ERR_INVALID, "a packed record is broken%s%s", ZSTD_isError(got) ? ": " : "",
						 ZSTD_isError(got) ? ZSTD_getErrorName(got) : "");
	buffer_commit(out, got);
	return 0;
}
