#include <malloc.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/config_internal.h"
#include "common/base/log.h"
#include "common/base/str.h"

#define EXIT_USAGE 2

void config_refuse(const char *name, const struct error *err)
{
	(void)fprintf(stderr, "%s: the configuration is wrong:\n%s\n", name, err->message);
	exit(EXIT_USAGE);
}

static NORETURN void print_help(const char *name, const char *summary, const struct config_option *options,
								size_t count)
{
	(void)printf("%s: %s\n\nUsage: %s [--help | --version]\n", name, summary, name);
	config_print_help(options, count, stdout);
	exit(fflush(stdout) == 0 ? 0 : 1);
}

static NORETURN void print_version(const char *name)
{
	(void)printf("%s %s\n", name, kiln_version);
	exit(fflush(stdout) == 0 ? 0 : 1);
}

static void refuse_root(const char *name)
{
	if (geteuid() != 0 || str_equal(getenv("KILN_ALLOW_ROOT"), "1"))
		return;
	(void)fprintf(stderr, "%s: does not run as root (KILN_ALLOW_ROOT=1 is for tests in containers only)\n", name);
	exit(1);
}

static void dump_config(const struct config_option *options, size_t count, const void *config)
{
	for (size_t i = 0; i < config_common_count + count; i++) {
		const struct config_option *option = config_option_at(options, count, i);
		CLEANUP(free_p) char *value = config_value_text(option, config);
		log_debug("config", "name", option->name, "value", value, NULL);
	}
}

/* Batches and bodies come and go: what they needed goes back to the system instead of staying in many arenas. */
static void keep_memory_small(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 256 * 1024); /* hints: without them it only takes more memory */
	(void)mallopt(M_TRIM_THRESHOLD, 512 * 1024);
	(void)mallopt(M_ARENA_MAX, 2);
}

void service_start(const char *name, const char *summary, const struct config_option *options, size_t count,
				   void *config, int argc, char **argv)
{
	if (argc > 1 && str_equal(argv[1], "--help"))
		print_help(name, summary, options, count);
	if (argc > 1 && str_equal(argv[1], "--version"))
		print_version(name);
	if (argc > 1) {
		(void)fprintf(stderr, "%s: unknown argument \"%s\"; try --help\n", name, argv[1]);
		exit(EXIT_USAGE);
	}
	refuse_root(name);
	struct error err = ERROR_INIT;
	if (config_load(options, count, config, &err) < 0)
		config_refuse(name, &err);
	const struct config_common *common = config;
	keep_memory_small();
	log_init(name, (enum log_level)common->log_level, (enum log_format)common->log_format);
	dump_config(options, count, config);
}
