/* SPDX-License-Identifier: BSD-2-Clause */
/* REGISTER, REGISTER AND IGNORE EXISTING KEY, REGISTER AND MOVE (SPC-4, 5.13.7 and 5.13.8). */
#include <string.h>
#include <strings.h>

#include "core/bytes.h"
#include "storage/scsi/register.h"
#include "storage/scsi/scsi.h"

enum { APTPL = 0x01, ALL_TG_PT = 0x04 }; /* byte 20 of the parameter list */
enum { UNREG = 0x02 };			 /* byte 17, REGISTER AND MOVE */

#define REGISTER_LIST 28 /* with SPEC_I_PT, before the TransportIDs */
#define MOVE_LIST     24

static const char isid_mark[] = ",i,0x";

static bool no_room(struct scsi_cmd *cmd)
{
	scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_INSUFFICIENT_REGISTRATION_RESOURCES);
	return false;
}

static bool bad_param(struct scsi_cmd *cmd, unsigned byte, int bit)
{
	scsi_invalid_param(cmd, byte, bit);
	return false;
}

/*
 * An iSCSI TransportID (SPC-4, 7.6.4.6) at p: its length, 0 when it is none. `name` gets the name
 * of the initiator port or, without ISID (*whole), that of the initiator with all its ports.
 */
static uint32_t parse_transport_id(const uint8_t *p, uint32_t left, char *name, bool *whole)
{
	uint32_t len;
	const char *mark;
	size_t n;

	if (left < 4 || (p[0] & 0x0f) != 0x05)
		return 0;
	len = 4u + get_be16(p + 2);
	if (len < 24 || len > left || len % 4)
		return 0;
	n = strnlen((const char *)p + 4, len - 4);
	if (n == 0 || n == len - 4 || n >= PORT_NAME_SIZE)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (p[4 + i] <= ' ' || p[4 + i] == 0x7f) /* names are UTF-8 */
			return 0;
	memcpy(name, p + 4, n + 1);
	mark = strstr(name, isid_mark);
	*whole = p[0] >> 6 == 0;
	if (p[0] >> 6 > 1 || *whole != !mark || (mark && !mark[strlen(isid_mark)]))
		return 0;
	return len;
}

/* Registers one port by name, as SPEC_I_PT asks. */
static bool add_port(struct scsi_cmd *cmd, struct pr_request *req, const char *name)
{
	uint16_t port = cmd->nexus->target_port;
	int i = pr_find_port(req->s, name, port);
	if (i < 0)
		i = pr_add(req->s, name, port, req->new_key);
	if (i < 0)
		return no_room(cmd);
	req->s->reg[i].key = req->new_key;
	req->s->reg[i].all_ports = req->p[20] & ALL_TG_PT;
	return true;
}

/* All ports of an initiator that are known: those with a session. */
static bool add_known_ports(struct scsi_cmd *cmd, struct pr_request *req, const char *name)
{
	size_t len = strlen(name);
	for (struct lun_nexus *n = cmd->lun->nexuses; n; n = n->next)
		if (strncasecmp(n->initiator, name, len) == 0 &&
		    strncasecmp(n->initiator + len, isid_mark, strlen(isid_mark)) == 0 &&
		    !add_port(cmd, req, n->initiator))
			return false;
	return true;
}

static bool add_listed_ports(struct scsi_cmd *cmd, struct pr_request *req)
{
	char name[PORT_NAME_SIZE];
	uint32_t at = REGISTER_LIST, len;
	bool whole;

	if (req->len < REGISTER_LIST || get_be32(req->p + 24) != req->len - REGISTER_LIST) {
		scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
		return false;
	}
	for (; at < req->len; at += len) {
		len = parse_transport_id(req->p + at, req->len - at, name, &whole);
		if (len == 0)
			return bad_param(cmd, at, -1);
		if (whole ? !add_known_ports(cmd, req, name) : !add_port(cmd, req, name))
			return false;
	}
	return true;
}

/* Whether the state survives loss of power is what the latest registration says. */
static bool set_aptpl(struct scsi_cmd *cmd, struct pr_request *req, unsigned byte)
{
	bool on = req->p[byte] & APTPL;
	if (on && !cmd->lun->reservations->path)
		return bad_param(cmd, byte, 0);
	req->s->aptpl = on;
	return true;
}

bool pr_register(struct scsi_cmd *cmd, struct pr_request *req)
{
	struct pr_state *s = req->s;
	bool listed = req->p[20] & PR_SPEC_I_PT;

	/* Others can be registered only together with this nexus. */
	if (listed && req->self >= 0)
		return bad_param(cmd, 20, 3);
	if (!set_aptpl(cmd, req, 20))
		return false;
	if (req->self < 0 && req->new_key == 0) {
		scsi_good(cmd); /* nothing to unregister */
		return false;
	}
	if (req->new_key == 0) {
		pr_unregister(s, req->self);
	} else if (req->self >= 0) {
		s->reg[req->self].key = req->new_key;
	} else {
		int i = pr_add(s, cmd->nexus->initiator, cmd->nexus->target_port, req->new_key);
		if (i < 0)
			return no_room(cmd);
		s->reg[i].all_ports = req->p[20] & ALL_TG_PT;
		if (listed && !add_listed_ports(cmd, req))
			return false;
	}
	s->generation++;
	return true;
}

bool pr_register_and_move(struct scsi_cmd *cmd, struct pr_request *req)
{
	struct pr_state *s = req->s;
	char name[PORT_NAME_SIZE];
	uint16_t port = get_be16(req->p + 18);
	bool whole;
	int to;

	if (s->type == PR_NONE) {
		scsi_invalid_cdb(cmd, 1, 4);
		return false;
	}
	if (pr_type_all(s->type) || s->holder != req->self) {
		scsi_status(cmd, SCSI_RESERVATION_CONFLICT);
		return false;
	}
	if (get_be32(req->p + 20) != req->len - MOVE_LIST) {
		scsi_check(cmd, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
		return false;
	}
	if (req->new_key == 0)
		return bad_param(cmd, 8, -1);
	if (port == 0)
		return bad_param(cmd, 18, -1);
	if (!parse_transport_id(req->p + MOVE_LIST, req->len - MOVE_LIST, name, &whole) || whole)
		return bad_param(cmd, MOVE_LIST, -1);
	if (!set_aptpl(cmd, req, 17))
		return false;
	to = pr_find_port(s, name, port);
	if (to == req->self) /* it has the reservation already */
		return bad_param(cmd, MOVE_LIST, -1);
	if (to < 0)
		to = pr_add(s, name, port, req->new_key);
	if (to < 0)
		return no_room(cmd);
	s->reg[to].key = req->new_key;
	s->holder = to;
	if (req->p[17] & UNREG)
		pr_unregister(s, req->self);
	s->generation++;
	return true;
}
