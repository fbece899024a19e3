#include "common/artifacts/media_type.h"

#include <string.h>
#include <strings.h>

#include "common/base/compiler.h"
#include "common/base/str.h"

static const char unknown[] = "application/octet-stream";

/* IANA's registry, where it has the type. */
static const struct {
	const char *ending, *type;
} types[] = {
	{"7z", "application/x-7z-compressed"},
	{"bin", unknown},
	{"bundle", "application/x-git-bundle"},
	{"bz2", "application/x-bzip2"},
	{"c", "text/x-c"},
	{"css", "text/css"},
	{"csv", "text/csv"},
	{"deb", "application/vnd.debian.binary-package"},
	{"diff", "text/x-diff"},
	{"gif", "image/gif"},
	{"go", "text/x-go"},
	{"gz", "application/gzip"},
	{"h", "text/x-c"},
	{"htm", "text/html"},
	{"html", "text/html"},
	{"ico", "image/vnd.microsoft.icon"},
	{"jar", "application/java-archive"},
	{"jpeg", "image/jpeg"},
	{"jpg", "image/jpeg"},
	{"js", "text/javascript"},
	{"json", "application/json"},
	{"jsonl", "application/x-ndjson"},
	{"log", "text/plain"},
	{"map", "application/json"},
	{"md", "text/markdown"},
	{"mjs", "text/javascript"},
	{"mp3", "audio/mpeg"},
	{"mp4", "video/mp4"},
	{"ndjson", "application/x-ndjson"},
	{"patch", "text/x-diff"},
	{"pdf", "application/pdf"},
	{"png", "image/png"},
	{"py", "text/x-python"},
	{"rs", "text/x-rust"},
	{"sarif", "application/json"},
	{"sh", "text/x-sh"},
	{"svg", "image/svg+xml"},
	{"tar", "application/x-tar"},
	{"tgz", "application/gzip"},
	{"toml", "application/toml"},
	{"ts", "text/x-typescript"},
	{"txt", "text/plain"},
	{"wasm", "application/wasm"},
	{"wav", "audio/wav"},
	{"webm", "video/webm"},
	{"webp", "image/webp"},
	{"whl", "application/zip"},
	{"woff2", "font/woff2"},
	{"xml", "application/xml"},
	{"xz", "application/x-xz"},
	{"yaml", "application/yaml"},
	{"yml", "application/yaml"},
	{"zip", "application/zip"},
	{"zst", "application/zstd"},
};

const char *media_type_of(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
	const char *dot = strrchr(name, '.');
	if (dot == NULL || dot == name)
		return unknown;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strcasecmp(types[i].ending, dot + 1) == 0)
			return types[i].type;
	}
	return unknown;
}

const char *media_type_known(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (str_equal(types[i].type, type))
			return types[i].type;
	}
	return unknown;
}
