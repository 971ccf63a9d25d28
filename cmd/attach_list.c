/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/attach_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/json.h"
#include "core/log.h"
#include "net/aoe/initiator.h"
#include "net/iscsi/attachment.h"
#include "net/iscsi/keeper.h"
#include "net/iscsi/keeper_control.h"

const char *attach_portal_text(const struct iscsi_session *s, char buf[ATTACH_PORTAL_TEXT])
{
	snprintf(buf, ATTACH_PORTAL_TEXT, strchr(s->address, ':') ? "[%s]:%u" : "%s:%u", s->address,
		 s->port);
	return buf;
}

/* What a line or object of the list tells. */
struct listed {
	const struct iscsi_session *session;
	const struct iscsi_disk *disk; /* NULL: the session has none */
	const char *keeper;
	bool kept; /* then st is valid */
	struct keeper_status st;
	int64_t left_s; /* until waiting I/O fails; -1: it does not wait, or for ever */
};

static struct listed look_up(const struct iscsi_session *s, const struct iscsi_disk *d)
{
	struct listed l = {.session = s, .disk = d, .left_s = -1};

	l.kept = keeper_status(s->sid, &l.st) == 0;
	l.keeper = !keeper_owns(s) ? "other" : l.kept ? l.st.state : "none";
	if (strcmp(s->state, "FREE") == 0) /* how the kernel says that it has passed */
		l.left_s = 0;
	else if (l.kept && strcmp(l.st.state, "up") && s->recovery_tmo >= 0)
		l.left_s = MAX(s->recovery_tmo - (int64_t)l.st.since_s, 0);
	return l;
}

/* A time in two or three figures: 45s, 590s, 12m, 30h, 12d. */
static const char *age(uint64_t seconds, char buf[24])
{
	static const struct {
		uint64_t seconds;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	size_t i = 0;

	while (i < ARRAY_SIZE(units) - 1 && seconds < 10 * units[i].seconds)
		i++;
	snprintf(buf, 24, "%llu%c", (unsigned long long)(seconds / units[i].seconds),
		 units[i].unit);
	return buf;
}

static void list_text(const struct listed *l)
{
	char portal[ATTACH_PORTAL_TEXT], lun[16] = "-", since[24] = "-", left[24] = "-";
	char recoveries[16] = "-";

	if (l->disk)
		snprintf(lun, sizeof(lun), "%u", l->disk->lun);
	if (l->kept) {
		age(l->st.since_s, since);
		snprintf(recoveries, sizeof(recoveries), "%u", l->st.recoveries);
	}
	if (l->left_s >= 0)
		age((uint64_t)l->left_s, left);
	printf("%-10s %5s  %-10s %-10s %5s %10s %5s  %-21s %s\n", l->disk ? l->disk->path : "-",
	       lun, l->session->state, l->keeper, since, recoveries, left,
	       attach_portal_text(l->session, portal), l->session->target);
}

static void list_json(struct json *j, const struct listed *l)
{
	const struct iscsi_session *s = l->session;
	char portal[ATTACH_PORTAL_TEXT];

	json_object(j, NULL);
	json_string(j, "device", l->disk ? l->disk->path : NULL);
	if (l->disk)
		json_u64(j, "lun", l->disk->lun);
	json_string(j, "target", s->target);
	json_string(j, "portal", attach_portal_text(s, portal));
	json_string(j, "initiator", s->initiator);
	json_u64(j, "session", s->sid);
	json_string(j, "state", s->state);
	json_i64(j, "replacement_timeout_s", s->recovery_tmo);
	if (l->left_s >= 0)
		json_u64(j, "timeout_left_s", (uint64_t)l->left_s);
	json_string(j, "keeper", l->keeper);
	if (l->kept) {
		json_u64(j, "keeper_pid", l->st.pid);
		json_u64(j, "since_s", l->st.since_s);
		json_u64(j, "recoveries", l->st.recoveries);
		json_string(j, "error", l->st.error[0] ? l->st.error : NULL);
	}
	json_object_end(j);
}

static void list_disk(struct json *j, const struct iscsi_session *s, const struct iscsi_disk *d)
{
	const struct listed l = look_up(s, d);

	if (j)
		list_json(j, &l);
	else
		list_text(&l);
}

/* The driver looks after it by itself. */
static void list_aoe(struct json *j, const struct aoe_device *d)
{
	char address[16], serial[AOE_SERIAL];

	snprintf(address, sizeof(address), "%u.%u", d->at.shelf, d->at.slot);
	if (!j) {
		printf("%-10s %5s  %-10s %-10s %5s %10s %5s  %-21s e%s\n", d->disk.path, "-",
		       d->state, "driver", "-", "-", "-", d->target, address);
		return;
	}
	json_object(j, NULL);
	json_string(j, "device", d->disk.path);
	json_string(j, "aoe", address);
	json_string(j, "serial", aoe_device_serial(d, serial) ? NULL : serial);
	json_string(j, "target", d->target);
	json_string(j, "state", d->state);
	json_object_end(j);
}

int attach_list(bool as_json)
{
	struct iscsi_session *s;
	struct aoe_device *aoe;
	struct iscsi_disk *d;
	struct json j;
	size_t n, m, aoe_n;
	int err = iscsi_sessions(&s, &n);

	if (aoe_devices(&aoe, &aoe_n))
		err = -ENOMEM;

	if (as_json) {
		json_begin(&j, stdout);
		json_array(&j, NULL);
	} else if (n || aoe_n) {
		printf("%-10s %5s  %-10s %-10s %5s %10s %5s  %-21s %s\n", "DEVICE", "LUN", "STATE",
		       "KEEPER", "SINCE", "RECOVERIES", "LEFT", "PORTAL", "TARGET");
	}
	for (size_t i = 0; i < n && !err; i++) {
		err = iscsi_disks(&s[i], &d, &m);
		for (size_t k = 0; k < m && !err; k++)
			list_disk(as_json ? &j : NULL, &s[i], &d[k]);
		if (!err && !m)
			list_disk(as_json ? &j : NULL, &s[i], NULL);
		free(d);
	}
	free(s);
	for (size_t i = 0; i < aoe_n; i++)
		list_aoe(as_json ? &j : NULL, &aoe[i]);
	free(aoe);
	if (as_json) {
		json_array_end(&j);
		json_end(&j);
	}
	if (err)
		log_error("%s", strerror(-err));
	return err ? 1 : 0;
}
