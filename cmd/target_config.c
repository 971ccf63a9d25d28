/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/target_config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "cmd/target_open.h"
#include "cmd/target_state.h"
#include "core/log.h"
#include "core/sandbox.h"
#include "net/control.h"
#include "net/iscsi/text.h"
#include "net/sock.h"

#define LUN_NUMBER_MAX 16383

/* iqn.2026-11.local.vstor:HOSTNAME */
static const char *default_name(void)
{
	static char name[256];
	char host[128] = "";
	gethostname(host, sizeof(host) - 1);
	for (char *p = host; *p; p++)
		*p = isalnum((unsigned char)*p) || *p == '-' || *p == '.'
			     ? (char)tolower((unsigned char)*p)
			     : '-';
	snprintf(name, sizeof(name), "iqn.2026-11.local.vstor:%s", host[0] ? host : "localhost");
	return name;
}

/* ---- LUNs ---- */

static int bad_key(const struct lun_setup *s, const char *what)
{
	log_error("%s: %s; keys: lun=N serial=S ro thin removable block-size=512|4096 "
		  "cache=writeback|writethrough size=BYTES name=IQN; a comma in PATH is written "
		  "\\,",
		  s->where, what);
	return -EINVAL;
}

/* One key of --lun; val is NULL for a bare word. */
static int lun_key(struct lun_setup *s, const char *key, const char *val)
{
	struct lun_config *c = &s->c;
	uint64_t n;
	if (!val) {
		if (strcmp(key, "ro") == 0)
			c->disk.readonly = true;
		else if (strcmp(key, "thin") == 0)
			c->thin = true;
		else if (strcmp(key, "removable") == 0)
			c->removable = true;
		else
			return bad_key(s, "unknown key");
		return 0;
	}
	if (strcmp(key, "lun") == 0) {
		if (parse_u64(val, &n) || n > LUN_NUMBER_MAX)
			return bad_key(s, "lun= takes a number up to 16383");
		c->number = (unsigned)n;
	} else if (strcmp(key, "serial") == 0) {
		if (!*val || strlen(val) > 32)
			return bad_key(s, "serial= takes 1 to 32 characters");
		for (const char *p = val; *p; p++)
			if (*p < 0x20 || *p > 0x7e)
				return bad_key(s, "serial= takes printable ASCII only");
		/* Initiators cut them off. */
		if (val[0] == ' ' || val[strlen(val) - 1] == ' ')
			return bad_key(s, "serial= takes no blank at its ends");
		c->serial = val;
	} else if (strcmp(key, "block-size") == 0) {
		if (parse_u64(val, &n) || (n != 512 && n != 4096))
			return bad_key(s, "block-size= takes 512 or 4096");
		c->block_size = (uint32_t)n;
	} else if (strcmp(key, "cache") == 0) {
		c->disk.writethrough = strcmp(val, "writethrough") == 0;
		c->writeback = strcmp(val, "writeback") == 0;
		if (!c->disk.writethrough && !c->writeback)
			return bad_key(s, "cache= takes writeback or writethrough");
	} else if (strcmp(key, "size") == 0) {
		if (parse_size(val, &c->disk.create_size) || !c->disk.create_size)
			return bad_key(s, "size= takes bytes, such as 20G");
	} else if (strcmp(key, "name") == 0) {
		if (!iscsi_name_valid(val))
			return bad_key(s, "name= takes an iSCSI name, such as iqn.2026-11.local:d");
		c->target = val;
	} else {
		return bad_key(s, "unknown key");
	}
	return 0;
}

/* Cuts off a part, up to a comma; "\," is a comma and "\\" a backslash of it. NULL: none is left.
 */
static char *next_part(char **rest)
{
	char *part = *rest, *to = part, *from = part;
	if (!part)
		return NULL;
	for (; *from && *from != ','; from++) {
		if (*from == '\\' && (from[1] == ',' || from[1] == '\\'))
			from++;
		*to++ = *from;
	}
	*rest = *from ? from + 1 : NULL;
	*to = '\0';
	return part;
}

int lun_setup_parse(struct lun_setup *s, const char *word, const char *target, const char *where)
{
	size_t len = strlen(word) + 1;
	char *rest;

	*s = (struct lun_setup){.c = {.block_size = 512, .number = LUN_NUMBER_ANY}};
	snprintf(s->where, sizeof(s->where), "%s %s", where, word);
	s->text = malloc(len + strlen(target) + 1);
	if (!s->text)
		return -ENOMEM;
	memcpy(s->text, word, len);
	s->c.target = strcpy(s->text + len, target);
	rest = s->text;
	s->c.path = next_part(&rest);
	if (!*s->c.path)
		return bad_key(s, "no path");
	for (char *key; (key = next_part(&rest));) {
		char *val = strchr(key, '=');
		int rc;
		if (!*key)
			continue;
		if (val)
			*val++ = '\0';
		rc = lun_key(s, key, val);
		if (rc)
			return rc;
	}
	return 0;
}

void lun_setup_free(struct lun_setup *s)
{
	free(s->text);
	s->text = NULL;
	if (s->c.disk.opened)
		close(s->c.disk.fd);
	s->c.disk.opened = false;
}

static int parse_luns(struct target_config *c)
{
	if (c->lun_words.n == 0) {
		log_error("no --lun: name a file or a block device, such as --lun /dev/sdb1");
		return OPTS_USAGE;
	}
	if (c->lun_words.n > TARGET_MAX_LUNS) {
		log_error("--lun: more than %d of them", TARGET_MAX_LUNS);
		return OPTS_USAGE;
	}
	c->luns = calloc(c->lun_words.n, sizeof(*c->luns));
	if (!c->luns)
		return 1;
	for (size_t i = 0; i < c->lun_words.n; i++) {
		char where[96] = "--lun";
		if (c->lun_words.line[i])
			snprintf(where, sizeof(where), "%s:%u: lun", c->file, c->lun_words.line[i]);
		c->luns_n++;
		if (lun_setup_parse(&c->luns[i], c->lun_words.v[i], c->name, where))
			return OPTS_USAGE;
	}
	return 0;
}

/* ---- portals ---- */

static int check_listen(const struct target_config *c)
{
	for (size_t i = 0; i < c->listen.n; i++) {
		char host[SOCK_HOST_MAX], where[96] = "--listen";
		uint16_t port = 0;
		if (sock_parse(c->listen.v[i], host, &port) == 0)
			continue;
		if (c->listen.line[i])
			snprintf(where, sizeof(where), "%s:%u: listen", c->file, c->listen.line[i]);
		log_error("%s %s: %s; the port is 1 to 65535", where, c->listen.v[i],
			  sock_strerror(EINVAL));
		return OPTS_USAGE;
	}
	return 0;
}

/* ---- secrets ---- */

/* Of a user, if there is one. */
static int read_secret(const char *option, const char *user, const char *file, char *secret,
		       struct opener *o)
{
	int rc, fd;
	if (!user)
		return 0;
	fd = target_open(o, TARGET_SECRET, file);
	rc = fd < 0 ? fd : chap_take_secret(fd, secret);
	if (rc) {
		log_error("--%s-secret-file %s: %s", option, file, chap_secret_strerror(rc));
		return 1;
	}
	return 0;
}

static int read_credentials(struct target_config *c, struct opener *o)
{
	const char *misfit =
		chap_misfit(c->chap_user, c->chap_file, c->mutual_user, c->mutual_file);
	int rc;
	if (misfit) {
		log_error("%s", misfit);
		return OPTS_USAGE;
	}
	rc = read_secret("chap", c->chap_user, c->chap_file, c->secret, o);
	if (rc == 0)
		rc = read_secret("mutual", c->mutual_user, c->mutual_file, c->mutual, o);
	if (rc)
		return rc;
	/* One secret for both ways would let each side answer with what it was asked. */
	if (c->mutual_user && strcmp(c->secret, c->mutual) == 0) {
		log_error("--mutual-secret-file %s: the same secret as --chap-secret-file; use two",
			  c->mutual_file);
		return 1;
	}
	c->credentials = (struct chap_credentials){.user = c->chap_user,
						   .secret = c->secret,
						   .mutual_user = c->mutual_user,
						   .mutual_secret = c->mutual};
	return 0;
}

/* ---- all of it ---- */

/* The log is settled when the first configuration has been read: in its sandbox the target can get
 * at no other one, and -v is not to count again with each SIGHUP. */
static bool log_settled;

static int read_words(struct target_config *c, int argc, char **argv, struct opener *o)
{
	const struct opt table[] = {
		{"lun", OPT_LIST, &c->lun_words, "PATH[,KEY=VALUE...]",
		 "a file or block device; may be given several times (keys below)", .min = 0},
		{"listen", OPT_LIST, &c->listen, "ADDR[:PORT]",
		 "where to listen (default: all addresses, port 3260)", .min = 0},
		{"name", OPT_STRING, &c->name, "IQN",
		 "the target's name (default: iqn.2026-11.local.vstor:HOSTNAME)", .min = 0},
		{"allow", OPT_LIST, &c->allow, "CIDR|IQN",
		 "who may log in (default: directly connected networks and loopback)", .min = 0},
		{"chap-user", OPT_STRING, &c->chap_user, "NAME",
		 "ask initiators for CHAP as this user (default: no CHAP)", .min = 0},
		{"chap-secret-file", OPT_STRING, &c->chap_file, "FILE",
		 "its secret, in a file that only its owner can read", .min = 0},
		{"mutual-user", OPT_STRING, &c->mutual_user, "NAME",
		 "show initiators who we are, too, as this user", .min = 0},
		{"mutual-secret-file", OPT_STRING, &c->mutual_file, "FILE", "its secret", .min = 0},
		{"state-dir", OPT_STRING, &c->state_dir, "DIR",
		 "where persistent reservations outlive the target; none: nowhere (default as "
		 "root: " TARGET_STATE_DEFAULT ", if it is free)",
		 .min = 0},
		{"threads", OPT_U64, &c->threads, "N",
		 "share the connections among N threads (default 1, enough for 1 Gbit/s)", .min = 1,
		 .max = TARGET_MAX_THREADS},
		{"ready-fd", OPT_U64, &c->ready_fd, "FD", "write a newline here once it listens",
		 .max = 1 << 20},
		{"control", OPT_STRING, &c->control, "SOCKET",
		 "for vstor status, lun and session (default as root: " CONTROL_DEFAULT ")",
		 .min = 0},
		{"user", OPT_STRING, &c->user, "NAME",
		 "who to be, as root, once all is open (default: " SANDBOX_USER ", or nobody)",
		 .min = 0},
		{"aoe", OPT_LIST, &c->aoe_words, "IFACE[,shelf=S][,slot=N]",
		 "also export by ATA over Ethernet, LUN n as eS.(N+n) (defaults 0); may be given "
		 "several times",
		 .min = 0},
		{"aoe-allow", OPT_LIST, &c->aoe_allow_words, "MAC",
		 "who gets an answer by AoE (default: everybody on that network)", .min = 0},
		{"metrics", OPT_STRING, &c->metrics, "ADDR[:PORT]",
		 "serve Prometheus metrics by HTTP (default: no; port 9860)", .min = 0},
		{"config", OPT_STRING, &c->file, "FILE", "the same words, one `key = value` a line",
		 .min = 0},
		{.type = OPT_END},
	};
	const struct opts opts = {
		.name = "target",
		.synopsis = "--lun PATH[,KEY=VALUE...] [options]",
		.description =
			"Serves files and block devices as iSCSI disks to any number of hosts.",
		.table = table,
		.keep_log = log_settled,
		.epilog = "keys of --lun:\n"
			  "  lun=N  serial=S  name=IQN       its number, serial, and a target of "
			  "its own\n"
			  "  ro  thin  removable             read only; UNMAP gives space back; a "
			  "medium "
			  "that ejects\n"
			  "  size=BYTES                      create a sparse file of this size\n"
			  "  block-size=512|4096  cache=writeback|writethrough   (the first is the "
			  "default;\n"
			  "                                  by AoE, writes go through unless "
			  "cache=writeback is said)",
	};
	int n = opts_parse(&opts, argc, argv);
	const char *file = c->file;
	if (n < 0)
		return n;
	n = file ? opts_parse_file(&opts, file, target_open(o, TARGET_CONFIG, file), &c->text) : 0;
	c->file = file; /* the one that was read, whatever it says */
	return n;
}

int target_config_words(struct target_config **out, int argc, char **argv, struct opener *o)
{
	struct target_config *c = calloc(1, sizeof(*c));
	int rc;
	*out = NULL;
	if (!c)
		return 1;
	c->name = default_name();
	c->ready_fd = NO_FD;
	c->threads = 1;
	rc = read_words(c, argc, argv, o);
	if (rc == 0 && !iscsi_name_valid(c->name)) {
		log_error("--name %s: not an iSCSI name; use one such as "
			  "iqn.2026-11.local.vstor:disks",
			  c->name);
		rc = OPTS_USAGE;
	}
	if (rc == 0)
		rc = parse_luns(c);
	if (rc == 0)
		rc = check_listen(c);
	if (rc == 0 && (aoe_setups_parse(c->aoe, &c->aoe_words) ||
			aoe_allow_parse(&c->aoe_allow, &c->aoe_allow_words)))
		rc = OPTS_USAGE;
	if (rc == 0 && c->aoe_allow_words.n && !c->aoe_words.n) {
		log_error("--aoe-allow %s: without --aoe nothing is exported that way; add --aoe "
			  "IFACE, or leave this out",
			  c->aoe_allow_words.v[0]);
		rc = OPTS_USAGE;
	}
	if (rc == 0 && !(c->access = access_new(c->allow.v, (unsigned)c->allow.n)))
		rc = OPTS_USAGE;
	if (rc)
		target_config_free(c);
	else
		*out = c;
	return rc;
}

int target_config_read(struct target_config **out, int argc, char **argv, struct opener *o)
{
	int rc = target_config_words(out, argc, argv, o);
	if (rc == 0)
		rc = read_credentials(*out, o);
	log_settled |= rc == 0;
	if (rc) {
		target_config_free(*out);
		*out = NULL;
	}
	return rc;
}

void target_config_free(struct target_config *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->luns_n; i++)
		lun_setup_free(&c->luns[i]);
	free(c->luns);
	access_free(c->access);
	opt_list_free(&c->lun_words);
	opt_list_free(&c->listen);
	opt_list_free(&c->allow);
	opt_list_free(&c->aoe_words);
	opt_list_free(&c->aoe_allow_words);
	explicit_bzero(c->secret, sizeof(c->secret));
	explicit_bzero(c->mutual, sizeof(c->mutual));
	free(c->text);
	free(c);
}
