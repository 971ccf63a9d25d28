/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that many initiators want at once. */
#ifndef NET_ISCSI_CROWD_H
#define NET_ISCSI_CROWD_H

#include "net/iscsi/conn.h"

/*
 * May a connection that has none of it have so many bytes more of one of the sums that the server
 * counts, of which so many are in use? It may have little in any case. False: its command is to be
 * refused; and of the others those are dropped that keep much and have not moved any of it for a
 * while, so that there will be room when it comes again.
 */
bool crowd_lets(struct conn *c, uint64_t used, uint32_t bytes);

#endif
