#include "executor/proxy/key.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/fd.h"

static bool is_key(const char *text, size_t len)
{
	if (len < MODEL_KEY_MIN_BYTES)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	}
	return true;
}

int model_key_read(const char *path, char **ret_key, struct error *err)
{
	char text[MODEL_KEY_MAX_BYTES];
	CLEANUP(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_set(err, ERR_DENIED, "the key file of this worker cannot be read");
	ssize_t got = fd_read_up_to(fd, text, sizeof(text));
	size_t len = got > 0 ? (size_t)got : 0;
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	bool good = got >= 0 && (size_t)got < sizeof(text) && is_key(text, len);
	if (good)
		*ret_key = xstrndup(text, len);
	explicit_bzero(text, sizeof(text));
	if (!good)
		return error_set(err, ERR_DENIED,
						 "the key file of this worker holds no key: one line without blanks is wanted");
	return 0;
}

void model_key_free(char *key)
{
	if (key != NULL)
		explicit_bzero(key, strlen(key));
	free(key);
}

size_t model_key_hide(const char *key, char *data, size_t len)
{
	size_t key_len = strlen(key);
	char *found, *at = data;
	while ((found = memmem(at, len - (size_t)(at - data), key, key_len)) != NULL) {
		memset(found, '*', key_len);
		at = found + key_len;
	}
	/* The longest end that is a beginning of the key. */
	size_t rest = len - (size_t)(at - data);
	size_t most = rest < key_len - 1 ? rest : key_len - 1;
	for (char *from = data + len - most; from < data + len; from++) {
		if (*from == key[0] && memcmp(from, key, (size_t)(data + len - from)) == 0)
			return (size_t)(data + len - from);
	}
	return 0;
}
