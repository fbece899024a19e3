#include "build-service/vacancies.h"

#include <string.h>

#include "common/base/compiler.h"
#include "common/base/ids.h"
#include "common/base/mutex.h"

void vacancies_init(struct vacancies *vacancies)
{
	*vacancies = (struct vacancies){.projects = map_new(VACANCIES_MAX, NULL)};
	mutex_init(&vacancies->lock);
}

void vacancies_release(struct vacancies *vacancies)
{
	map_free(vacancies->projects);
	(void)pthread_mutex_destroy(&vacancies->lock);
}

static void add(struct vacancies *vacancies, const char *project_id)
{
	CHECK(strlen(project_id) == UUID_TEXT_SIZE - 1);
	if (!vacancies->all && map_set(vacancies->projects, project_id, UUID_TEXT_SIZE - 1, vacancies) < 0)
		vacancies->all = true;
}

void vacancies_add(struct vacancies *vacancies, const char *project_id)
{
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
		if (set->builds[i].vacated)
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
	for (struct map_iter it = {0}; !all && map_next(vacancies->projects, &it);)
		rows_text_len(ret_projects, it.key, it.key_len);
	map_clear(vacancies->projects);
	vacancies->all = false;
	mutex_unlock(&vacancies->lock);
	return all;
}
