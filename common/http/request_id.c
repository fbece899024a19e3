#include "common/http/request_id.h"

bool request_id_is_valid(const char *text, size_t len)
{
	if (len == 0 || len > REQUEST_ID_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
			  c == ':' || c == '-'))
			return false;
	}
	return true;
}
