/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-2-4 by its authors' test vectors. */
#include "test.h"

#include "base/hash.h"

#include <string.h>

/* Of the bytes 0, 1, 2, … under the key 0, 1, … 15: the paper's appendix A has the one of 15 bytes,
 * the reference implementation's vectors.h the others. */
static void test_vectors(void **state)
{
	static const struct {
		size_t size;
		uint64_t hash;
	} cases[] = {
		{ 0, UINT64_C(0x726fdb47dd0e0e31) },  { 1, UINT64_C(0x74f839c593dc67fd) },
		{ 7, UINT64_C(0xab0200f58b01d137) },  { 8, UINT64_C(0x93f5f5799a932462) },
		{ 15, UINT64_C(0xa129ca6149be45e5) }, { 63, UINT64_C(0x958a324ceb064572) },
	};
	struct hash_key key;
	uint8_t bytes[64];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	memcpy(&key, bytes, sizeof(key)); /* as this machine has numbers: little-endian */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_true(hash_bytes(&key, bytes, cases[i].size) == cases[i].hash);
}

static void test_keys_differ(void **state)
{
	struct hash_key one = hash_key_make(), other = hash_key_make();

	assert_true(hash_bytes(&one, "a", 1) == hash_bytes(&one, "a", 1));
	assert_true(hash_bytes(&one, "a", 1) != hash_bytes(&other, "a", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_keys_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
