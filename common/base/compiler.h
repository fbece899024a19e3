/* Compiler attributes and the two macros that every file may use: CHECK and CLEANUP. */
#pragma once

#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt_index, first_arg) __attribute__((format(printf, fmt_index, first_arg)))
#define NORETURN __attribute__((noreturn))
#define SENTINEL __attribute__((sentinel))
#define UNUSED __attribute__((unused))

/* Runs `function(&variable)` when the variable leaves its scope. The functions are named `…_p` by convention. */
#define CLEANUP(function) __attribute__((cleanup(function)))

/* Defines `name_p(type **)` for CLEANUP from a destructor that accepts NULL. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type cannot be put in parentheses */
#define DEFINE_CLEANUP(type, destructor)                                                                               \
	static inline void destructor##_p(type **pointer)                                                                  \
	{                                                                                                                  \
		if (*pointer != NULL)                                                                                          \
			destructor(*pointer);                                                                                      \
		*pointer = NULL;                                                                                               \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* The object that embeds `member` at address `pointer`. */
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* A broken invariant ends the process with file, line and expression on stderr; on in every build. */
#define CHECK(expression)                                                                                              \
	do {                                                                                                               \
		if (__builtin_expect(!(expression), 0))                                                                        \
			check_failed(__FILE__, __LINE__, #expression);                                                             \
	} while (0)

NORETURN void check_failed(const char *file, int line, const char *expression);
