#include "executor/git/remote.h"

#include <ctype.h>
#include <sys/wait.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "executor/git/upload_pack.h"

#define LIST_TIMEOUT_MS 60000
#define SHORT_WAY_MS 10000 /* then git is asked */
#define DEFAULT_BRANCH "main"
#define SIGNAL_OF_FILE_LIMIT "25" /* SIGXFSZ */

/* How much a line of git's standard error tells: 0 = nothing. */
static int rank_line(const char *line)
{
	/* After these ssh or the server has spoken, and said more. */
	static const char *const vague[] = {"fatal: Could not read from remote repository",
										"Please make sure you have the correct access", "and the repository exists",
										"\n"};
	static const char *const marks[] = {"remote: ", "error: ", "fatal: "};
	for (size_t i = 0; i < ARRAY_LEN(vague); i++) {
		if (str_starts(line, vague[i]))
			return 0;
	}
	for (size_t i = ARRAY_LEN(marks); i > 0; i--) {
		if (str_starts(line, marks[i - 1]))
			return (int)i + 1;
	}
	return 1;
}

/* One line of text, printable and cut to half of what there is room for: lossy UTF-8 takes three bytes for one. */
static void copy_clean(const char *text, size_t len, char *ret, size_t size)
{
	struct buffer clean;
	buffer_init(&clean, size * 3);
	(void)str_append_utf8_lossy(&clean, text, len < size / 2 ? len : size / 2); /* fits: three bytes for one */
	(void)snprintf(ret, size, "%s", clean.data);
	buffer_release(&clean);
	for (char *c = ret; *c != '\0'; c++) {
		if (iscntrl((unsigned char)*c))
			*c = ' ';
	}
	for (size_t end = strlen(ret); end > 0 && ret[end - 1] == ' '; end--)
		ret[end - 1] = '\0';
}

/* The line that tells most: the last "fatal:", else the last "error:", else "remote:", else the last. */
static void telling_line(const struct buffer *errors, char *ret, size_t size)
{
	int best_rank = 1;
	const char *best = "git gave no reason";
	size_t best_len = strlen(best);
	const char *text = errors->data;
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		int rank = rank_line(text);
		if (rank >= best_rank) {
			best_rank = rank;
			best = text;
			best_len = len;
		}
		text += len + (text[len] == '\n' ? 1 : 0);
	}
	copy_clean(best, best_len, ret, size);
}

/* Whether a line begins with these words of git's own: what the server or a hook of its prints has "remote: " before
 * it. */
static bool says(const char *errors, const char *words)
{
	while (*errors != '\0') {
		if (str_starts(errors, words))
			return true;
		errors = strchrnul(errors, '\n');
		errors += *errors == '\n' ? 1 : 0;
	}
	return false;
}

/* The failure of a command that has ended. */
static int command_failed(const struct git_command *command, const char *what, int status, struct error *err)
{
	char line[300];
	telling_line(&command->errors, line, sizeof(line));
	if (WIFSIGNALED(status))
		return error_set(err, ERR_UNAVAILABLE, "%s: git was killed by signal %d", what, WTERMSIG(status));
	const char *errors = command->errors.data;
	enum error_kind kind = remote_error_kind(errors);
	if (kind == ERR_DENIED && strstr(errors, "could not read Username") != NULL)
		return error_set(err, kind, "%s: it asks for a user and a password, and there is no credential for it", what);
	return error_set(err, kind, "%s: %s", what, kind == ERR_LIMIT ? "the disk is full" : line);
}

static bool slice_equal(const char *text, size_t len, const char *other)
{
	return strlen(other) == len && strncmp(text, other, len) == 0;
}

static void copy_slice(char *ret, size_t size, const char *text, size_t len)
{
	if (len < size)
		(void)snprintf(ret, size, "%.*s", (int)len, text);
}

/* A ref is a file to git: none is a folder of another. */
static bool is_in_the_way(const char *ref, size_t len, const char *wanted)
{
	size_t wanted_len = strlen(wanted), less = len < wanted_len ? len : wanted_len;
	return len > strlen("refs/heads/") && len != wanted_len && strncmp(ref, wanted, less) == 0 &&
		   (len < wanted_len ? wanted : ref)[less] == '/';
}

/* "ref: refs/heads/main TAB HEAD" or "SHA TAB REF". HEAD comes first, so that the branch is known when its own line
 * comes. */
static void take_listed(void *ctx, const char *line, size_t len)
{
	static const char symref[] = "ref: refs/heads/";
	struct remote_listing *listing = ctx;
	const char *tab = memchr(line, '\t', len);
	if (tab == NULL)
		return;
	size_t left_len = (size_t)(tab - line);
	const char *ref = tab + 1;
	size_t ref_len = len - left_len - 1;
	bool head = slice_equal(ref, ref_len, "HEAD");
	if (head && left_len > sizeof(symref) - 1 && strncmp(line, symref, sizeof(symref) - 1) == 0) {
		copy_slice(listing->refs.head_branch, sizeof(listing->refs.head_branch), line + sizeof(symref) - 1,
				   left_len - (sizeof(symref) - 1));
		if (listing->wanted[0] == '\0')
			(void)snprintf(listing->wanted, sizeof(listing->wanted), "%.*s", (int)(left_len - 5), line + 5);
		return;
	}
	if (!str_is_sha(line, left_len))
		return;
	if (head)
		copy_slice(listing->refs.head, GIT_SHA_SIZE, line, left_len);
	if (listing->wanted[0] == '\0') /* a detached HEAD, or none */
		(void)snprintf(listing->wanted, sizeof(listing->wanted), "refs/heads/" DEFAULT_BRANCH);
	if (slice_equal(ref, ref_len, listing->wanted))
		copy_slice(listing->refs.tip, GIT_SHA_SIZE, line, left_len);
	if (is_in_the_way(ref, ref_len, listing->wanted))
		(void)snprintf(listing->refs.in_the_way, GIT_REF_SIZE, "%.*s", (int)(ref_len - strlen("refs/heads/")),
					   ref + strlen("refs/heads/"));
	if (slice_equal(ref, ref_len, listing->fence_ref))
		copy_slice(listing->refs.fence, GIT_SHA_SIZE, line, left_len);
}

static int start_command(struct remote_listing *listing, struct error *err)
{
	const char *args[] = {"ls-remote", "--quiet", "--symref", listing->remote->url_text, NULL};
	if (git_command_start(&listing->command, listing->remote, listing->git_dir, args, listing->deadline_ms, take_listed,
						  listing, err) < 0)
		return -1;
	listing->command.quiet_if_missing = listing->remote->may_be_missing;
	return 0;
}

static void begin(struct remote_listing *listing, const struct git_remote *remote, const char *git_dir,
				  const char *branch, const char *fence_ref)
{
	int64_t timeout_ms = remote->timeout_ms < LIST_TIMEOUT_MS ? remote->timeout_ms : LIST_TIMEOUT_MS;
	*listing = (struct remote_listing){
		.remote = remote, .git_dir = git_dir, .deadline_ms = clock_boot_ms() + timeout_ms, .wanted = ""};
	if (branch != NULL)
		(void)snprintf(listing->wanted, sizeof(listing->wanted), "refs/heads/%s", branch);
	(void)snprintf(listing->fence_ref, sizeof(listing->fence_ref), "%s", fence_ref);
}

int remote_list_start(struct remote_listing *listing, const struct git_remote *remote, const char *git_dir,
					  const char *branch, const char *fence_ref, struct error *err)
{
	begin(listing, remote, git_dir, branch, fence_ref);
	int64_t short_ms = clock_boot_ms() + SHORT_WAY_MS;
	listing->asked = upload_pack_ask_refs(remote, branch != NULL ? branch : DEFAULT_BRANCH, fence_ref,
										  short_ms < listing->deadline_ms ? short_ms : listing->deadline_ms);
	return listing->asked != NULL ? 0 : start_command(listing, err);
}

static int finish_command(struct remote_listing *listing, struct error *err)
{
	int status = 0;
	int rc = git_command_wait(&listing->command, &status, err);
	if (rc == 0 && status != 0)
		rc = command_failed(&listing->command, "looking at the remote", status, err);
	git_command_release(&listing->command);
	return rc;
}

int remote_list_finish(struct remote_listing *listing, struct remote_refs *ret_refs, struct error *err)
{
	int taken = 0;
	if (listing->asked != NULL) {
		taken = upload_pack_take_refs(listing->asked, take_listed, listing, err);
		if (taken < 0 || (taken == 0 && start_command(listing, err) < 0))
			return -1;
	}
	int rc = taken > 0 ? 0 : finish_command(listing, err);
	if (rc < 0 && err->kind != ERR_NOT_FOUND)
		return -1;
	if (rc < 0)
		listing->refs = (struct remote_refs){.missing = true};
	if (listing->wanted[0] == '\0')
		(void)snprintf(listing->wanted, sizeof(listing->wanted), "refs/heads/" DEFAULT_BRANCH);
	(void)snprintf(listing->refs.branch, sizeof(listing->refs.branch), "%s", listing->wanted + strlen("refs/heads/"));
	*ret_refs = listing->refs;
	return 0;
}

int remote_list(const struct git_remote *remote, const char *git_dir, const char *branch, const char *fence_ref,
				struct remote_refs *ret_refs, struct error *err)
{
	struct remote_listing listing;
	begin(&listing, remote, git_dir, branch, fence_ref);
	return start_command(&listing, err) < 0 ? -1 : remote_list_finish(&listing, ret_refs, err);
}

/* Within the limits that git has been given. */
static int fetch_failed(const struct git_command *command, int status, struct error *err)
{
	const char *errors = command->errors.data;
	if (says(errors, "fatal: Out of memory"))
		return error_set(err, ERR_INVALID, "fetching: the repository has objects that take more memory than there is");
	if (says(errors, "error: index-pack died of signal " SIGNAL_OF_FILE_LIMIT) ||
		says(errors, "error: unpack-objects died of signal " SIGNAL_OF_FILE_LIMIT))
		return error_set(err, ERR_INVALID, "fetching: it is over %lld bytes", (long long)command->remote->file_bytes);
	return command_failed(command, "fetching", status, err);
}

int remote_fetch(const struct git_remote *remote, const char *git_dir, const char *ref, const char *local_ref,
				 struct error *err)
{
	CLEANUP(free_p) char *refspec = xasprintf("+%s:%s", ref, local_ref);
	const char *args[] = {
		"-c", /* each has a delta and its base in memory; git would take more where there are more cores */
		"pack.threads=3",
		"fetch",
		"--quiet",
		"--no-tags",
		"--no-write-fetch-head",
		"--no-auto-maintenance",
		"--no-recurse-submodules",
		remote->url_text,
		refspec,
		NULL};
	struct git_command command;
	if (git_command_start(&command, remote, git_dir, args, clock_boot_ms() + remote->timeout_ms, NULL, NULL, err) < 0)
		return -1;
	int status = 0;
	int rc = git_command_wait(&command, &status, err);
	if (rc == 0 && status != 0)
		rc = fetch_failed(&command, status, err);
	git_command_release(&command);
	return rc;
}

struct push_reading {
	const struct remote_push *push;
	struct push_report *report;
	bool lines;
};

static void take_pushed(void *ctx, const char *line, size_t len)
{
	struct push_reading *reading = ctx;
	const struct remote_push *push = reading->push;
	if (push->branch_ref != NULL && push_porcelain_read(line, len, push->branch_ref, &reading->report->branch))
		reading->lines = true;
	if (push->fence_ref != NULL && push_porcelain_read(line, len, push->fence_ref, &reading->report->fence))
		reading->lines = true;
}

/* Why the server has not taken the objects in: git on its side says it over the connection, ours only repeats how that
 * ended. */
static void take_words(const char *errors, struct push_report *report)
{
	static const char *const marks[] = {"error: remote unpack failed: ", "remote: error: ", "remote: fatal: "};
	size_t best = 0;
	for (const char *text = errors; *text != '\0';) {
		size_t len = strcspn(text, "\n");
		for (size_t i = best; i < ARRAY_LEN(marks); i++) {
			size_t mark_len = strlen(marks[i]);
			if (!str_starts(text, marks[i]))
				continue;
			copy_clean(text + mark_len, len - mark_len, report->words, sizeof(report->words));
			best = i;
		}
		text += len + (text[len] == '\n' ? 1 : 0);
	}
}

/* What git says when it was not let in, by how far it had come: what is told of the answers to its first request, and of
 * who hung up before the first word, is told before anything is sent; what a web server answers so, it has not passed on.
 */
static bool was_refused_at_the_door(const struct git_command *command)
{
	static const char *const of_http[] = {
		"fatal: Authentication failed for",
		"fatal: could not read Username",
		"fatal: could not read Password",
		"fatal: unable to access '",
		"fatal: repository '",
		"error: RPC failed; HTTP 401",
		"error: RPC failed; HTTP 403",
		"error: RPC failed; HTTP 404",
		"error: RPC failed; HTTP 410",
	};
	const char *errors = command->errors.data;
	/* Over ssh some hooks' words come without "remote: ": git's own last one tells that something was sent, unless
	 * they have filled the room. */
	if (!str_starts(command->remote->url_text, "http"))
		return says(errors, "fatal: Could not read from remote repository") &&
			   !says(errors, "fatal: the remote end hung up unexpectedly") &&
			   !says(errors, "send-pack: unexpected disconnect") && command->errors.len < command->errors.max;
	for (size_t i = 0; i < ARRAY_LEN(of_http); i++) {
		if (says(errors, of_http[i]))
			return true;
	}
	return false;
}

/* The failure of a push that no ref was told of. */
static int push_failed(const struct git_command *command, int status, struct push_report *report, struct error *err)
{
	(void)command_failed(command, "pushing", status, err); /* returned below */
	if (err->kind != ERR_DENIED && err->kind != ERR_NOT_FOUND)
		return -1;
	if (was_refused_at_the_door(command))
		report->sent = false;
	else
		err->kind = ERR_UNAVAILABLE; /* somebody else's words, who may have taken it in */
	return -1;
}

/* A web server before git's takes no more than so much, and has passed nothing on. */
static void take_size_refusal(const struct remote_push *push, struct push_report *report)
{
	const struct push_line refused = {.fate = PUSH_REJECTED, .reason = "it is more than the server takes (HTTP 413)"};
	if (push->branch_ref != NULL)
		report->branch = refused;
	if (push->fence_ref != NULL)
		report->fence = refused;
}

static int run_push(const struct git_remote *remote, const struct remote_push *push, const char *const *args,
					int64_t deadline_ms, struct push_report *report, struct error *err)
{
	bool atomic = push->branch_ref != NULL && push->fence_ref != NULL;
	struct push_reading reading = {.push = push, .report = report};
	struct git_remote unbound = *remote;
	unbound.memory_bytes = 0; /* what it sends was within limits as it was made, and git looks for deltas in threads */
	struct git_command command;
	if (git_command_start(&command, &unbound, push->git_dir, args, deadline_ms, take_pushed, &reading, err) < 0)
		return -1;
	command.interruptible = false;
	report->sent = true;
	int status = 0;
	int rc = git_command_wait(&command, &status, err);
	const char *errors = command.errors.data;
	report->atomic_unsupported =
		atomic && !reading.lines && says(errors, "fatal: the receiving end does not support --atomic push");
	if (report->atomic_unsupported)
		report->sent = false;
	take_words(errors, report);
	if (rc == 0 && !reading.lines && says(errors, "error: RPC failed; HTTP 413")) {
		take_size_refusal(push, report);
	} else if (rc == 0 && !reading.lines && !report->atomic_unsupported) {
		rc = push_failed(&command, status, report, err);
	}
	git_command_release(&command);
	return rc;
}

int remote_push(const struct git_remote *remote, const struct remote_push *push, int64_t deadline_ms,
				struct push_report *ret_report, struct error *err)
{
	*ret_report = (struct push_report){.branch = {.fate = PUSH_SILENT}, .fence = {.fate = PUSH_SILENT}};
	CLEANUP(free_p) char *branch_lease = NULL;
	CLEANUP(free_p) char *branch_spec = NULL;
	CLEANUP(free_p) char *fence_lease = NULL;
	CLEANUP(free_p) char *fence_spec = NULL;
	const char *args[16] = {"push", "--porcelain", "--no-verify", "--recurse-submodules=no"};
	size_t len = 4;
	if (push->branch_ref != NULL && push->fence_ref != NULL)
		args[len++] = "--atomic";
	if (push->branch_ref != NULL) {
		branch_lease = xasprintf("--force-with-lease=%s:%s", push->branch_ref, push->branch_old);
		branch_spec = xasprintf("%s:%s", push->commit, push->branch_ref);
		args[len++] = branch_lease;
	}
	if (push->fence_ref != NULL) {
		fence_lease = xasprintf("--force-with-lease=%s:%s", push->fence_ref, push->fence_old);
		fence_spec = xasprintf("%s:%s", push->fence_value, push->fence_ref);
		args[len++] = fence_lease;
	}
	args[len++] = remote->url_text;
	if (branch_spec != NULL)
		args[len++] = branch_spec;
	if (fence_spec != NULL)
		args[len++] = fence_spec;
	args[len] = NULL;
	return run_push(remote, push, args, deadline_ms, ret_report, err);
}
