/* Shared by the files of config; nobody else's business. */
#pragma once

#include "common/base/config.h"

/* Of struct config_common. */
extern const struct config_option config_common_options[];
extern const size_t config_common_count;

/* The index over both tables, common ones first. */
const struct config_option *config_option_at(const struct config_option *options, size_t count, size_t index);
/* The effective value as text for people; secrets as "(set)". Heap; NULL when unset. */
char *config_value_text(const struct config_option *option, const void *config);
