/* A small byte-code machine, CRC-32, LZ77 and formatted printing: switch tables, structures, varargs. */
#include "runtime.h"

static uint32_t crc_table[256];

static uint32_t crc32(uint32_t crc, const uint8_t *bytes, size_t n)
{
	if (!crc_table[1])
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t c = i;

			for (int bit = 0; bit < 8; bit++)
				c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
			crc_table[i] = c;
		}
	crc = ~crc;
	while (n--)
		crc = crc >> 8 ^ crc_table[(crc ^ *bytes++) & 0xff];
	return ~crc;
}

enum operation {
	PUSH, ADD, SUB, MUL, DIV, MOD, AND, OR, XOR, SHL, SHR, NEG, NOT, DUP, SWAP, DROP, LESS, LOAD, STORE, JUMP,
	BRANCH, OUT, STOP,
};

struct state {
	int64_t stack[64];
	int64_t cell[16];
	int depth, at;
	uint64_t steps;
};

static struct state run(const int8_t *code)
{
	struct state s = { .steps = 0 };

	for (;; s.steps++) {
		int64_t *top = &s.stack[s.depth - 1];

		switch ((enum operation)code[s.at++]) {
		case PUSH: s.stack[s.depth++] = code[s.at++]; break;
		case ADD: top[-1] += *top; s.depth--; break;
		case SUB: top[-1] -= *top; s.depth--; break;
		case MUL: top[-1] *= *top; s.depth--; break;
		case DIV: top[-1] /= *top; s.depth--; break;
		case MOD: top[-1] %= *top; s.depth--; break;
		case AND: top[-1] &= *top; s.depth--; break;
		case OR: top[-1] |= *top; s.depth--; break;
		case XOR: top[-1] ^= *top; s.depth--; break;
		case SHL: top[-1] = (uint64_t)top[-1] << (*top & 63); s.depth--; break;
		case SHR: top[-1] >>= *top & 63; s.depth--; break;
		case NEG: *top = -*top; break;
		case NOT: *top = !*top; break;
		case DUP: top[1] = *top; s.depth++; break;
		case SWAP: { int64_t t = *top; *top = top[-1]; top[-1] = t; break; }
		case DROP: s.depth--; break;
		case LESS: top[-1] = top[-1] < *top; s.depth--; break;
		case LOAD: s.stack[s.depth++] = s.cell[code[s.at++]]; break;
		case STORE: s.cell[code[s.at++]] = *top; s.depth--; break;
		case JUMP: s.at += code[s.at]; break;
		case BRANCH: s.depth--; s.at += *top ? code[s.at] : 1; break;
		case OUT: print("%lld ", (long long)*top); s.depth--; break;
		case STOP: return s;
		}
	}
}

static size_t compress(const uint8_t *in, size_t n, uint8_t *out)
{
	size_t at = 0, made = 0;

	while (at < n) {
		size_t best = 0, where = 0;

		for (size_t back = 1; back <= at && back < 256; back++) {
			size_t same = 0;

			while (at + same < n && same < 255 && in[at + same] == in[at + same - back])
				same++;
			if (same > best) {
				best = same;
				where = back;
			}
		}
		if (best >= 3) {
			out[made++] = where;
			out[made++] = best;
			at += best;
		} else {
			out[made++] = 0;
			out[made++] = in[at++];
		}
	}
	return made;
}

static size_t expand(const uint8_t *in, size_t n, uint8_t *out)
{
	size_t made = 0;

	for (size_t i = 0; i < n; i += 2) {
		if (in[i] == 0) {
			out[made++] = in[i + 1];
		} else {
			for (int j = in[i + 1]; j > 0; j--, made++)
				out[made] = out[made - in[i]];
		}
	}
	return made;
}

static uint8_t text[3000], packed[6000], back[3000];

static int64_t total(int count, ...)
{
	va_list arguments;
	int64_t sum = 0;

	va_start(arguments, count);
	for (int i = 0; i < count; i++)
		sum = sum * 10 + (i & 1 ? va_arg(arguments, int) : (int)va_arg(arguments, long long));
	va_end(arguments);
	return sum;
}

int program(void)
{
	static const int8_t countdown[] = {
		PUSH, 10, STORE, 0, LOAD, 0, OUT, LOAD, 0, PUSH, 1, SUB, DUP, STORE, 0, BRANCH, -12, STOP,
	};
	static const int8_t powers[] = {
		PUSH, 1, STORE, 0, LOAD, 0, PUSH, 7, MUL, PUSH, 3, XOR, DUP, STORE, 0, DUP, OUT,
		PUSH, 40, SHR, NOT, BRANCH, -18, LOAD, 0, PUSH, 13, MOD, NEG, OUT, STOP,
	};
	struct state s = run(countdown);
	size_t n, m;

	print("%llu\n", (unsigned long long)s.steps);
	s = run(powers);
	print("%llu\n", (unsigned long long)s.steps);
	print("%08x %08x\n", crc32(0, (const uint8_t *)"123456789", 9), crc32(0, (const uint8_t *)"", 0));
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = random64() % 5 ? "the quick brown fox "[i % 20] : 'a' + random64() % 3;
	n = compress(text, sizeof(text), packed);
	m = expand(packed, n, back);
	print("%u %u %08x %08x %d\n", (unsigned)n, (unsigned)m, crc32(0, packed, n), crc32(0, back, m),
	      __builtin_memcmp(text, back, 200));
	print("%lld\n", (long long)total(12, 1ll, 2, 3ll, 4, 5ll, 6, 7ll, 8, 9ll, 1, 2ll, 3));
	print("[%5d] [%05d] [%-] [%c] [%s] [%x] [%llx] [%u%%]\n", 42, 42, 'x', "text", 0xbeef, 0x123456789abcdefull, 7u);
	return crc32(1, packed, n) & 0x7f;
}
