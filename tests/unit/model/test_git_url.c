#include "tests/unit/unit.h"

#include "common/model/git_url.h"

static struct git_url parsed(const char *text)
{
	struct git_url url;
	struct error err = ERROR_INIT;
	if (git_url_parse(text, &url, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	return url;
}

TEST(the_parts_of_a_url)
{
	struct git_url url = parsed("https://Git.Example.ORG:8443/group/demo.git/");
	assert_string_equal(url.scheme, "https");
	assert_string_equal(url.host, "git.example.org");
	assert_int_equal(url.port, 8443);
	assert_string_equal(url.path, "/group/demo.git");
}

TEST(schemes_have_their_ports)
{
	assert_int_equal(parsed("https://h/x").port, 443);
	assert_int_equal(parsed("http://h/x").port, 80);
	assert_int_equal(parsed("ssh://git@h/x").port, 22);
	assert_string_equal(parsed("ssh://git@h/x").user, "git");
	assert_string_equal(parsed("http://[::1]:81/x").host, "::1");
	assert_int_equal(parsed("http://[::1]:81/x").port, 81);
}

TEST(what_has_two_readings_is_refused)
{
	static const char *const bad[] = {
		"",
		"demo",
		"/etc/passwd",
		"file:///etc/passwd",
		"ext::sh -c x",
		"git://h/x",
		"ftp://h/x",
		"git@h:x.git",
		"https://user@h/x",
		"https://user:secret@h/x",
		"https:///x",
		"https://:80/x",
		"https://h:0/x",
		"https://h:65536/x",
		"https://h:8x/x",
		"https://[::1/x",
		"https://h/a/../b",
		"https://h/a/./b",
		"https://h/..",
		"https://h/a//b",
		"https://h/%2e%2e/b",
		"https://h/a%2Fb",
		"https://h/a%5cb",
		"https://h/a b",
		"https://h/a\\b",
		"https://h/a?b",
		"https://h/a#b",
		"https://h\n/x",
		"https://-oProxy/x",
		"ssh://-oProxyCommand=x/y",
		"ssh://-l@h/x",
		"https://h/\xc3\xa4",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct git_url url;
		struct error err = ERROR_INIT;
		if (git_url_parse(bad[i], &url, &err) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

static int below(const char *text, const char *prefix)
{
	struct git_url url = parsed(text), base = parsed(prefix);
	return git_url_is_below(&url, &base);
}

TEST(a_prefix_ends_at_a_slash)
{
	assert_true(below("https://h/org/a.git", "https://h/org"));
	assert_true(below("https://h/org/a.git", "https://h/org/"));
	assert_true(below("https://h/org/a.git", "https://h"));
	assert_true(below("https://h/org", "https://h/org"));
	assert_true(below("https://H:443/org", "https://h/org"));
	assert_false(below("https://h/organisation/a.git", "https://h/org"));
	assert_false(below("https://h/", "https://h/org"));
}

TEST(scheme_host_and_port_must_be_equal)
{
	assert_false(below("http://h/x", "https://h/"));
	assert_false(below("https://h.evil.org/x", "https://h/"));
	assert_false(below("https://h:444/x", "https://h/"));
	assert_false(below("https://sub.h/x", "https://h/"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_parts_of_a_url),
		cmocka_unit_test(schemes_have_their_ports),
		cmocka_unit_test(what_has_two_readings_is_refused),
		cmocka_unit_test(a_prefix_ends_at_a_slash),
		cmocka_unit_test(scheme_host_and_port_must_be_equal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
