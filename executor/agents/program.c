#include "executor/agents/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/str.h"

#define KEY_MAX_BYTES 4096
#define KEY_MIN_BYTES 8 /* what is shorter would mask half of every log */

void agent_program_arg(struct agent_program *program, char *argument)
{
	CHECK(program->argv_len < AGENT_MAX_ARGS);
	program->argv[program->argv_len++] = argument;
	program->argv[program->argv_len] = NULL;
}

void agent_program_arg_copy(struct agent_program *program, const char *argument)
{
	agent_program_arg(program, xstrdup(argument));
}

void agent_program_env(struct agent_program *program, const char *name, const char *value)
{
	CHECK(program->envp_len < AGENT_MAX_ENV);
	program->envp[program->envp_len++] = xasprintf("%s=%s", name, value);
	program->envp[program->envp_len] = NULL;
}

static bool is_key(const char *text, size_t len)
{
	if (len < KEY_MIN_BYTES)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	}
	return true;
}

int agent_program_secret(struct agent_program *program, const char *path, struct error *err)
{
	char text[KEY_MAX_BYTES];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_set(err, ERR_DENIED, "the key file of this worker cannot be read");
	ssize_t got = read(fd, text, sizeof(text)); /* a regular file gives all of it at once */
	(void)close(fd);                            /* read only */
	size_t len = got > 0 ? (size_t)got : 0;
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	bool good = got >= 0 && (size_t)got < sizeof(text) && is_key(text, len);
	if (good)
		program->secret = xstrndup(text, len);
	explicit_bzero(text, sizeof(text));
	if (!good)
		return error_set(err, ERR_DENIED,
						 "the key file of this worker holds no key: one line without blanks is wanted");
	return 0;
}

static void wipe(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

void agent_program_release(struct agent_program *program)
{
	for (size_t i = 0; i < program->argv_len; i++)
		free(program->argv[i]);
	for (size_t i = 0; i < program->envp_len; i++)
		wipe(program->envp[i]);
	free(program->model);
	wipe(program->secret);
	*program = (struct agent_program){.argv_len = 0};
}
