#include "build-service/audit_rows.h"

#include "build-service/fields.h"
#include "common/base/clock.h"

void audit_rows_add_cancel(struct rows *rows, const struct request *request)
{
	const cJSON *data = request->data, *origin = json_get(data, "origin");
	const char *id = request->record->event.id, *requested_at = json_get_string(data, "requested_at");
	const char *route = json_get_string(origin, "route"), *request_id = json_get_string(origin, "request_id"),
			   *address = json_get_string(origin, "address");
	char token_id[UUID_TEXT_SIZE], time[CLOCK_RFC3339_SIZE];
	int64_t wall_us;
	struct error ignored = ERROR_INIT;
	if (!uuid_is_valid(id, strlen(id)) || field_uuid(data, "requested_by", token_id, &ignored) < 0 || route == NULL ||
		request_id == NULL || address == NULL || requested_at == NULL ||
		clock_parse_rfc3339(requested_at, strlen(requested_at), &wall_us) < 0 || wall_us < 0)
		return;
	clock_format_rfc3339(wall_us, time);
	rows_text(rows, id);
	rows_text(rows, time);
	rows_text(rows, token_id);
	rows_text(rows, route);
	rows_text(rows, request->build_id);
	rows_text(rows, request_id);
	rows_text(rows, address);
}
