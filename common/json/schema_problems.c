#include "common/base/alloc.h"
#include "common/json/schema.h"

void schema_problems_release(struct schema_problems *problems)
{
	for (size_t i = 0; i < problems->len; i++) {
		free(problems->items[i].pointer);
		free(problems->items[i].code);
		free(problems->items[i].detail);
	}
	*problems = (struct schema_problems){0};
}

void schema_problem_add(struct schema_problems *problems, const char *pointer, const char *code, const char *format,
						...)
{
	if (problems->len == SCHEMA_MAX_PROBLEMS) {
		problems->truncated = true;
		return;
	}
	va_list args;
	va_start(args, format);
	problems->items[problems->len++] = (struct schema_problem){
		.pointer = xstrdup(pointer),
		.code = xstrdup(code),
		.detail = xvasprintf(format, args),
	};
	va_end(args);
}
