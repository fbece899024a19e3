#include "common/base/config.h"

const char kiln_version[] = KILN_VERSION;
