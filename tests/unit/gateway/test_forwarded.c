#include "tests/unit/unit.h"

#include "api-gateway/http/forwarded.h"
#include "common/base/alloc.h"

#define TRUSTED "10.0.0.0/8, 192.0.2.1, 2001:db8:ff::/48, ::1"
#define PEER "10.0.0.1" /* trusted */

static const char *client_of_bytes(const char *peer, const char *list, size_t len)
{
	static char text[IP_TEXT_SIZE];
	struct address_list *trusted;
	struct ip_address ip;
	struct error err = ERROR_INIT;
	assert_int_equal(address_list_new(TRUSTED, &trusted, &err), 0);
	assert_true(ip_read(peer, &ip));
	/* As in a connection's buffer: no NUL behind it, and what is read there is found by the sanitizers. */
	char *copy = xmemdup(list, len > 0 ? len : 1);
	forwarded_walk(trusted, copy, len, &ip);
	free(copy);
	address_list_free(trusted);
	ip_write(&ip, text);
	return text;
}

static const char *client_of(const char *list)
{
	return client_of_bytes(PEER, list, strlen(list));
}

TEST(a_peer_that_is_not_trusted_is_the_client_whatever_it_says)
{
	assert_string_equal(client_of_bytes("203.0.113.9", "198.51.100.7", 12), "203.0.113.9");
	assert_string_equal(client_of_bytes("203.0.113.9", "10.0.0.2", 8), "203.0.113.9");
	assert_string_equal(client_of_bytes("2001:db8::9", "198.51.100.7", 12), "2001:db8::9");
}

TEST(a_trusted_peer_that_tells_nothing_is_the_client)
{
	assert_string_equal(client_of(""), PEER);
	assert_string_equal(client_of(" \t, ,,"), PEER);
}

TEST(the_last_address_that_is_not_trusted_is_the_client)
{
	assert_string_equal(client_of("198.51.100.7"), "198.51.100.7");
	assert_string_equal(client_of("198.51.100.7, 10.2.3.4"), "198.51.100.7");
	assert_string_equal(client_of("198.51.100.7, 192.0.2.1,2001:db8:ff::3 ,10.2.3.4"), "198.51.100.7");
	assert_string_equal(client_of_bytes("::1", "198.51.100.7", 12), "198.51.100.7");
}

TEST(what_stands_before_the_client_is_not_looked_at)
{
	assert_string_equal(client_of("127.0.0.1, 198.51.100.7"), "198.51.100.7");
	assert_string_equal(client_of("10.0.0.9, 203.0.113.9, 198.51.100.7, 10.2.3.4"), "198.51.100.7");
	assert_string_equal(client_of("\",\"level\":\"error\r\n\x1b[31m, \x01, 198.51.100.7"), "198.51.100.7");
}

TEST(a_list_of_trusted_addresses_only_began_at_its_first)
{
	assert_string_equal(client_of("10.9.9.9, 192.0.2.1, 10.2.3.4"), "10.9.9.9");
}

TEST(an_element_without_content_is_none)
{
	assert_string_equal(client_of(", 198.51.100.7,, 10.2.3.4, "), "198.51.100.7");
}

TEST(addresses_are_taken_in_the_forms_that_proxies_write)
{
	assert_string_equal(client_of("198.51.100.7:50123"), "198.51.100.7");
	assert_string_equal(client_of("2001:db8::7"), "2001:db8::7");
	assert_string_equal(client_of("[2001:db8::7]"), "2001:db8::7");
	assert_string_equal(client_of("[2001:db8::7]:443"), "2001:db8::7");
	assert_string_equal(client_of("2001:DB8:0:0:0:0:0:7"), "2001:db8::7");
	assert_string_equal(client_of("::ffff:198.51.100.7"), "198.51.100.7");
	assert_string_equal(client_of("198.51.100.7, [::ffff:10.2.3.4]:80"), "198.51.100.7");
	assert_string_equal(client_of("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535"),
						"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

TEST(what_is_no_address_ends_the_walk_at_the_proxy_that_let_it_through)
{
	static const char *const bad[] = {
		"unknown",
		"_hidden",
		"localhost",
		"1",
		"2130706433",
		"0x7f000001",
		"127.1",
		"198.51.100.07",
		"198.51.100.256",
		"198.51.100.7:",
		"198.51.100.7:x",
		"198.51.100.7:0",
		"198.51.100.7:65536",
		"198.51.100.7:1:2",
		"198.51.100.7/32",
		"198.51.100.7 198.51.100.8",
		"198.51.100.7;",
		"\"198.51.100.7\"",
		"for=198.51.100.7",
		"[",
		"]",
		"[]",
		"[]:1",
		"[::7",
		"::7]",
		"[[::7]]",
		"[::7]x",
		"[::7]:",
		"fe80::1%eth0",
		"[fe80::1%25eth0]",
		":",
		"::7::",
		"1:2:3:4:5:6:7:8:9",
		"198.51.100.7\r\nx: y",
		"198.51.100.7\v",
		"\x7f",
		("\xc2\xa0"
		 "198.51.100.7"),
		"-1",
		"%31",
		"${jndi:ldap://x}",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(buffer_release_p) struct buffer list;
		buffer_init(&list, 256);
		assert_int_equal(buffer_appendf(&list, "203.0.113.9, %s, 192.0.2.1", bad[i]), 0);
		const char *client = client_of(list.data);
		if (strcmp(client, "192.0.2.1") != 0)
			fail_msg("\"%s\" made %s the client", bad[i], client);
	}
	static const char nul[] = "203.0.113.9, 198.51.100.7\0, 192.0.2.1";
	assert_string_equal(client_of_bytes(PEER, nul, sizeof(nul) - 1), "192.0.2.1");
	assert_string_equal(client_of("nobody"), PEER);
}

TEST(an_element_has_a_longest_form)
{
	CLEANUP(buffer_release_p) struct buffer list;
	buffer_init(&list, 70000);
	for (size_t i = 0; i < 60000; i++)
		assert_int_equal(buffer_append_char(&list, i < 30000 ? '[' : '1'), 0);
	assert_string_equal(client_of(list.data), PEER);
	assert_int_equal(buffer_append_str(&list, ",198.51.100.7"), 0);
	assert_string_equal(client_of(list.data), "198.51.100.7");
}

/* `count` trusted addresses, each another one, the nearest last. */
static void append_hops(struct buffer *list, unsigned count)
{
	for (unsigned i = count; i > 0; i--)
		assert_int_equal(buffer_appendf(list, ",10.0.%u.%u", i / 256, i % 256), 0);
}

TEST(so_many_proxies_are_walked_past_and_no_more)
{
	CLEANUP(buffer_release_p) struct buffer list;
	buffer_init(&list, 70000);
	assert_int_equal(buffer_append_str(&list, "198.51.100.7"), 0);
	append_hops(&list, FORWARDED_HOPS_MAX - 1);
	assert_string_equal(client_of(list.data), "198.51.100.7");
	append_hops(&list, 5000);
	assert_string_equal(client_of(list.data), "10.0.0.32");
	buffer_clear(&list);
	for (size_t i = 0; i < 60000; i++)
		assert_int_equal(buffer_append_char(&list, ','), 0);
	assert_string_equal(client_of(list.data), PEER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_that_is_not_trusted_is_the_client_whatever_it_says),
		cmocka_unit_test(a_trusted_peer_that_tells_nothing_is_the_client),
		cmocka_unit_test(the_last_address_that_is_not_trusted_is_the_client),
		cmocka_unit_test(what_stands_before_the_client_is_not_looked_at),
		cmocka_unit_test(a_list_of_trusted_addresses_only_began_at_its_first),
		cmocka_unit_test(an_element_without_content_is_none),
		cmocka_unit_test(addresses_are_taken_in_the_forms_that_proxies_write),
		cmocka_unit_test(what_is_no_address_ends_the_walk_at_the_proxy_that_let_it_through),
		cmocka_unit_test(an_element_has_a_longest_form),
		cmocka_unit_test(so_many_proxies_are_walked_past_and_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
