/*
 * What every harness of this folder has: libFuzzer's entry. Any bytes are an input; a property that does not hold is a
 * broken CHECK, which libFuzzer reports with the input.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/str.h"

/* Always 0: the input may stay in the corpus. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A message goes into a problem's detail and into the log: it says something, and is text. */
static inline void check_message(const struct error *err)
{
	CHECK(err->message[0] != '\0');
	CHECK(str_is_utf8(err->message, strlen(err->message)));
}
