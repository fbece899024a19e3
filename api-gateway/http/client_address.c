#include "api-gateway/http/client_address.h"

#include "api-gateway/http/fields.h"
#include "api-gateway/http/forwarded.h"
#include "api-gateway/requests/request.h"

void client_address_find(struct request *request)
{
	struct sockaddr_storage peer = {0};
	struct client_address *client = &request->client;
	const struct address_list *trusted = request->gateway->trusted_proxies;
	h2o_conn_t *conn = request->h2o->conn;
	if (conn->callbacks->get_peername(conn, (void *)&peer) == 0 ||
		!ip_from_sockaddr((const void *)&peer, &client->ip, NULL))
		return;
	if (address_list_has(trusted, &client->ip)) {
		struct slice list = field_list(request->h2o, "x-forwarded-for");
		forwarded_walk(trusted, list.data, list.len, &client->ip);
	}
	ip_write(&client->ip, client->text);
}
