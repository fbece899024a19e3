#include "build-service/vacancies.h"

#include <string.h>

#include "common/base/compiler.h"
#include "common/base/mutex.h"
#include "common/base/str.h"

void vacancies_init(struct vacancies *vacancies)
{
	*vacancies = (struct vacancies){.len = 0};
	mutex_init(&vacancies->lock);
}

void vacancies_release(struct vacancies *vacancies)
{
	(void)pthread_mutex_destroy(&vacancies->lock);
}

static void add(struct vacancies *vacancies, const char *project_id)
{
	size_t len = vacancies->len;
	/* Builds of one project often come one behind the other. */
	if (vacancies->all || (len > 0 && str_equal(vacancies->projects[len - 1], project_id)))
		return;
	if (len == VACANCIES_MAX) {
		vacancies->all = true;
		return;
	}
	memcpy(vacancies->projects[vacancies->len++], project_id, UUID_TEXT_SIZE);
}

void vacancies_add(struct vacancies *vacancies, const char *project_id)
{
	CHECK(strlen(project_id) == UUID_TEXT_SIZE - 1);
	mutex_lock(&vacancies->lock);
	add(vacancies, project_id);
	mutex_unlock(&vacancies->lock);
}

void vacancies_add_set(struct vacancies *vacancies, const struct build_set *set)
{
	if (set->vacated.len == 0)
		return;
	mutex_lock(&vacancies->lock);
	for (size_t i = 0; i < set->ids_len; i++) {
		if (set->builds[i].slot_released && set->builds[i].has_place)
			add(vacancies, set->builds[i].project_id);
	}
	mutex_unlock(&vacancies->lock);
}

void vacancies_add_all(struct vacancies *vacancies)
{
	mutex_lock(&vacancies->lock);
	vacancies->all = true;
	mutex_unlock(&vacancies->lock);
}

bool vacancies_take(struct vacancies *vacancies, struct rows *ret_projects)
{
	rows_clear(ret_projects);
	mutex_lock(&vacancies->lock);
	bool all = vacancies->all;
	for (size_t i = 0; !all && i < vacancies->len; i++)
		rows_text(ret_projects, vacancies->projects[i]);
	vacancies->len = 0;
	vacancies->all = false;
	mutex_unlock(&vacancies->lock);
	return all;
}
