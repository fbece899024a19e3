#include "common/http/address_guard.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/base/clock.h"

static bool permits(const char *allow, const char *host, const char *address, int port)
{
	struct address_guard *guard;
	struct error err = ERROR_INIT;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	bool result;

	assert_int_equal(address_guard_new(allow, &guard, &err), 0);
	if (strchr(address, ':') == NULL) {
		assert_int_equal(inet_pton(AF_INET, address, &in.sin_addr), 1);
		result = address_guard_permits(guard, host, (const struct sockaddr *)&in);
	} else {
		assert_int_equal(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
		result = address_guard_permits(guard, host, (const struct sockaddr *)&in6);
	}
	address_guard_free(guard);
	return result;
}

TEST(special_addresses_are_refused)
{
	static const char *const special[] = {
		"0.0.0.0",
		"0.1.2.3",
		"10.0.0.1",
		"10.255.255.255",
		"100.64.0.1",
		"100.127.255.255",
		"127.0.0.1",
		"127.255.255.254",
		"169.254.169.254",
		"172.16.0.1",
		"172.31.255.255",
		"192.0.0.1",
		"192.0.2.1",
		"192.88.99.1",
		"192.168.0.1",
		"198.18.0.1",
		"198.19.255.255",
		"198.51.100.7",
		"203.0.113.9",
		"224.0.0.1",
		"239.255.255.255",
		"240.0.0.1",
		"255.255.255.255",
		"::",
		"::1",
		"::7f00:1",
		"::ffff:127.0.0.1",
		"::ffff:10.1.1.1",
		"::ffff:0:127.0.0.1",
		"64:ff9b::127.0.0.1",
		"64:ff9b::169.254.169.254",
		"64:ff9b:1::8.8.8.8",
		"100::1",
		"100:0:0:1::1",
		"2001::1",
		"2001:0:1:2:3:4:5:6",
		"2001:2::1",
		"2001:10::1",
		"2001:20::1",
		"2001:db8::1",
		"2002:7f00:1::",
		"2002:a00:1::1",
		"2002:c0a8:101::1",
		"3fff::1",
		"5f00::1",
		"fc00::1",
		"fd12:3456::1",
		"fe80::1",
		"febf::1",
		"fec0::1",
		"ff02::1",
		"4000::1",
		"2620:4f:8000::1",
	};

	for (size_t i = 0; i < ARRAY_LEN(special); i++) {
		if (permits(NULL, NULL, special[i], 443))
			fail_msg("%s was permitted", special[i]);
	}
}

TEST(public_addresses_are_permitted)
{
	static const char *const public[] = {
		"1.1.1.1",
		"8.8.8.8",
		"9.255.255.255",
		"11.0.0.0",
		"100.63.255.255",
		"100.128.0.0",
		"126.255.255.255",
		"128.0.0.1",
		"169.253.255.255",
		"172.15.255.255",
		"172.32.0.0",
		"192.0.1.1",
		"192.167.255.255",
		"192.169.0.0",
		"198.17.255.255",
		"198.20.0.0",
		"223.255.255.255",
		"2606:4700:4700::1111",
		"2001:4860:4860::8888",
		"2a00:1450:4001::1",
		"::ffff:8.8.8.8",
		"64:ff9b::8.8.8.8",
		"2002:808:808::1",
		"2001:200::1",
		"3ffe::1",
	};

	for (size_t i = 0; i < ARRAY_LEN(public); i++) {
		if (!permits("", NULL, public[i], 443))
			fail_msg("%s was refused", public[i]);
	}
}

TEST(other_address_families_are_refused)
{
	struct address_guard *guard;
	struct error err = ERROR_INIT;
	struct sockaddr address = {.sa_family = AF_UNIX};

	assert_int_equal(address_guard_new("0.0.0.0/0,::/0", &guard, &err), 0);
	assert_false(address_guard_permits(guard, "localhost", &address));
	address_guard_free(guard);
}

TEST(the_allow_list_opens_networks_and_ports)
{
	assert_true(permits("127.0.0.0/8", NULL, "127.0.0.1", 80));
	assert_true(permits(" 10.0.0.0/8 , 127.0.0.1 ", NULL, "127.0.0.1", 80));
	assert_false(permits("127.0.0.1", NULL, "127.0.0.2", 80));
	assert_true(permits("127.0.0.1:8080", NULL, "127.0.0.1", 8080));
	assert_false(permits("127.0.0.1:8080", NULL, "127.0.0.1", 8081));
	assert_true(permits("127.0.0.0/8:8080", NULL, "127.9.9.9", 8080));
	assert_true(permits("127.0.0.0/8", NULL, "::ffff:127.0.0.1", 80));
	assert_true(permits("::1", NULL, "::1", 80));
	assert_true(permits("[::1]:8080", NULL, "::1", 8080));
	assert_false(permits("[::1]:8080", NULL, "::1", 80));
	assert_true(permits("[fd00::/8]:8080", NULL, "fd12::1", 8080));
	assert_true(permits("fd00::/8", NULL, "fd12::1", 80));
	assert_true(permits("0.0.0.0/0", NULL, "192.168.1.1", 80));
	assert_false(permits("0.0.0.0/0", NULL, "::1", 80));
	assert_false(permits("::/0", NULL, "127.0.0.1", 80));
	assert_true(permits("10.0.0.0/8", NULL, "64:ff9b::10.1.2.3", 80));
}

TEST(the_allow_list_opens_names)
{
	assert_true(permits("ci.internal", "ci.internal", "10.1.1.1", 80));
	assert_true(permits("ci.internal", "CI.Internal.", "10.1.1.1", 80));
	assert_false(permits("ci.internal", "evil.ci.internal", "10.1.1.1", 80));
	assert_false(permits("ci.internal", "xci.internal", "10.1.1.1", 80));
	assert_false(permits("ci.internal:8000", "ci.internal", "10.1.1.1", 80));
	assert_true(permits("ci.internal:8000", "ci.internal", "10.1.1.1", 8000));
	assert_true(permits("localhost", "localhost", "127.0.0.1", 80));
	assert_false(permits("localhost", NULL, "127.0.0.1", 80));
}

TEST(a_bad_allow_list_is_refused_by_name)
{
	static const char *const bad[] = {"10.0.0.0/33", "::1/129", "10.0.0.0/x", "exa mple", "host/8", "host:0",
									  "host:65536", "[::1", "[::1]x", "1.2.3.4.5", "::ffff:127.0.0.0/104",
									  /* Both would allow others than were meant. */
									  "10/8", "10.1/16", "0x7f000001", "2130706433", "127.1:80", "010.0.0.1",
									  "10.1.2.3/8", "10.1.2.3/8:80", "fd00::1/8", "[fd00::1/8]:80"};
	struct address_guard *guard = NULL;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct error err = ERROR_INIT;
		if (address_guard_new(bad[i], &guard, &err) == 0)
			fail_msg("%s was taken", bad[i]);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_non_null(strstr(err.message, bad[i]));
	}
}

static enum error_kind check(const char *allow, const char *url, const char *schemes)
{
	struct address_guard *guard;
	struct error err = ERROR_INIT;

	assert_int_equal(address_guard_new(allow, &guard, &err), 0);
	int result = address_guard_check_url(guard, url, schemes, &err);
	assert_int_equal(result, err.kind == ERR_NONE ? 0 : -1);
	address_guard_free(guard);
	return err.kind;
}

TEST(odd_spellings_of_loopback_are_refused_in_urls)
{
	static const char *const urls[] = {
		"http://127.0.0.1/",
		"http://127.1/",
		"http://127.0.1:80/",
		"http://0x7f000001/",
		"http://0X7F.1/",
		"http://2130706433/",
		"http://017700000001/",
		"http://0177.0.0.1/",
		"http://0/",
		"http://[::1]/",
		"http://[::ffff:127.0.0.1]:8080/x",
		"http://[::ffff:7f00:1]/",
		"http://[64:ff9b::7f00:1]/",
		"http://127.0.0.1./",
		"HTTP://127.0.0.1",
		"http://169.254.169.254/latest",
	};

	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		if (check(NULL, urls[i], "http,https") != ERR_DENIED)
			fail_msg("%s was not denied", urls[i]);
		assert_int_equal(check("0.0.0.0/0,::/0", urls[i], "http,https"), ERR_NONE);
	}
}

TEST(malformed_urls_are_refused)
{
	static const char *const urls[] = {
		"",
		"example.org",
		"http:/example.org",
		"http://",
		"http:///x",
		"http://:80/",
		"http://example.org:/",
		"http://example.org:0/",
		"http://example.org:65536/",
		"http://example.org:80x/",
		"ftp://example.org/",
		"file:///etc/passwd",
		"ssh://example.org/x",
		"http://user@example.org/",
		"http://user:pw@example.org/",
		"http://a@b@example.org/",
		"http://exa mple.org/",
		"http://example.org/a b",
		"http://example.org\\@evil.org/",
		"http://example.org/\n",
		"http://exämple.org/",
		"http://%31%32%37.1/",
		"http://example.org%00/",
		"http://[::1/",
		"http://[::1%25lo]/",
		"http://[127.0.0.1]/",
		"http://[]/",
		"http://1.2.3.4.5/",
		"http://256.1.1.1/",
		"http://foo.0x7f/",
		"http://foo..org/",
		"http://.foo.org/",
		"http://-oProxyCommand/",
		"http://foo.1/",
		"ext::sh -c id",
		"http://example.org`id`/",
	};

	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		if (check("0.0.0.0/0", urls[i], "http,https") != ERR_INVALID)
			fail_msg("%s was taken", urls[i]);
	}
}

TEST(good_urls_are_taken)
{
	assert_int_equal(check(NULL, "https://example.org", "http,https"), ERR_NONE);
	assert_int_equal(check(NULL, "https://example.org:8443/a/b?c=d&e=%20#f", "http,https"), ERR_NONE);
	assert_int_equal(check(NULL, "http://8.8.8.8/", "http,https"), ERR_NONE);
	assert_int_equal(check(NULL, "https://[2606:4700::1111]:443/", "http,https"), ERR_NONE);
	assert_int_equal(check(NULL, "https://xn--exmple-cua.org/@x", "https"), ERR_NONE);
	assert_int_equal(check(NULL, "ssh://git@example.org:2222/a.git", "https,ssh"), ERR_NONE);
	assert_int_equal(check(NULL, "ssh://-x@example.org/a.git", "https,ssh"), ERR_INVALID);
	assert_int_equal(check(NULL, "ssh://git:pw@example.org/a.git", "https,ssh"), ERR_INVALID);
	assert_int_equal(check(NULL, "http://example.org/", "https,ssh"), ERR_INVALID);
}

TEST(names_host_looks_at_the_list_only)
{
	struct address_guard *guard;
	struct error err = ERROR_INIT;

	assert_int_equal(address_guard_new("127.0.0.0/8,git.internal:3000", &guard, &err), 0);
	assert_true(address_guard_names_host(guard, "127.0.0.1", 80));
	assert_true(address_guard_names_host(guard, "127.1", 80));
	assert_true(address_guard_names_host(guard, "git.internal", 3000));
	assert_false(address_guard_names_host(guard, "git.internal", 80));
	assert_false(address_guard_names_host(guard, "8.8.8.8", 80));
	assert_false(address_guard_names_host(guard, "example.org", 443));
	address_guard_free(guard);
}

TEST(resolve_gives_permitted_addresses_only)
{
	struct address_guard *closed, *open;
	struct error err = ERROR_INIT;
	char addresses[4][INET6_ADDRSTRLEN];
	size_t len = 0;

	assert_int_equal(address_guard_new(NULL, &closed, &err), 0);
	assert_int_equal(address_guard_new("127.0.0.0/8,::1", &open, &err), 0);
	assert_int_equal(address_guard_resolve(closed, "localhost", 443, clock_boot_ms() + 60000, addresses, 4, &len, &err),
					 -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_int_equal(len, 0);
	assert_int_equal(address_guard_resolve(open, "localhost", 443, clock_boot_ms() + 60000, addresses, 4, &len, &err),
					 0);
	assert_true(len >= 1);
	assert_true(strcmp(addresses[0], "127.0.0.1") == 0 || strcmp(addresses[0], "::1") == 0);
	assert_int_equal(address_guard_resolve(open, "127.0.0.1", 443, clock_boot_ms() + 60000, addresses, 1, &len, &err),
					 0);
	assert_int_equal(len, 1);
	address_guard_free(open);
	address_guard_free(closed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(special_addresses_are_refused),
		cmocka_unit_test(public_addresses_are_permitted),
		cmocka_unit_test(other_address_families_are_refused),
		cmocka_unit_test(the_allow_list_opens_networks_and_ports),
		cmocka_unit_test(the_allow_list_opens_names),
		cmocka_unit_test(a_bad_allow_list_is_refused_by_name),
		cmocka_unit_test(odd_spellings_of_loopback_are_refused_in_urls),
		cmocka_unit_test(malformed_urls_are_refused),
		cmocka_unit_test(good_urls_are_taken),
		cmocka_unit_test(names_host_looks_at_the_list_only),
		cmocka_unit_test(resolve_gives_permitted_addresses_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
