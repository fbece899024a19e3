#include "tests/unit/unit.h"

#include "common/base/hash.h"
#include "common/base/str.h"

static void assert_digest(const uint8_t digest[SHA256_SIZE], const char *expected)
{
	char text[2 * SHA256_SIZE + 1];
	hex_encode(digest, SHA256_SIZE, text);
	assert_string_equal(text, expected);
}

TEST(sha256_of_nothing)
{
	uint8_t digest[SHA256_SIZE];
	sha256(NULL, 0, digest);
	assert_digest(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(sha256_of_abc)
{
	uint8_t digest[SHA256_SIZE];
	sha256("abc", 3, digest);
	assert_digest(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(two_parts_hash_like_one)
{
	uint8_t digest[SHA256_SIZE];
	sha256_two("a", 1, "bc", 2, digest);
	assert_digest(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(hmac_of_rfc_4231_case_1)
{
	uint8_t key[20], digest[SHA256_SIZE];
	memset(key, 0x0b, sizeof(key));
	hmac_sha256(key, sizeof(key), "Hi There", 8, digest);
	assert_digest(digest, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
}

TEST(hmac_of_rfc_4231_case_2_with_a_short_key)
{
	uint8_t digest[SHA256_SIZE];
	hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, digest);
	assert_digest(digest, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(hmac_of_rfc_4231_case_6_with_a_key_longer_than_a_block)
{
	uint8_t key[131], digest[SHA256_SIZE];
	memset(key, 0xaa, sizeof(key));
	static const char data[] = "Test Using Larger Than Block-Size Key - Hash Key First";
	hmac_sha256(key, sizeof(key), data, sizeof(data) - 1, digest);
	assert_digest(digest, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* The cases of Kafka's own UtilsTest. */
TEST(murmur2_is_kafkas)
{
	static const struct {
		const char *text;
		int32_t hash;
	} cases[] = {
		{"21", -973932308},
		{"foobar", -790332482},
		{"a-little-bit-long-string", -985981536},
		{"a-little-bit-longer-string", -1486304829},
		{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
		{"abc", 479470107},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].text);
		assert_int_equal((int32_t)kafka_murmur2(cases[i].text, len), cases[i].hash);
		for (size_t head = 0; head <= len; head += 4) {
			uint32_t first = kafka_murmur2_head(cases[i].text, head, len);
			assert_int_equal((int32_t)kafka_murmur2_rest(first, cases[i].text + head, len - head), cases[i].hash);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_of_nothing),
		cmocka_unit_test(sha256_of_abc),
		cmocka_unit_test(two_parts_hash_like_one),
		cmocka_unit_test(hmac_of_rfc_4231_case_1),
		cmocka_unit_test(hmac_of_rfc_4231_case_2_with_a_short_key),
		cmocka_unit_test(hmac_of_rfc_4231_case_6_with_a_key_longer_than_a_block),
		cmocka_unit_test(murmur2_is_kafkas),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
