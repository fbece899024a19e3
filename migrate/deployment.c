#include "migrate/deployment.h"

#include <string.h>

#include "common/base/ids.h"
#include "common/base/str.h"
#include "kiln_migrate_sql.h"

int deployment_insert(struct pg_conn *conn, struct error *err)
{
	uint8_t secret[32];
	char hex[2 * sizeof(secret) + 1];

	random_bytes(secret, sizeof(secret));
	hex_encode(secret, sizeof(secret), hex);
	int result = pg_query(conn, &sql_insert_deployment, PG_PARAMS(hex), 1, NULL, err);
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(hex, sizeof(hex));
	return result;
}
