/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the rules' client share. */
#ifndef TESTS_ISCSI_RULES_H
#define TESTS_ISCSI_RULES_H

#include "tests/iscsi/raw.h"

#define BLOCK 512u

/* Says why; false. */
bool rules_fail(const char *what);
/* Logs in as initiator n with these keys instead of raw_login()'s (NULL: none). */
bool rules_log_in(struct raw *r, unsigned n, const char *const *keys);
/* The same, and takes the unit attention. */
bool rules_enter(struct raw *r, unsigned n, const char *const *keys);

/* ---- rules_session.c ---- */
bool second_connection(void);
bool name_in_capitals(void);
bool ends_in_order(void);
bool reservation_ends(void);
bool abort_is_over(void);
bool reset_is_over(void);
bool functions_apart(void);
bool aborted_are_told(void);

#endif
