/* FIPS 180-4, checked against the standard's own examples by the reader of the output. */
#include "runtime.h"

static uint32_t k[64], initial[8];

/* The constants are fractions of the cube and square roots of the first primes: derive, do not copy. */
static uint32_t fraction_of_root(uint64_t prime, int degree)
{
	/* The largest x with x^degree <= prime * 2^(32 * degree), by bits; its low 32 bits. */
	uint64_t x = 0;

	for (int bit = 36; bit >= 0; bit--) {
		uint64_t t = x | 1ull << bit;
		unsigned __int128 square = (unsigned __int128)t * t;
		unsigned __int128 limit;

		if (degree == 2) {
			limit = (unsigned __int128)prime << 64;
		} else {
			/* t^3 <= p * 2^96, without 192 bits: compare t^2 with p * 2^96 / t, one bit at a time. */
			unsigned __int128 remainder = 0;

			limit = 0;
			for (int i = 127; i >= 0; i--) {
				unsigned __int128 dividend = (unsigned __int128)prime << 96;

				remainder = remainder << 1 | ((uint64_t)(dividend >> i) & 1);
				limit <<= 1;
				if (remainder >= t) {
					remainder -= t;
					limit |= 1;
				}
			}
		}
		if (square <= limit)
			x = t;
	}
	return x;
}

static void constants(void)
{
	unsigned found = 0;

	for (uint32_t n = 2; found < 64; n++) {
		uint32_t d = 2;

		while (d * d <= n && n % d)
			d++;
		if (d * d <= n)
			continue;
		k[found] = fraction_of_root(n, 3);
		if (found < 8)
			initial[found] = fraction_of_root(n, 2);
		found++;
	}
}

static uint32_t rotate(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static void block(uint32_t *state, const uint8_t *bytes)
{
	uint32_t w[64], s[8];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)bytes[4 * i] << 24 | bytes[4 * i + 1] << 16 | bytes[4 * i + 2] << 8 | bytes[4 * i + 3];
	for (int i = 16; i < 64; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];

		w[i] = w[i - 16] + w[i - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) +
		       (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
	}
	for (int i = 0; i < 8; i++)
		s[i] = state[i];
	for (int i = 0; i < 64; i++) {
		uint32_t t1 = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) +
			      ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
		uint32_t t2 = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) +
			      ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

		for (int j = 7; j > 0; j--)
			s[j] = s[j - 1];
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		state[i] += s[i];
}

static uint32_t digest(const uint8_t *bytes, uint64_t length)
{
	uint8_t last[128] = { 0 };
	uint32_t state[8];
	uint64_t at = 0;
	unsigned rest, total;

	memcpy(state, initial, sizeof(state));
	for (; length - at >= 64; at += 64)
		block(state, bytes + at);
	rest = length - at;
	memcpy(last, bytes + at, rest);
	last[rest] = 0x80;
	total = rest < 56 ? 64 : 128;
	for (int i = 0; i < 8; i++)
		last[total - 1 - i] = length * 8 >> (8 * i);
	for (unsigned i = 0; i < total; i += 64)
		block(state, last + i);
	for (int i = 0; i < 8; i++)
		print("%08x", state[i]);
	print("\n");
	return state[0];
}

static uint8_t million[10000];

int program(void)
{
	uint32_t check;

	constants();
	digest((const uint8_t *)"", 0);
	digest((const uint8_t *)"abc", 3);
	digest((const uint8_t *)"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56);
	memset(million, 'a', sizeof(million));
	check = digest(million, sizeof(million));
	for (unsigned length = 50; length < 70; length++)
		digest(million, length);
	return check & 0x7f;
}
