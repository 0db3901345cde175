/* Every operator of C on every integer width, over random and extreme operands. */
#include "runtime.h"

static const uint64_t extremes[] = {
	0, 1, 2, 3, 7, 10, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
	0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffff80000000, 0xffffffffffffffff,
};

static uint64_t sum;

static void mix(uint64_t value)
{
	sum = (sum << 7 | sum >> 57) ^ value;
}

#define OPERATORS(NAME, TYPE, UNSIGNED, BITS)                                                      \
	static __attribute__((noinline)) void NAME(TYPE a, TYPE b)                                 \
	{                                                                                          \
		mix((UNSIGNED)a + (UNSIGNED)b);                                                    \
		mix((UNSIGNED)a - (UNSIGNED)b);                                                    \
		mix((uint64_t)(UNSIGNED)a * (UNSIGNED)b);                                          \
		mix(a & b);                                                                        \
		mix(a | b);                                                                        \
		mix(a ^ b);                                                                        \
		mix(~a);                                                                           \
		mix(-(UNSIGNED)a);                                                                 \
		mix((UNSIGNED)a << ((UNSIGNED)b % BITS));                                          \
		mix(a >> ((UNSIGNED)b % BITS));                                                    \
		mix((a < b) | (a <= b) << 1 | (a == b) << 2 | (a != b) << 3 | (a > b) << 4);       \
		mix(a < 0 ? -(UNSIGNED)a : (UNSIGNED)a);                                           \
		mix(a > b ? a : b);                                                                \
		mix((UNSIGNED)a << 5 | (UNSIGNED)a >> (BITS - 5));                                 \
		if (b != 0 && !((TYPE)-1 < 0 && b == (TYPE)-1)) {                                  \
			mix(a / b);                                                                \
			mix(a % b);                                                                \
		}                                                                                  \
		mix(a / 7);                                                                        \
		mix(a % 10);                                                                       \
		mix(a / 8);                                                                        \
	}

OPERATORS(on_i8, int8_t, uint8_t, 8)
OPERATORS(on_u8, uint8_t, uint8_t, 8)
OPERATORS(on_i16, int16_t, uint16_t, 16)
OPERATORS(on_u16, uint16_t, uint16_t, 16)
OPERATORS(on_i32, int32_t, uint32_t, 32)
OPERATORS(on_u32, uint32_t, uint32_t, 32)
OPERATORS(on_i64, int64_t, uint64_t, 64)
OPERATORS(on_u64, uint64_t, uint64_t, 64)

static __attribute__((noinline)) void on_wide(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
	unsigned __int128 product = (unsigned __int128)a * b;
	__int128 total = (__int128)(int64_t)a + (int64_t)b;

	mix(product >> 64);
	mix(product);
	mix(total >> 64);
	mix((product + total) >> 64);
	mix((product - total) >> 64);
	mix((product << 13) >> 64);
#endif
	mix(a ? __builtin_clzll(a) : 64);
	mix(a ? __builtin_ctzll(a) : 64);
	mix(__builtin_bswap64(a));
	mix(__builtin_bswap32(b));
	long long wide;
	mix(__builtin_add_overflow((long long)a, (long long)b, &wide));
	mix(__builtin_sub_overflow((long long)a, (long long)b, &wide));
	int narrow;
	mix(__builtin_add_overflow((int)a, (int)b, &narrow));
	mix(__builtin_sub_overflow((int)a, (int)b, &narrow));
	mix(narrow);
}

static void on_all(uint64_t a, uint64_t b)
{
	on_i8(a, b);
	on_u8(a, b);
	on_i16(a, b);
	on_u16(a, b);
	on_i32(a, b);
	on_u32(a, b);
	on_i64(a, b);
	on_u64(a, b);
	on_wide(a, b);
}

struct fields {
	unsigned a : 3, b : 13;
	signed c : 7;
	unsigned long long d : 41;
	signed e : 19;
};

static __attribute__((noinline)) void bit_fields(struct fields *f, uint64_t value)
{
	f->a += value;
	f->b ^= value >> 3;
	f->c -= value;
	f->d = f->d * 3 + value;
	f->e = value >> 20;
	mix(f->a ^ f->b ^ f->c ^ f->d ^ f->e);
}

int program(void)
{
	const unsigned count = sizeof(extremes) / sizeof(extremes[0]);
	struct fields fields = { 0 };

	for (unsigned i = 0; i < count; i++) {
		for (unsigned j = 0; j < count; j++)
			on_all(extremes[i], extremes[j]);
		print("%2u %016llx\n", i, sum);
	}
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t a = random64() >> (random64() & 63);
		uint64_t b = random64() >> (random64() & 63);

		on_all(a, b);
		on_all(-a, b);
		bit_fields(&fields, a ^ b);
	}
	print("%016llx\n", sum);
	return sum & 0x7f;
}
