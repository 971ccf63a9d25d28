/* vstor target: serves files and block devices as iSCSI disks. */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/opts.h"
#include "net/iscsi/target.h"
#include "net/iscsi/text.h"

#define MAX_LUNS	256
#define MAX_CONNECTIONS 256
#define LUN_NUMBER_MAX	16383
#define DISK_THREADS	8
#define NO_FD		UINT64_MAX

struct target_opts {
	struct opt_list luns, listen, allow;
	const char *name, *config, *state_dir;
	const char *chap_user, *chap_file, *mutual_user, *mutual_file;
	uint64_t ready_fd;
};

struct target_run {
	struct loop *loop;
	struct disk_engine *engine;
	struct access *access;
	struct target_server *server;
	struct lun *luns[MAX_LUNS];
	unsigned luns_n;
	struct loop_signal term, intr;
	bool draining;
};

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

static int bad_key(const char *spec, const char *what)
{
	log_error("--lun %s: %s; keys: lun=N serial=S ro thin removable block-size=512|4096 "
		  "cache=writeback|writethrough size=BYTES name=IQN",
		  spec, what);
	return -EINVAL;
}

/* One key of --lun; val is NULL for a bare word. */
static int lun_key(struct lun_config *c, const char *spec, const char *key, const char *val)
{
	uint64_t n;
	if (!val) {
		if (strcmp(key, "ro") == 0)
			c->disk.readonly = true;
		else if (strcmp(key, "thin") == 0)
			c->thin = true;
		else if (strcmp(key, "removable") == 0)
			c->removable = true;
		else
			return bad_key(spec, "unknown key");
		return 0;
	}
	if (strcmp(key, "lun") == 0) {
		if (parse_u64(val, &n) || n > LUN_NUMBER_MAX)
			return bad_key(spec, "lun= takes a number up to 16383");
		c->number = (unsigned)n;
	} else if (strcmp(key, "serial") == 0) {
		if (!*val || strlen(val) > 32)
			return bad_key(spec, "serial= takes 1 to 32 characters");
		for (const char *p = val; *p; p++)
			if (*p < 0x20 || *p > 0x7e)
				return bad_key(spec, "serial= takes printable ASCII only");
		c->serial = val;
	} else if (strcmp(key, "block-size") == 0) {
		if (parse_u64(val, &n) || (n != 512 && n != 4096))
			return bad_key(spec, "block-size= takes 512 or 4096");
		c->block_size = (uint32_t)n;
	} else if (strcmp(key, "cache") == 0) {
		c->disk.writethrough = strcmp(val, "writethrough") == 0;
		if (!c->disk.writethrough && strcmp(val, "writeback"))
			return bad_key(spec, "cache= takes writeback or writethrough");
	} else if (strcmp(key, "size") == 0) {
		if (parse_size(val, &c->disk.create_size) || !c->disk.create_size)
			return bad_key(spec, "size= takes bytes, such as 20G");
	} else if (strcmp(key, "name") == 0) {
		if (!iscsi_name_valid(val))
			return bad_key(spec,
				       "name= takes an iSCSI name, such as iqn.2026-11.local:d");
		c->target = val;
	} else {
		return bad_key(spec, "unknown key");
	}
	return 0;
}

/* "PATH,key=value,..."; `text` is cut into pieces that the result points to. */
static int parse_lun(struct lun_config *c, const char *spec, char *text)
{
	char *save = NULL;
	c->path = strtok_r(text, ",", &save);
	if (!c->path)
		return bad_key(spec, "no path");
	for (char *key; (key = strtok_r(NULL, ",", &save));) {
		char *val = strchr(key, '=');
		int rc;
		if (val)
			*val++ = '\0';
		rc = lun_key(c, spec, key, val);
		if (rc)
			return rc;
	}
	return 0;
}

/* The lowest number that no LUN of this target has. */
static unsigned free_number(const struct lun_config *all, unsigned n, const char *target)
{
	for (unsigned number = 0;; number++) {
		bool taken = false;
		for (unsigned i = 0; i < n; i++)
			taken |= all[i].number == number && strcmp(all[i].target, target) == 0;
		if (!taken)
			return number;
	}
}

static int add_luns(struct target_run *r, const struct target_opts *o)
{
	static struct lun_config configs[MAX_LUNS];
	if (o->luns.n == 0) {
		log_error("no --lun: name a file or a block device, such as --lun /dev/sdb1");
		return 2;
	}
	if (o->luns.n > MAX_LUNS) {
		log_error("--lun: more than %d of them", MAX_LUNS);
		return 2;
	}
	for (unsigned i = 0; i < o->luns.n; i++) {
		struct lun_config *c = &configs[i];
		char *text = strdup(o->luns.v[i]); /* kept: serial and name point into it */
		*c = (struct lun_config){
			.block_size = 512, .number = UINT32_MAX, .target = o->name};
		if (!text)
			return 1;
		if (parse_lun(c, o->luns.v[i], text))
			return 2;
		if (c->number == UINT32_MAX)
			c->number = free_number(configs, i, c->target);
		if (o->state_dir &&
		    asprintf(&text, "%s/%s,%u", o->state_dir, c->target, c->number) < 0)
			return 1;
		c->state_path = o->state_dir ? text : NULL;
	}
	for (unsigned i = 0; i < o->luns.n; i++) {
		struct lun_config *c = &configs[i];
		struct target *t = target_server_get(r->server, c->target);
		struct lun *l;
		if (!t || lun_open(&l, c))
			return 1;
		r->luns[r->luns_n++] = l;
		if (target_add_lun(r->server, t, l)) {
			log_error("--lun %s: %s has a LUN %u already; choose another lun=", c->path,
				  c->target, c->number);
			return 2;
		}
		log_info("%s: LUN %u of %s, %llu blocks of %u bytes", c->path, c->number, c->target,
			 (unsigned long long)l->blocks, l->block_size);
	}
	return 0;
}

static void drained(void *arg)
{
	struct target_run *r = arg;
	loop_stop(r->loop, 0);
}

static void on_term(void *arg, int signo)
{
	struct target_run *r = arg;
	(void)signo;
	if (r->draining)
		return;
	r->draining = true;
	target_server_drain(r->server, drained, r);
}

static int tell_ready(uint64_t fd)
{
	if (fd == NO_FD)
		return 0;
	if (write((int)fd, "\n", 1) != 1) {
		log_error("--ready-fd %llu: %s; name a descriptor that is open for writing",
			  (unsigned long long)fd, strerror(errno));
		return 1;
	}
	close((int)fd);
	return 0;
}

/* A user and the file of its secret: both or neither. */
static int read_secret(const char *option, const char *user, const char *file, char *secret)
{
	int rc;
	if (!user != !file) {
		log_error("--%s-user and --%s-secret-file go together", option, option);
		return 2;
	}
	if (!user)
		return 0;
	rc = chap_read_secret(file, secret);
	if (rc) {
		log_error("--%s-secret-file %s: %s", option, file, chap_secret_strerror(rc));
		return 1;
	}
	return 0;
}

static int read_credentials(struct chap_credentials *c, const struct target_opts *o)
{
	static char secret[CHAP_SECRET_MAX], mutual[CHAP_SECRET_MAX];
	int rc = read_secret("chap", o->chap_user, o->chap_file, secret);
	if (rc == 0)
		rc = read_secret("mutual", o->mutual_user, o->mutual_file, mutual);
	if (rc)
		return rc;
	if (o->mutual_user && !o->chap_user) {
		log_error("--mutual-user: needs --chap-user as well (RFC 7143, 12.1.3)");
		return 2;
	}
	/* One secret for both ways would let each side answer with what it was asked. */
	if (o->mutual_user && strcmp(secret, mutual) == 0) {
		log_error("--mutual-secret-file %s: the same secret as --chap-secret-file; use two",
			  o->mutual_file);
		return 1;
	}
	*c = (struct chap_credentials){.user = o->chap_user,
				       .secret = secret,
				       .mutual_user = o->mutual_user,
				       .mutual_secret = mutual};
	return 0;
}

static int serve(struct target_run *r, const struct target_opts *o)
{
	struct target_server_config config = {.loop = r->loop,
					      .engine = r->engine,
					      .access = r->access,
					      .max_connections = MAX_CONNECTIONS};
	int rc = read_credentials(&config.credentials, o);
	if (rc)
		return rc;
	r->server = target_server_new(&config);
	if (!r->server) {
		log_error("out of memory");
		return 1;
	}
	rc = add_luns(r, o);
	if (rc)
		return rc;
	if (o->listen.n == 0 && target_server_listen(r->server, "*"))
		return 1;
	for (unsigned i = 0; i < o->listen.n; i++)
		if (target_server_listen(r->server, o->listen.v[i]))
			return 1;
	if (loop_signal_add(r->loop, &r->term, SIGTERM, on_term, r) ||
	    loop_signal_add(r->loop, &r->intr, SIGINT, on_term, r)) {
		log_error("cannot catch signals: %s", strerror(errno));
		return 1;
	}
	rc = tell_ready(o->ready_fd);
	return rc ? rc : loop_run(r->loop);
}

int cmd_target(int argc, char **argv)
{
	struct target_opts o = {.name = default_name(), .ready_fd = NO_FD};
	const struct opt table[] = {
		{"lun", OPT_LIST, &o.luns, "PATH[,KEY=VALUE...]",
		 "a file or block device; may be given several times (keys below)", .min = 0},
		{"listen", OPT_LIST, &o.listen, "ADDR[:PORT]",
		 "where to listen (default: all addresses, port 3260)", .min = 0},
		{"name", OPT_STRING, &o.name, "IQN",
		 "the target's name (default: iqn.2026-11.local.vstor:HOSTNAME)", .min = 0},
		{"allow", OPT_LIST, &o.allow, "CIDR|IQN",
		 "who may log in (default: directly connected networks and loopback)", .min = 0},
		{"chap-user", OPT_STRING, &o.chap_user, "NAME",
		 "ask initiators for CHAP as this user (default: no CHAP)", .min = 0},
		{"chap-secret-file", OPT_STRING, &o.chap_file, "FILE",
		 "its secret, in a file that only its owner can read", .min = 0},
		{"mutual-user", OPT_STRING, &o.mutual_user, "NAME",
		 "show initiators who we are, too, as this user", .min = 0},
		{"mutual-secret-file", OPT_STRING, &o.mutual_file, "FILE", "its secret", .min = 0},
		{"state-dir", OPT_STRING, &o.state_dir, "DIR",
		 "where persistent reservations outlive the target (default: nowhere)", .min = 0},
		{"ready-fd", OPT_U64, &o.ready_fd, "FD", "write a newline here once it listens",
		 .max = 1 << 20},
		{"config", OPT_STRING, &o.config, "FILE",
		 "the same words, one `key = value` a line", .min = 0},
		{.type = OPT_END},
	};
	const struct opts opts = {
		.name = "target",
		.synopsis = "--lun PATH[,KEY=VALUE...] [options]",
		.description =
			"Serves files and block devices as iSCSI disks to any number of hosts.",
		.table = table,
		.epilog = "keys of --lun:\n"
			  "  lun=N  serial=S  name=IQN       its number, serial, and a target of "
			  "its own\n"
			  "  ro  thin  removable             read only; UNMAP gives space back; a "
			  "medium "
			  "that ejects\n"
			  "  size=BYTES                      create a sparse file of this size\n"
			  "  block-size=512|4096  cache=writeback|writethrough   (the first is the "
			  "default)",
	};
	struct target_run r = {0};
	int n = opts_parse(&opts, argc, argv), status = 1;

	if (n < 0)
		return opts_exit(n);
	static char *text; /* what the options point to */
	if (o.config && opts_parse_file(&opts, o.config, &text))
		return 2;
	if (!iscsi_name_valid(o.name)) {
		log_error("--name %s: not an iSCSI name; use one such as "
			  "iqn.2026-11.local.vstor:disks",
			  o.name);
		return 2;
	}
	r.access = access_new(o.allow.v, (unsigned)o.allow.n);
	if (!r.access)
		return 2;
	r.loop = loop_new();
	r.engine = r.loop ? disk_engine_new(r.loop, DISK_THREADS) : NULL;
	if (!r.engine)
		log_error("cannot start: %s", strerror(errno));
	else
		status = serve(&r, &o);
	for (unsigned i = 0; i < r.luns_n; i++)
		lun_stop(r.luns[i]);
	disk_engine_free(r.engine);
	target_server_free(r.server);
	for (unsigned i = 0; i < r.luns_n; i++)
		if (lun_close(r.luns[i]))
			status = 1;
	loop_free(r.loop);
	access_free(r.access);
	opt_list_free(&o.luns);
	opt_list_free(&o.listen);
	opt_list_free(&o.allow);
	return status;
}
