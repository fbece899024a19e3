#include "api-gateway/builds/build_row.h"

#include "common/pg/pg.h"

void build_row_write_project(struct json_writer *w, const char *id, const char *name)
{
	json_object_begin(w, "project");
	json_string(w, "id", id);
	json_string(w, "name", name);
	json_object_end(w);
}

void build_row_write(struct json_writer *w, const PGresult *rows, int row)
{
	json_string(w, "task_id", pg_text(rows, row, "id"));
	build_row_write_project(w, pg_text(rows, row, "project_id"), pg_text(rows, row, "project_name"));
	json_string(w, "status", pg_text(rows, row, "status"));
	json_string(w, "phase", pg_text(rows, row, "phase"));
	json_int(w, "attempt", pg_int(rows, row, "attempt", 0));
	json_int(w, "attempts_used", pg_int(rows, row, "attempts_used", 0));
	json_int(w, "max_attempts", pg_int(rows, row, "max_attempts", 1));
	json_string(w, "worker_id", pg_text(rows, row, "worker_id"));
	json_string(w, "created_at", pg_text(rows, row, "created_at"));
	json_string(w, "started_at", pg_text(rows, row, "started_at"));
	json_string(w, "finished_at", pg_text(rows, row, "finished_at"));
}
