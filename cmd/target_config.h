/* SPDX-License-Identifier: BSD-2-Clause */
/* What `vstor target` is asked to do: its options and its --config file, checked. */
#ifndef CMD_TARGET_CONFIG_H
#define CMD_TARGET_CONFIG_H

#include "cmd/target_aoe.h"
#include "core/opener.h"
#include "core/opts.h"
#include "net/access.h"
#include "net/iscsi/chap.h"
#include "storage/lun_open.h"

#define LUN_NUMBER_ANY	   UINT32_MAX /* the next that is free */
#define NO_FD		   UINT64_MAX
#define TARGET_MAX_LUNS	   256
#define TARGET_MAX_THREADS 64
#define TARGET_ANYWHERE	   "*" /* where it listens without a word about it */

/* One --lun. Its strings are its own, and the file, if c.disk.opened. */
struct lun_setup {
	struct lun_config c; /* number may be LUN_NUMBER_ANY; no state_path */
	char *text;
	char where[128]; /* "--lun PATH" or "FILE:LINE: lun PATH", for messages */
	bool kept,
		deferred; /* while configurations are compared: served as it is; served otherwise */
};

struct target_config {
	const char *name, *file, *state_dir, *control, *metrics, *user;
	uint64_t ready_fd, threads;
	struct opt_list lun_words, listen, allow, aoe_words, aoe_allow_words;
	const char *chap_user, *chap_file, *mutual_user, *mutual_file;

	struct lun_setup *luns;
	unsigned luns_n;
	struct access *access;
	struct aoe_setup aoe[TARGET_MAX_AOE]; /* aoe_words.n */
	struct aoe_macs aoe_allow;
	struct chap_credentials credentials;
	char secret[CHAP_SECRET_MAX], mutual[CHAP_SECRET_MAX];
	char *text; /* of the file */
};

/* Reads argv, then the file that it names, then the secrets; `o`: who opens these files, NULL: we
 * do. 0, OPTS_DONE, OPTS_USAGE, or 1: another error; errors are logged. May be called again with
 * the same argv, to see what has changed in the files. */
int target_config_read(struct target_config **out, int argc, char **argv, struct opener *o);
/* The same without the secrets: all the words, and the LUNs. */
int target_config_words(struct target_config **out, int argc, char **argv, struct opener *o);
void target_config_free(struct target_config *c);

/* Parses PATH[,KEY=VALUE...], where "\," is a comma that belongs to either; `target`: the name that
 * it belongs to without name= (copied). `where` begins the messages. 0 or negative errno; the error
 * is logged. */
int lun_setup_parse(struct lun_setup *s, const char *word, const char *target, const char *where);
void lun_setup_free(struct lun_setup *s);

#endif
