/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "print.h"
#include "sclp.h"

static char line[SCLP_LINE_MAX];
static unsigned int line_length;

static void put(char c)
{
	/* A line longer than the buffer goes out in pieces. */
	if (c == '\n' || line_length == sizeof(line)) {
		sclp_write_line(line, line_length);
		line_length = 0;
	}
	if (c != '\n')
		line[line_length++] = c;
}

struct field {
	unsigned int	width;
	bool		left;
	char		fill;
};

static void put_field(struct field field, const char *text, unsigned int length)
{
	unsigned int padding = field.width > length ? field.width - length : 0;

	if (!field.left)
		for (; padding; padding--)
			put(field.fill);
	for (; length; length--)
		put(*text++);
	for (; padding; padding--)
		put(' ');
}

static void put_text(struct field field, const char *text)
{
	unsigned int length = 0;

	while (text[length])
		length++;
	put_field(field, text, length);
}

static void put_number(struct field field, uint64_t value, unsigned int base)
{
	char digits[20];		/* of 2^64 - 1, in decimal */
	char *first = digits + sizeof(digits);

	do {
		*--first = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	put_field(field, first, digits + sizeof(digits) - first);
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	for (; *format; format++) {
		struct field field = { .fill = ' ' };
		bool is_long = false;
		char c;

		if (*format != '%') {
			put(*format);
			continue;
		}
		if (*++format == '-') {
			field.left = true;
			format++;
		}
		if (*format == '0')
			field.fill = '0';
		while (*format >= '0' && *format <= '9')
			field.width = field.width * 10 + (*format++ - '0');
		if (*format == 'l') {
			is_long = true;
			format++;
		}
		switch (*format) {
		case 's':
			put_text(field, va_arg(args, const char *));
			break;
		case 'c':
			c = va_arg(args, int);
			put_field(field, &c, 1);
			break;
		case 'u':
		case 'x':
			put_number(field, is_long ? va_arg(args, unsigned long) :
						    va_arg(args, unsigned int),
				   *format == 'x' ? 16 : 10);
			break;
		default:
			put(*format);
		}
	}
	va_end(args);
}
