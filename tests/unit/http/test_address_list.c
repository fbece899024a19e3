#include "common/http/address_list.h"
#include "tests/unit/unit.h"

#include <string.h>

static bool has(const char *text, const char *address)
{
	struct address_list *list;
	struct ip_address ip;
	struct error err = ERROR_INIT;

	assert_int_equal(address_list_new(text, &list, &err), 0);
	assert_true(ip_read(address, &ip));
	bool result = address_list_has(list, &ip);
	address_list_free(list);
	return result;
}

TEST(nothing_is_in_an_empty_list)
{
	assert_false(has(NULL, "127.0.0.1"));
	assert_false(has("", "::1"));
	assert_false(has(" , ", "0.0.0.0"));
}

TEST(an_address_is_in_the_list_by_itself_or_by_a_network)
{
	assert_true(has("192.0.2.7", "192.0.2.7"));
	assert_false(has("192.0.2.7", "192.0.2.8"));
	assert_true(has("192.0.2.7 , 10.0.0.0/8,2001:db8::/32", "10.255.0.1"));
	assert_true(has("192.0.2.7 , 10.0.0.0/8,2001:db8::/32", "2001:db8:ffff::1"));
	assert_false(has("192.0.2.7 , 10.0.0.0/8,2001:db8::/32", "2001:db9::1"));
	assert_true(has("192.0.2.128/25", "192.0.2.129"));
	assert_false(has("192.0.2.128/25", "192.0.2.127"));
}

TEST(all_of_one_family_is_nothing_of_the_other)
{
	assert_true(has("0.0.0.0/0", "203.0.113.9"));
	assert_false(has("0.0.0.0/0", "2001:db8::1"));
	assert_true(has("::/0", "2001:db8::1"));
	assert_false(has("::/0", "203.0.113.9"));
}

TEST(an_ipv4_address_in_ipv6_is_that_ipv4_address)
{
	assert_true(has("10.0.0.0/8", "::ffff:10.1.2.3"));
	assert_true(has("::ffff:10.1.2.3", "10.1.2.3"));
	assert_false(has("10.0.0.0/8", "64:ff9b::10.1.2.3")); /* NAT64 leads there; it does not come from there */
}

TEST(a_bad_entry_is_refused_by_name)
{
	static const char *const bad[] = {
		"localhost",
		"10",
		"10.1",
		"10/8",
		"0x0a000001",
		"010.0.0.1",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/",
		"/8",
		"10.0.0.0/8/8",
		"10.0.0.7/8",
		"10.0.0.1:80",
		"[::1]",
		"::1%lo",
		"2001:db8::1/32",
		"::/129",
		"10.0.0.0 /8",
		"*",
		"unix:",
		"10.0.0.1;10.0.0.2",
		"::ffff:0:0/96",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char text[64];
		struct address_list *list = NULL;
		struct error err = ERROR_INIT;
		(void)snprintf(text, sizeof(text), "192.0.2.1, %s", bad[i]);
		if (address_list_new(text, &list, &err) == 0)
			fail_msg("%s was taken", bad[i]);
		assert_null(list);
		assert_int_equal(err.kind, ERR_INVALID);
		(void)snprintf(text, sizeof(text), "\"%s\"", bad[i]);
		assert_non_null(strstr(err.message, text));
	}
}

TEST(a_list_has_an_end)
{
	char text[8 * (ADDRESS_LIST_MAX + 1) + 1] = "";
	struct address_list *list;
	struct error err = ERROR_INIT;

	for (size_t i = 0; i <= ADDRESS_LIST_MAX; i++)
		memcpy(text + 8 * i, "1.2.3.4,", 9);
	assert_int_equal(address_list_new(text, &list, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	text[(size_t)8 * ADDRESS_LIST_MAX] = '\0';
	assert_int_equal(address_list_new(text, &list, &err), 0);
	address_list_free(list);
}

TEST(an_address_is_written_in_its_usual_spelling)
{
	static const char *const spellings[][2] = {
		{"0.0.0.0", "0.0.0.0"},
		{"9.10.99.100", "9.10.99.100"},
		{"255.255.255.255", "255.255.255.255"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"::FFFF:C000:201", "192.0.2.1"},
		{"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	};

	for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
		struct ip_address ip;
		char text[IP_TEXT_SIZE];
		assert_true(ip_read(spellings[i][0], &ip));
		ip_write(&ip, text);
		assert_string_equal(text, spellings[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_in_an_empty_list),
		cmocka_unit_test(an_address_is_in_the_list_by_itself_or_by_a_network),
		cmocka_unit_test(all_of_one_family_is_nothing_of_the_other),
		cmocka_unit_test(an_ipv4_address_in_ipv6_is_that_ipv4_address),
		cmocka_unit_test(a_bad_entry_is_refused_by_name),
		cmocka_unit_test(a_list_has_an_end),
		cmocka_unit_test(an_address_is_written_in_its_usual_spelling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
