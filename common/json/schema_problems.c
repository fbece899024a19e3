#include "common/base/alloc.h"
#include "common/json/schema.h"

static void release_one(struct schema_problem *problem)
{
	free(problem->pointer);
	free(problem->code);
	free(problem->detail);
}

void schema_problems_release(struct schema_problems *problems)
{
	for (size_t i = 0; i < problems->len; i++)
		release_one(&problems->items[i]);
	*problems = (struct schema_problems){0};
}

static void append(struct schema_problems *problems, const char *pointer, const char *code, const char *format,
				   va_list args) PRINTF_LIKE(4, 0);
static void append(struct schema_problems *problems, const char *pointer, const char *code, const char *format,
				   va_list args)
{
	if (problems->len == SCHEMA_MAX_PROBLEMS) {
		problems->truncated = true;
		return;
	}
	problems->items[problems->len++] = (struct schema_problem){
		.pointer = xstrdup(pointer),
		.code = xstrdup(code),
		.detail = xvasprintf(format, args),
	};
}

void schema_problem_add(struct schema_problems *problems, const char *pointer, const char *code, const char *format,
						...)
{
	va_list args;
	va_start(args, format);
	append(problems, pointer, code, format, args);
	va_end(args);
}

void schema_problem_put(struct schema_problems *problems, const char *pointer, const char *code, const char *format,
						...)
{
	size_t kept = 0;
	for (size_t i = 0; i < problems->len; i++) {
		if (strcmp(problems->items[i].pointer, pointer) == 0)
			release_one(&problems->items[i]);
		else
			problems->items[kept++] = problems->items[i];
	}
	problems->len = kept;
	va_list args;
	va_start(args, format);
	append(problems, pointer, code, format, args);
	va_end(args);
}

bool schema_problems_have(const struct schema_problems *problems, const char *pointer)
{
	for (size_t i = 0; i < problems->len; i++) {
		if (strcmp(problems->items[i].pointer, pointer) == 0)
			return true;
	}
	return false;
}
