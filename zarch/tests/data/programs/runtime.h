/* All the programs here have of a C library: entry, two system calls, printing. Included once by each. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

int program(void);

/* The stack pointer is the loader's; 160 bytes are the callee's register save area (96 in ESA/390 mode). */
__asm__(".globl _start\n"
        "_start:\n"
        "	aghi	%r15,-160\n"
        "	brasl	%r14,program\n"
        "	svc	1\n");

static long sys_write(const void *text, unsigned long length)
{
	register long fd __asm__("2") = 1;
	register const void *from __asm__("3") = text;
	register unsigned long count __asm__("4") = length;

	__asm__ volatile("svc 4" : "+d"(fd) : "d"(from), "d"(count) : "memory", "cc");
	return fd;
}

void *memcpy(void *to, const void *from, size_t n)
{
	char *d = to;
	const char *s = from;

	while (n--) {
		*d++ = *s++;
		__asm__ volatile("");
	}
	return to;
}

void *memset(void *to, int c, size_t n)
{
	char *d = to;

	while (n--) {
		*d++ = c;
		__asm__ volatile("");
	}
	return to;
}

static void print_char(char c)
{
	sys_write(&c, 1);
}

static void print_number(uint64_t value, unsigned base, int width, char pad)
{
	char text[24];
	int at = sizeof(text);

	do {
		text[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (at > 0 && (int)sizeof(text) - at < width)
		text[--at] = pad;
	sys_write(text + at, sizeof(text) - at);
}

/* %c %s %d %u %x %lld %llu %llx with width and zero padding. */
static void print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	for (; *format; format++) {
		int width = 0, wide = 0;
		char pad = ' ';

		if (*format != '%') {
			print_char(*format);
			continue;
		}
		format++;
		if (*format == '0')
			pad = *format++;
		while (*format >= '0' && *format <= '9')
			width = width * 10 + *format++ - '0';
		while (*format == 'l') {
			wide++;
			format++;
		}
		switch (*format) {
		case 'c':
			print_char(va_arg(arguments, int));
			break;
		case 's': {
			const char *s = va_arg(arguments, const char *);
			size_t n = 0;

			while (s[n])
				n++;
			sys_write(s, n);
			break;
		}
		case 'd': {
			int64_t v = wide ? va_arg(arguments, long long) : va_arg(arguments, int);

			if (v < 0) {
				print_char('-');
				v = -(uint64_t)v;
			}
			print_number(v, 10, width, pad);
			break;
		}
		case 'u':
			print_number(wide ? va_arg(arguments, unsigned long long) : va_arg(arguments, unsigned), 10,
				     width, pad);
			break;
		case 'x':
			print_number(wide ? va_arg(arguments, unsigned long long) : va_arg(arguments, unsigned), 16,
				     width, pad);
			break;
		case '%':
			print_char('%');
			break;
		default:
			print_char('?');
		}
	}
	va_end(arguments);
}

/* xorshift64*: the same numbers wherever it runs. */
static uint64_t random_state = 88172645463325252ull;

static inline uint64_t random64(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 2685821657736338717ull;
}
