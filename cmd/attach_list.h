/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor attach --list: what is attached, and how its sessions are. */
#ifndef CMD_ATTACH_LIST_H
#define CMD_ATTACH_LIST_H

#include <stdbool.h>

#include "net/iscsi/sysfs.h"

#define ATTACH_PORTAL_TEXT (SOCK_HOST_MAX + 16)

/* HOST:PORT of a session as the user would write it; returns buf. */
const char *attach_portal_text(const struct iscsi_session *s, char buf[ATTACH_PORTAL_TEXT]);
/* Prints the list; the exit status. */
int attach_list(bool as_json);

#endif
