/* What the compiler makes of the string functions: MVC, CLC, XC, SRST, CLST, MVST, MVCLE, CLCLE and loops. */
#include "runtime.h"

static char buffer[4096], other[4096];

static void report(const char *what)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < sizeof(buffer); i++)
		sum = (sum << 9 | sum >> 55) ^ (uint8_t)buffer[i] ^ (uint64_t)(uint8_t)other[i] << 8;
	print("%s %016llx\n", what, sum);
}

static __attribute__((noinline)) void fill(char *to, int c, size_t n)
{
	while (n--)
		*to++ = c;
}

static __attribute__((noinline)) void copy(char *to, const char *from, size_t n)
{
	while (n--)
		*to++ = *from++;
}

/* The instructions themselves, as a C library would use them. */
static const char *end_of(const char *s, char c, const char *limit)
{
	register long sought __asm__("0") = (unsigned char)c;
	const char *end = limit;

	__asm__ volatile("0: srst %0,%1\n   jo 0b" : "+&a"(end), "+&a"(s) : "d"(sought) : "cc", "memory");
	return end;
}

static int order(const char *a, const char *b)
{
	register long stop __asm__("0") = 0;
	int cc;

	__asm__ volatile("0: clst %1,%2\n   jo 0b\n   ipm %0\n   srl %0,28"
			 : "=&d"(cc), "+&a"(a), "+&a"(b)
			 : "d"(stop)
			 : "cc", "memory");
	return cc == 0 ? 0 : cc == 1 ? -1 : 1;
}

static char *append(char *to, const char *from)
{
	register long stop __asm__("0") = 0;

	__asm__ volatile("0: mvst %0,%1\n   jo 0b" : "+&a"(to), "+&a"(from) : "d"(stop) : "cc", "memory");
	return to;
}

static void move_long(char *to, unsigned long to_length, const char *from, unsigned long from_length, int pad)
{
	register char *r2 __asm__("2") = to;
	register unsigned long r3 __asm__("3") = to_length;
	register const char *r4 __asm__("4") = from;
	register unsigned long r5 __asm__("5") = from_length;

	__asm__ volatile("0: mvcle 2,4,0(%4)\n   jo 0b"
			 : "+d"(r2), "+d"(r3), "+d"(r4), "+d"(r5)
			 : "a"(pad)
			 : "cc", "memory");
}

static uint32_t internet_checksum(const char *from, unsigned long length)
{
	register const char *r2 __asm__("2") = from;
	register unsigned long r3 __asm__("3") = length;
	uint32_t sum = 0;

	__asm__ volatile("0: cksm %0,2\n   jo 0b" : "+d"(sum), "+d"(r2), "+d"(r3) : : "cc", "memory");
	return sum;
}

int program(void)
{
	static const char *const words[] = { "", "a", "ab", "abc", "abd", "b", "zebra", "zebras", "\xff", "abcabcabcabcabc" };
	char line[80];
	int sum = 0;

	for (unsigned n = 0; n < 600; n += 7) {
		fill(buffer + n, n, n);
		copy(other + 3 * n, buffer + n / 2, n + n / 3);
	}
	report("loops");
	__builtin_memset(buffer + 10, 0, 300);
	__builtin_memset(buffer + 400, 0x5a, 257);
	__builtin_memcpy(other + 1, buffer + 390, 256);
	__builtin_memcpy(other + 1001, buffer + 3, 512);
	report("builtins");
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		for (unsigned j = 0; j < sizeof(words) / sizeof(words[0]); j++) {
			int o = order(words[i], words[j]);

			sum = sum * 3 + o + 1;
			print("%c", o < 0 ? '<' : o > 0 ? '>' : '=');
		}
		print("\n");
	}
	char *end = append(append(append(line, "one "), "and "), "two");
	print("%s %d %d\n", line, (int)(end - line), (int)(end_of(line, 'd', end) - line));
	move_long(buffer, 3000, other, 1000, 0x77);
	report("mvcle");
	print("%08x %08x\n", internet_checksum(buffer, 4096), internet_checksum(other + 1, 777));
	print("%d\n", __builtin_memcmp(buffer, buffer + 2048, 200) < 0);
	return sum & 0x7f;
}
