#include "build-service/last_look.h"

#include <string.h>

#include "common/pg/pg.h"

void last_look_init(struct last_look *look)
{
	*look = (struct last_look){.workers = NULL};
	arena_init(&look->arena);
}

static void drop_workers(struct last_look *look)
{
	match_workers_release(look->workers, look->workers_len);
	look->workers_len = 0;
	look->workers = NULL;
	arena_reset(&look->arena);
}

void last_look_release(struct last_look *look)
{
	drop_workers(look);
	arena_release(&look->arena);
}

void last_look_take_workers(struct last_look *look, const PGresult *rows, const struct match_worker *now)
{
	drop_workers(look);
	look->workers = match_workers_read(rows, &look->arena, &look->workers_len);
	for (size_t i = 0; now != NULL && i < look->workers_len; i++)
		look->workers[i].free = now[i].free;
}

bool last_look_knows_project(const struct last_look *look, const char *id)
{
	for (size_t i = 0; i < look->projects_len; i++) {
		if (strcmp(look->projects[i], id) == 0)
			return true;
	}
	return false;
}

void last_look_take_projects(struct last_look *look, const PGresult *rows)
{
	for (int row = 0; row < PQntuples(rows); row++) {
		const char *id = pg_text(rows, row, "id");
		if (pg_bool(rows, row, "deleted") || pg_text(rows, row, "concurrency") != NULL ||
			last_look_knows_project(look, id))
			continue;
		memcpy(look->projects[look->next], id, UUID_TEXT_SIZE);
		look->next = (look->next + 1) % LAST_LOOK_PROJECTS;
		if (look->projects_len < LAST_LOOK_PROJECTS)
			look->projects_len++;
	}
}

void last_look_forget(struct last_look *look)
{
	drop_workers(look);
	look->projects_len = look->next = 0;
}
