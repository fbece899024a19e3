/* Where a confined agent finds the model proxy. Included by both sides, the executor and sandbox-init. */
#pragma once

/* The model proxy's socket in the sandbox. */
#define SANDBOX_MODEL_SOCKET "/run/kiln/model.sock"
/* The address in the sandbox's own network that init relays to it (init/relay.h): on the loopback. */
#define SANDBOX_MODEL_PORT 8080
#define SANDBOX_MODEL_TEXT_OF(port) #port
#define SANDBOX_MODEL_ADDRESS_OF(port) "127.0.0.1:" SANDBOX_MODEL_TEXT_OF(port)
#define SANDBOX_MODEL_ADDRESS SANDBOX_MODEL_ADDRESS_OF(SANDBOX_MODEL_PORT)
