#include "common/base/ids.h"

#include <stdatomic.h>

#include "common/base/clock.h"

static void format_uuid(const uint8_t bytes[16], char ret[UUID_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	char *out = ret;
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}

static void set_version(uint8_t bytes[16], unsigned version)
{
	bytes[6] = (uint8_t)((bytes[6] & 0x0F) | version << 4);
	bytes[8] = (uint8_t)((bytes[8] & 0x3F) | 0x80);
}

/* Milliseconds and the 12 bits of rand_a as one number that only grows (RFC 9562 section 6.2). The counter starts at
 * the fraction of the millisecond, so that ids of several processes sort well too; past 4095 it runs into the
 * milliseconds. */
static uint64_t next_v7_tick(void)
{
	static _Atomic uint64_t last_tick;
	uint64_t now_us = (uint64_t)clock_wall_us();
	uint64_t tick = (now_us / 1000) << 12 | (now_us % 1000) * 4096 / 1000;
	uint64_t last = atomic_load_explicit(&last_tick, memory_order_relaxed);
	uint64_t next;
	do {
		next = tick > last ? tick : last + 1;
	} while (
		!atomic_compare_exchange_weak_explicit(&last_tick, &last, next, memory_order_relaxed, memory_order_relaxed));
	return next;
}

void uuid_v7_from(const uint8_t random[8], char ret[UUID_TEXT_SIZE])
{
	uint64_t tick = next_v7_tick();
	uint64_t ms = tick >> 12;
	uint8_t bytes[16];
	for (int i = 0; i < 6; i++)
		bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
	bytes[6] = (uint8_t)(tick >> 8 & 0x0F);
	bytes[7] = (uint8_t)tick;
	memcpy(bytes + 8, random, 8);
	set_version(bytes, 7);
	format_uuid(bytes, ret);
}

void uuid_v7(char ret[UUID_TEXT_SIZE])
{
	uint8_t random[8];
	random_bytes(random, sizeof(random));
	uuid_v7_from(random, ret);
}

void uuid_v4(char ret[UUID_TEXT_SIZE])
{
	uint8_t bytes[16];
	random_bytes(bytes, sizeof(bytes));
	set_version(bytes, 4);
	format_uuid(bytes, ret);
}

void uuid_v8(const uint8_t digest[16], char ret[UUID_TEXT_SIZE])
{
	uint8_t bytes[16];
	memcpy(bytes, digest, sizeof(bytes));
	set_version(bytes, 8);
	format_uuid(bytes, ret);
}

bool uuid_is_valid(const char *text, size_t len)
{
	if (len != UUID_TEXT_SIZE - 1)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	return true;
}

int uuid_version(const char text[UUID_TEXT_SIZE])
{
	char digit = text[14];
	return digit <= '9' ? digit - '0' : digit - 'a' + 10;
}
