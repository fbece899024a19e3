/*
 * How many unknown tokens a client address may try: KILN_MAX_AUTH_FAILURES a minute, all at once if it likes; then one
 * for each that has become a minute old. Guessing a token of 256 bits is hopeless, but each try is a look-up in
 * Postgres.
 *
 * A token that is known is never counted here and never refused because of others at its address (a proxy, a shared
 * network): the memory of this gateway is asked first, and follows Postgres within a second. Only what would have to be
 * looked up is refused, so a guess gets 429 where it would have got 401, and learns nothing by it.
 *
 * Memory is bounded: where many addresses try at once, the one that has tried least makes room.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/http/address_ranges.h"

struct guesses;

struct guesses *guesses_new(int64_t per_minute);
void guesses_free(struct guesses *guesses); /* takes NULL */

/* What an address is counted by: an IPv4 address; of IPv6 the first 64 bits, which are one client's. */
uint64_t guesses_address(const struct ip_address *address);

/* Any thread; `now_us` is clock_boot_us, or a test's. Before a token is looked up: false, with the seconds after which
 * to try again, when the address has used up what it may. A mutex, for the time of a hash probe. */
bool guesses_begin(struct guesses *guesses, uint64_t address, int64_t now_us, int64_t *ret_retry_after_s);
/* It was no failure: the token is valid, or nobody could tell. */
void guesses_take_back(struct guesses *guesses, uint64_t address);
