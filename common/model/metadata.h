/* What builds' and projects' metadata may have, as schemas/common.json says of one document: for what is made of several,
 * and for whoever needs to know how much room it takes. */
#pragma once

#define METADATA_MAX_ENTRIES 64
#define METADATA_MAX_BYTES 65536 /* as RFC 8785 writes it; every event of a build carries it */
