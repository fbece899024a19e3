#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/http/network_rules.h"

static bool is_rule(const char *text)
{
	struct error err = ERROR_INIT;
	bool fine = network_rule_read(text, NULL, NULL, &err) == 0;
	assert_true(fine || (err.kind == ERR_INVALID && err.message[0] != '\0'));
	return fine;
}

TEST(entries_are_a_host_and_a_port)
{
	static const char *const good[] = {"registry.example.org:443",
									   "*.example.org:443",
									   "192.0.2.7:8080",
									   "[2001:db8::1]:443",
									   "localhost:1",
									   "Registry.Example.ORG.:65535",
									   "a_b.xn--nxasmq6b.example:80",
									   NULL};
	static const char *const bad[] = {"",
									  "example.org",
									  "example.org:",
									  "example.org:0",
									  "example.org:65536",
									  "example.org:+1",
									  ":443",
									  "*:443",
									  "*.org:443",
									  "a.*.org:443",
									  "**.b.org:443",
									  "*.192.0.2.7:443",
									  "*.[::1]:80",
									  "2001:db8::1:443",
									  "[2001:db8::1]",
									  "[example.org]:443",
									  "example.org:443/x",
									  "https://a.org:443",
									  "a b.org:1",
									  "user@a.org:443",
									  "ex\xc3\xa4mple.org:443",
									  "-a.org:443",
									  "a..org:443",
									  "*.*.a.org:443",
									  "a.0x7f:443",
									  "example.org:443 ",
									  "%65xample.org:443",
									  "1.2.3.4.5:443",
									  NULL};
	for (size_t i = 0; good[i] != NULL; i++) {
		if (!is_rule(good[i]))
			fail_msg("%s is refused", good[i]);
	}
	for (size_t i = 0; bad[i] != NULL; i++) {
		if (is_rule(bad[i]))
			fail_msg("%s is taken", bad[i]);
	}
}

static struct network_rules *rules_of(const char *json)
{
	CLEANUP(cJSON_Delete_p) cJSON *allow = NULL;
	struct network_rules *rules = NULL;
	struct error err = ERROR_INIT;
	assert_int_equal(json_parse(json, strlen(json), &allow, &err), 0);
	assert_int_equal(network_rules_new(allow, &rules, &err), 0);
	return rules;
}

static bool allows(const struct network_rules *rules, const char *target)
{
	struct network_place place;
	struct error err = ERROR_INIT;
	assert_int_equal(network_place_read(target, strlen(target), &place, &err), 0);
	return network_rules_allow(rules, &place);
}

TEST(a_name_is_allowed_on_its_port_in_any_spelling_of_it)
{
	struct network_rules *rules = rules_of("[\"Registry.example.org:443\"]");
	assert_true(allows(rules, "registry.example.org:443"));
	assert_true(allows(rules, "REGISTRY.EXAMPLE.ORG:443"));
	assert_true(allows(rules, "registry.example.org.:443"));
	assert_false(allows(rules, "registry.example.org:80"));
	assert_false(allows(rules, "example.org:443"));
	assert_false(allows(rules, "a.registry.example.org:443"));
	assert_false(allows(rules, "registry.example.org.evil.example:443"));
	network_rules_free(rules);
}

TEST(a_wildcard_is_every_name_below_and_not_the_name_itself)
{
	struct network_rules *rules = rules_of("[\"*.example.org:443\"]");
	assert_true(allows(rules, "a.example.org:443"));
	assert_true(allows(rules, "a.b.Example.org:443"));
	assert_false(allows(rules, "example.org:443"));
	assert_false(allows(rules, "evilexample.org:443"));
	assert_false(allows(rules, "a.example.org:80"));
	assert_false(allows(rules, "a.example.org.evil.example:443"));
	network_rules_free(rules);
}

TEST(an_address_is_allowed_in_every_spelling_and_no_name_is_one)
{
	struct network_rules *rules = rules_of("[\"127.0.0.1:80\", \"[2001:db8::1]:80\"]");
	assert_true(allows(rules, "127.0.0.1:80"));
	assert_true(allows(rules, "127.1:80"));
	assert_true(allows(rules, "[::ffff:127.0.0.1]:80"));
	assert_true(allows(rules, "[2001:DB8:0::1]:80"));
	assert_false(allows(rules, "127.0.0.2:80"));
	assert_false(allows(rules, "localhost:80"));
	network_rules_free(rules);
}

TEST(targets_have_no_wildcard_and_are_written_out_in_one_spelling)
{
	struct network_place place;
	struct error err = ERROR_INIT;
	char text[NETWORK_PLACE_SIZE];
	assert_int_equal(network_place_read("*.example.org:443", 17, &place, &err), -1);
	assert_int_equal(network_place_read("a.org\0:443", 10, &place, &err), -1);
	assert_int_equal(network_place_read("[2001:DB8:0::1]:443", 19, &place, &err), 0);
	network_place_write(&place, text);
	assert_string_equal(text, "[2001:db8::1]:443");
	assert_int_equal(network_place_read("0x7f.1:8", 8, &place, &err), 0);
	network_place_write(&place, text);
	assert_string_equal(text, "127.0.0.1:8");
}

TEST(lists_have_a_limit_and_entries_that_are_text)
{
	struct network_rules *rules = NULL;
	struct error err = ERROR_INIT;
	cJSON *allow = cJSON_CreateArray();
	assert_int_equal(network_rules_new(NULL, &rules, &err), 0);
	assert_int_equal(network_rules_len(rules), 0);
	network_rules_free(rules);
	for (int i = 0; i < NETWORK_RULES_MAX; i++)
		cJSON_AddItemToArray(allow, cJSON_CreateString("example.org:443"));
	assert_int_equal(network_rules_new(allow, &rules, &err), 0);
	assert_int_equal(network_rules_len(rules), NETWORK_RULES_MAX);
	network_rules_free(rules);
	cJSON_AddItemToArray(allow, cJSON_CreateString("example.org:443"));
	assert_int_equal(network_rules_new(allow, &rules, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	cJSON_Delete(allow);
	allow = cJSON_CreateArray();
	cJSON_AddItemToArray(allow, cJSON_CreateNumber(1));
	assert_int_equal(network_rules_new(allow, &rules, &err), -1);
	cJSON_Delete(allow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_are_a_host_and_a_port),
		cmocka_unit_test(a_name_is_allowed_on_its_port_in_any_spelling_of_it),
		cmocka_unit_test(a_wildcard_is_every_name_below_and_not_the_name_itself),
		cmocka_unit_test(an_address_is_allowed_in_every_spelling_and_no_name_is_one),
		cmocka_unit_test(targets_have_no_wildcard_and_are_written_out_in_one_spelling),
		cmocka_unit_test(lists_have_a_limit_and_entries_that_are_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
