/* Sorting by function pointer, recursion, trees in an array, binary search. */
#include "runtime.h"

typedef int (*compare)(const void *, const void *);

static void exchange(uint8_t *a, uint8_t *b, size_t size)
{
	while (size--) {
		uint8_t t = *a;

		*a++ = *b;
		*b++ = t;
	}
}

static void quick(void *base, size_t count, size_t size, compare order)
{
	uint8_t *first = base;

	while (count > 1) {
		size_t low = 0, i;

		exchange(first, first + count / 2 * size, size);
		for (i = 1; i < count; i++)
			if (order(first + i * size, first) < 0)
				exchange(first + ++low * size, first + i * size, size);
		exchange(first, first + low * size, size);
		quick(first, low, size, order);
		first += (low + 1) * size;
		count -= low + 1;
	}
}

static void heap(int64_t *v, int count)
{
	for (int start = count / 2 - 1, end = count; end > 1;) {
		int root;

		if (start >= 0) {
			root = start--;
		} else {
			int64_t t = v[--end];

			v[end] = v[0];
			v[0] = t;
			root = 0;
		}
		for (int child; (child = 2 * root + 1) < end; root = child) {
			if (child + 1 < end && v[child] < v[child + 1])
				child++;
			if (v[root] >= v[child])
				break;
			int64_t t = v[root];

			v[root] = v[child];
			v[child] = t;
		}
	}
}

struct entry {
	char name[11];
	int16_t rank;
	uint8_t weight;
};

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	for (int i = 0; i < 11; i++)
		if (x->name[i] != y->name[i])
			return (unsigned char)x->name[i] - (unsigned char)y->name[i];
	return 0;
}

static int by_rank(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->rank != y->rank ? (x->rank > y->rank) - (x->rank < y->rank) : x->weight - y->weight;
}

static int by_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int64_t longs[1500];
static uint32_t words[1200];
static struct entry entries[300];

static uint64_t checksum(const void *at, size_t n)
{
	const uint8_t *bytes = at;
	uint64_t sum = 14695981039346656037ull;

	while (n--)
		sum = (sum ^ *bytes++) * 1099511628211ull;
	return sum;
}

static int find(uint32_t key, int count)
{
	int low = 0, high = count - 1;

	while (low <= high) {
		int middle = (low + high) / 2;

		if (words[middle] == key)
			return middle;
		if (words[middle] < key)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return -1;
}

static unsigned ackermann(unsigned m, unsigned n)
{
	return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

int program(void)
{
	uint32_t wanted;
	int place;

	for (int i = 0; i < 1500; i++)
		longs[i] = random64() >> (i % 60);
	heap(longs, 1500);
	for (int i = 1; i < 1500; i++)
		if (longs[i - 1] > longs[i])
			print("heap out of order at %d\n", i);
	print("%016llx\n", checksum(longs, sizeof(longs)));

	for (int i = 0; i < 1200; i++)
		words[i] = random64() >> 30;
	wanted = words[77];
	quick(words, 1200, sizeof(words[0]), by_u32);
	place = find(wanted, 1200);
	print("%016llx %d %d\n", checksum(words, sizeof(words)), place, find(12345, 1200));

	for (int i = 0; i < 300; i++) {
		for (int j = 0; j < 11; j++)
			entries[i].name[j] = 'a' + random64() % (j + 1);
		entries[i].rank = (int16_t)random64() >> 8;
		entries[i].weight = random64();
	}
	quick(entries, 300, sizeof(entries[0]), by_name);
	print("%016llx\n", checksum(entries, sizeof(entries)));
	quick(entries, 300, sizeof(entries[0]), by_rank);
	print("%016llx %d %d\n", checksum(entries, sizeof(entries)), entries[0].rank, entries[299].rank);
	print("%u\n", ackermann(2, 50));
	return place & 0x7f;
}
