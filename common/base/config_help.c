#include "common/base/alloc.h"
#include "common/base/config_internal.h"
#include "common/base/str.h"

static const char *type_text(const struct config_option *option, struct buffer *scratch)
{
	buffer_clear(scratch);
	switch (option->type) {
	case CONFIG_STRING:
		return "text";
	case CONFIG_BOOL:
		return "true or false";
	case CONFIG_LIST:
		return "comma-separated list";
	case CONFIG_INT:
		(void)buffer_appendf(scratch, "%lld to %lld", (long long)option->min, (long long)option->max);
		return scratch->data;
	case CONFIG_ENUM:
		for (size_t i = 0; option->choices[i] != NULL; i++)
			(void)buffer_appendf(scratch, "%s%s", i > 0 ? ", " : "", option->choices[i]); /* cut at its maximum: fine */
		return scratch->data;
	}
	return "";
}

static void print_option(const struct config_option *option, FILE *out)
{
	CLEANUP(buffer_release_p) struct buffer scratch;
	buffer_init(&scratch, 512);
	(void)fprintf(out, "  %s\n      %s (%s", option->name, option->help, type_text(option, &scratch));
	if ((option->flags & CONFIG_REQUIRED) != 0)
		(void)fprintf(out, "; required");
	if ((option->flags & CONFIG_SECRET) != 0)
		(void)fprintf(out, "; secret");
	if (option->fallback != NULL && *option->fallback != '\0')
		(void)fprintf(out, "; default %s", option->fallback);
	(void)fprintf(out, ")\n");
}

void config_print_help(const struct config_option *options, size_t count, FILE *out)
{
	(void)fprintf(out, "\nEnvironment:\n"); /* help that cannot be written is not worth an error */
	for (size_t i = 0; i < count; i++)
		print_option(&options[i], out);
	(void)fprintf(out, "\nEnvironment of every service:\n");
	for (size_t i = 0; i < config_common_count; i++)
		print_option(&config_common_options[i], out);
}

static char *list_text(char *const *list)
{
	struct buffer text;
	buffer_init(&text, 4096);
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		(void)buffer_appendf(&text, "%s%s", i > 0 ? "," : "", list[i]); /* cut at its maximum: fine */
	return buffer_detach(&text, NULL);
}

char *config_value_text(const struct config_option *option, const void *config)
{
	const char *at = (const char *)config + option->offset;
	if ((option->flags & CONFIG_SECRET) != 0)
		return option->type == CONFIG_STRING && *(char *const *)(const void *)at == NULL ? NULL : xstrdup("(set)");
	switch (option->type) {
	case CONFIG_STRING:
		return xstrdup(*(char *const *)(const void *)at);
	case CONFIG_LIST:
		return list_text(*(char *const *const *)(const void *)at);
	case CONFIG_INT:
		return xasprintf("%lld", (long long)*(const int64_t *)(const void *)at);
	case CONFIG_BOOL:
		return xstrdup(*(const bool *)(const void *)at ? "true" : "false");
	case CONFIG_ENUM:
		return xstrdup(option->choices[*(const int64_t *)(const void *)at]);
	}
	return NULL;
}
