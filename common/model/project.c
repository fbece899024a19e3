#include "common/model/project.h"

#include <string.h>

void network_write(struct json_writer *w, const char *network)
{
	json_raw(w, "network", network != NULL ? network : "{\"allow\":[]}");
}

bool project_git_url(const char *base, const char *git_url, const char *name, struct buffer *ret)
{
	if (git_url == NULL && base == NULL)
		return false;
	if (git_url != NULL)
		return buffer_append_str(ret, git_url) == 0;
	size_t len = strlen(base);
	while (len > 0 && base[len - 1] == '/')
		len--;
	(void)buffer_append(ret, base, len); /* an overflow is looked at once, at the end */
	(void)buffer_append_char(ret, '/');
	(void)buffer_append_str(ret, name);
	return buffer_append_str(ret, ".git") == 0;
}
