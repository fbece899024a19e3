#include "tests/unit/unit.h"
#include "tests/unit/executor/folder.h"

#include <string.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/wakeup.h"
#include "executor/git/upload_pack.h"
#include "tests/unit/http/tiny_server.h"

#define A "1111111111111111111111111111111111111111"
#define B "2222222222222222222222222222222222222222"
#define TIMEOUT_MS 60000
#define LISTING                                                                                                        \
	"0050" A                                                                                                           \
	" HEAD symref-target:refs/heads/main\n"                                                                            \
	"003d" A                                                                                                           \
	" refs/heads/main\n"                                                                                               \
	"003e" B                                                                                                           \
	" refs/heads/main2\n"                                                                                              \
	"0000"

/* A server, and a remote that is there. */
struct scene {
	struct tiny_server server;
	struct address_guard *guard;
	struct git_remote remote;
	char url[64];
	char *answer;
	struct buffer lines;
	struct error err;
};

static char *answer_of(const char *status, const char *body)
{
	return xasprintf(
		"HTTP/1.1 %s\r\nContent-Type: application/x-git-upload-pack-result\r\nContent-Length: %zu\r\n\r\n%s", status,
		strlen(body), body);
}

/* `body` NULL: the server says nothing. */
static void scene_make(struct scene *scene, const char *status, const char *body, const char *allow)
{
	*scene = (struct scene){.err = ERROR_INIT};
	scene->answer = body != NULL ? answer_of(status, body) : NULL;
	tiny_server_start(&scene->server, scene->answer, scene->answer != NULL ? strlen(scene->answer) : 0);
	(void)snprintf(scene->url, sizeof(scene->url), "http://127.0.0.1:%d/a/b.git", scene->server.port);
	assert_int_equal(address_guard_new(allow, &scene->guard, &scene->err), 0);
	scene->remote = (struct git_remote){.url_text = scene->url,
										.guard = scene->guard,
										.scratch_dir = folder,
										.lock_fd = -1,
										.timeout_ms = TIMEOUT_MS,
										.interrupt_fd = -1};
	assert_int_equal(git_url_parse(scene->url, &scene->remote.url, &scene->err), 0);
	buffer_init(&scene->lines, 1 << 16);
}

static void scene_end(struct scene *scene)
{
	tiny_server_stop(&scene->server);
	address_guard_free(scene->guard);
	buffer_release(&scene->lines);
	free(scene->answer);
}

static void add_line(void *ctx, const char *line, size_t len)
{
	assert_int_equal(buffer_append(ctx, line, len), 0);
	assert_int_equal(buffer_append_str(ctx, "\n"), 0);
}

static int list(struct scene *scene, int64_t timeout_ms)
{
	struct smart_http *asked =
		upload_pack_ask_refs(&scene->remote, "main", "refs/kiln/builds/x", clock_boot_ms() + timeout_ms);
	return asked == NULL ? 0 : upload_pack_take_refs(asked, add_line, &scene->lines, &scene->err);
}

TEST(refs_are_told_as_git_tells_them)
{
	struct scene scene;
	scene_make(&scene, "200 OK", LISTING, "127.0.0.1");
	assert_int_equal(list(&scene, TIMEOUT_MS), 1);
	assert_string_equal(scene.lines.data, "ref: refs/heads/main\tHEAD\n" A "\trefs/heads/main\n" A "\tHEAD\n" A
										  "\trefs/heads/main\n" B "\trefs/heads/main2\n");
	scene_end(&scene);
	assert_int_equal(strncmp(scene.server.last, "POST /a/b.git/git-upload-pack HTTP/1.1\r\n", 40), 0);
	assert_non_null(strstr(scene.server.last, "\r\nGit-Protocol: version=2\r\n"));
	assert_null(strstr(scene.server.last, "Authorization"));
	assert_non_null(strstr(scene.server.last, "001fref-prefix refs/heads/main\n"));
}

TEST(an_empty_repository_has_no_refs)
{
	struct scene scene;
	scene_make(&scene, "200 OK", "0000", "127.0.0.1");
	assert_int_equal(list(&scene, TIMEOUT_MS), 1);
	assert_int_equal(scene.lines.len, 0);
	scene_end(&scene);
}

TEST(what_is_no_listing_is_left_to_git)
{
	static const struct {
		const char *status, *body;
	} answers[] = {
		{"401 Unauthorized", LISTING},
		{"404 Not Found", "0000"},
		{"302 Found", "0000"},
		{"200 OK", ""},
		{"200 OK", "0016ERR access denied\n0000"},
		{"200 OK", "003d" A " refs/heads/main\n"},
		{"200 OK", "003d" A " refs/heads/main\n00000000"},
		{"200 OK", "003d" A " refs/heads/ma"},
		{"200 OK", "<html>not git</html>"},
		{"200 OK", "002d" A "\n0000"},
	};
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct scene scene;
		scene_make(&scene, answers[i].status, answers[i].body, "127.0.0.1");
		assert_int_equal(list(&scene, TIMEOUT_MS), 0);
		assert_int_equal(scene.lines.len, 0);
		scene_end(&scene);
		assert_int_equal(scene.server.requests, 1);
	}
}

TEST(an_address_that_is_not_allowed_is_not_spoken_to)
{
	struct scene scene;
	scene_make(&scene, "200 OK", LISTING, "127.0.0.2");
	assert_int_equal(list(&scene, TIMEOUT_MS), 0);
	scene_end(&scene);
	assert_int_equal(scene.server.requests, 0);
}

TEST(a_credential_is_sent_at_once_and_learned)
{
	struct scene scene;
	struct secrets secrets = {0};
	scene_make(&scene, "200 OK", LISTING, "127.0.0.1");
	CLEANUP(free_p) char *path = xasprintf("%s/c.json", folder);
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	(void)fprintf(file,
				  "{\"url_prefix\": \"http://127.0.0.1:%d/\", \"username\": \"u\", \"token\": \"a-long-secret-token\"}",
				  scene.server.port);
	assert_int_equal(fclose(file), 0);
	scene.remote.credential = "c";
	scene.remote.credentials_dir = folder;
	scene.remote.secrets = &secrets;
	assert_int_equal(list(&scene, TIMEOUT_MS), 1);
	scene_end(&scene);
	assert_non_null(strstr(scene.server.last, "\r\nAuthorization: Basic dTphLWxvbmctc2VjcmV0LXRva2Vu\r\n"));
	char text[] = "it is a-long-secret-token";
	assert_int_not_equal(secrets_mask(&secrets, text, strlen(text)), strlen("it is a-long-secret-token"));
	secrets_release(&secrets);
}

TEST(a_remote_that_says_nothing_is_left_to_git_at_the_deadline)
{
	struct scene scene;
	scene_make(&scene, NULL, NULL, "127.0.0.1");
	assert_int_equal(list(&scene, 50), 0);
	assert_int_equal(scene.lines.len, 0);
	scene_end(&scene);
}

static bool always(void *ctx UNUSED)
{
	return true;
}

TEST(a_cancel_ends_the_wait_and_nothing_is_asked_any_more)
{
	struct scene scene;
	struct wakeup cancel;
	scene_make(&scene, NULL, NULL, "127.0.0.1");
	wakeup_init(&cancel);
	wakeup_signal(&cancel);
	scene.remote.interrupt_fd = cancel.fd;
	scene.remote.interrupted = always;
	assert_int_equal(list(&scene, TIMEOUT_MS), -1);
	assert_int_equal(scene.err.kind, ERR_CANCELLED);
	wakeup_release(&cancel);
	scene_end(&scene);
	assert_true(scene.server.requests <= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(refs_are_told_as_git_tells_them, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(an_empty_repository_has_no_refs, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(what_is_no_listing_is_left_to_git, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(an_address_that_is_not_allowed_is_not_spoken_to, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(a_credential_is_sent_at_once_and_learned, folder_make, folder_remove),
		cmocka_unit_test_setup_teardown(a_remote_that_says_nothing_is_left_to_git_at_the_deadline, folder_make,
										folder_remove),
		cmocka_unit_test_setup_teardown(a_cancel_ends_the_wait_and_nothing_is_asked_any_more, folder_make,
										folder_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
