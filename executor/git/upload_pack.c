#include "executor/git/upload_pack.h"

#include "common/base/alloc.h"
#include "common/base/str.h"

#define REQUEST_BYTES ((size_t)16 * 1024)
#define LISTING_BYTES ((size_t)1024 * 1024)

struct smart_http *upload_pack_ask_refs(const struct git_remote *remote, const char *branch, const char *fence_ref,
										int64_t deadline_ms)
{
	CLEANUP(buffer_release_p) struct buffer request;
	buffer_init(&request, REQUEST_BYTES);
	pkt_append(&request, "command=ls-refs");
	pkt_append_delimiter(&request);
	pkt_append(&request, "symrefs");
	pkt_append(&request, "ref-prefix HEAD");
	pkt_append(&request, "ref-prefix refs/heads/%s", branch);
	pkt_append(&request, "ref-prefix %s", fence_ref);
	pkt_append_flush(&request);
	return smart_http_ask(remote, &request, LISTING_BYTES, deadline_ms);
}

/* "SHA REF", then attributes. */
static void take_ref(const char *text, size_t len, git_line *on_line, void *ctx)
{
	static const char target_mark[] = " symref-target:";
	const char *space = memchr(text, ' ', len); /* is_listing has found it */
	int sha_len = (int)(space - text);
	const char *ref = space + 1, *end = text + len;
	const char *ref_end = memchr(ref, ' ', (size_t)(end - ref));
	int ref_len = (int)((ref_end != NULL ? ref_end : end) - ref);
	const char *target = memmem(text, len, target_mark, sizeof(target_mark) - 1);
	if (target != NULL) {
		target += sizeof(target_mark) - 1;
		const char *target_end = memchr(target, ' ', (size_t)(end - target));
		int target_len = (int)((target_end != NULL ? target_end : end) - target);
		CLEANUP(free_p) char *symbolic = xasprintf("ref: %.*s\t%.*s", target_len, target, ref_len, ref);
		CLEANUP(free_p) char *its_target = xasprintf("%.*s\t%.*s", sha_len, text, target_len, target);
		on_line(ctx, symbolic, strlen(symbolic));
		on_line(ctx, its_target, strlen(its_target));
	}
	CLEANUP(free_p) char *line = xasprintf("%.*s\t%.*s", sha_len, text, ref_len, ref);
	on_line(ctx, line, strlen(line));
}

/* False: not a listing. Nobody has heard of its lines then. */
static bool is_listing(struct pkt_reader answer)
{
	const char *data;
	size_t len;
	enum pkt_kind kind;
	while ((kind = pkt_next(&answer, &data, &len)) == PKT_DATA) {
		if (len <= GIT_OID_HEXSZ || memchr(data, ' ', len) == NULL || memchr(data, '\0', len) != NULL ||
			strspn(data, "0123456789abcdef") < GIT_OID_HEXSZ)
			return false;
	}
	return kind == PKT_FLUSH && answer.left == 0;
}

int upload_pack_take_refs(struct smart_http *asked, git_line *on_line, void *ctx, struct error *err)
{
	CLEANUP(smart_http_free_p) struct smart_http *http = asked;
	struct pkt_reader answer;
	int rc = smart_http_answer(http, &answer, err);
	if (rc <= 0 || !is_listing(answer))
		return rc < 0 ? -1 : 0;
	const char *data;
	size_t len;
	while (pkt_next(&answer, &data, &len) == PKT_DATA) {
		if (len > 0 && data[len - 1] == '\n')
			len--;
		take_ref(data, len, on_line, ctx);
	}
	return 1;
}
