#include "api-gateway/builds/request_key.h"

#include "api-gateway/callers/caches.h"

int request_key(struct request *request, char ret_key[IDEMPOTENCY_KEY_MAX + 1], const uint8_t **ret_secret,
				size_t *ret_secret_len)
{
	struct error err = ERROR_INIT;
	if (idempotency_key_read(request->idempotency_key.data, request->idempotency_key.len, ret_key, &err) < 0)
		return problem_answer(request, PROBLEM_BAD_REQUEST, "%s.", err.message);
	*ret_secret = caches_secret(request->gateway->caches, ret_secret_len);
	if (*ret_secret == NULL)
		return problem_answer(request, PROBLEM_DATABASE_UNAVAILABLE,
							  "The gateway has not seen the database since its start, which keys need.");
	return 0;
}
