/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The channel subsystem, which tells that the AP configuration has changed. */
#ifndef CSS_H
#define CSS_H

#include <stdbool.h>

/*
 * After a machine check with a channel report pending: fetches reports and
 * event information until there is no more, and prints them. Returns whether
 * it was among them that the AP configuration has changed.
 */
bool css_ap_configuration_changed(void);

#endif /* CSS_H */
