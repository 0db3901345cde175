/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#ifndef PRINT_H
#define PRINT_H

/*
 * printf, as much of it as apcheck needs: %s, %c, %u, %x and %%, with
 * `-`, `0`, a width, and `l`. What is printed reaches the console line by line.
 */
__attribute__((format(printf, 1, 2))) void print(const char *format, ...);

#endif /* PRINT_H */
