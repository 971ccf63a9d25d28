/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keys that this host has drawn for disks (xen/fence/referee.h), remembered over a reboot. A
 * nexus need not outlive one: open-iscsi makes its ISID from the number of the session
 * (initiator.c, session_conn_poll()), so from the order of logins. What the nexus before it has
 * left registered is told by this from what another host of the same initiator name has.
 */
#ifndef XEN_OWN_KEYS_H
#define XEN_OWN_KEYS_H

#include <stdbool.h>
#include <stdint.h>

/* Where they are, an empty file each; made when missing. "/var/lib/vstor/keys" unless a test
 * changes it; NULL: nothing is remembered. */
extern const char *own_keys_dir;

/* On the disk when it returns, or a warning is logged. The oldest of very many goes. */
void own_keys_note(uint64_t key);
bool own_keys_has(uint64_t key);

#endif
