/* RFC 8259 and what Kiln refuses on top (common/json/json.h), written a second time, as simply as it goes: by recursive
 * descent, code point by code point. It shares no code with json_parse. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool json_reference_accepts(const uint8_t *data, size_t size);
