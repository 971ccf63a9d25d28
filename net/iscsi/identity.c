/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/identity.h"

#include <errno.h>
#include <string.h>

#include "core/digest.h"

/* One way's secret: from its file, if there is one, into buf. */
static int read_secret(const char *user, const char *secret, const char *file,
		       char buf[CHAP_SECRET_MAX], const char **out, char error[ATTACH_ERROR])
{
	int err;

	if (!user && (secret || file))
		return attach_failed(error, -EINVAL, "a CHAP secret without a user: name the user");
	if (!user)
		return 0;
	*out = secret;
	if (file) {
		err = chap_read_secret(file, buf);
		if (err)
			return attach_failed(error, err, "%s: %s", file, chap_secret_strerror(err));
		*out = buf;
	}
	if (!*out)
		return attach_failed(error, -EINVAL, "CHAP user %s has no secret: name its file",
				     user);
	if (strlen(*out) >= CHAP_SECRET_MAX || strlen(user) >= CHAP_SECRET_MAX)
		return attach_failed(error, -EINVAL, "CHAP user %s: name or secret is too long",
				     user);
	return 0;
}

int identity_init(struct identity *me, const struct attach_request *r, const char *target,
		  char error[ATTACH_ERROR])
{
	struct chap_credentials *chap = &me->id.chap;
	int err;

	memset(me, 0, sizeof(*me));
	me->id.target = target;
	me->id.initiator = r->initiator;
	me->id.digests = r->digests;
	if (!r->initiator) {
		initiator_default_name(me->name);
		me->id.initiator = me->name;
	}
	err = read_secret(r->chap_user, r->chap_secret, r->chap_secret_file, me->secret,
			  &chap->secret, error);
	if (!err)
		err = read_secret(r->mutual_user, r->mutual_secret, r->mutual_secret_file,
				  me->mutual_secret, &chap->mutual_secret, error);
	if (err)
		return err;
	chap->user = r->chap_user;
	chap->mutual_user = r->mutual_user;
	if (chap->mutual_user && !chap->user)
		return attach_failed(error, -EINVAL,
				     "mutual CHAP needs a CHAP user of our own as well");
	/* Else whoever hears us could play the target (RFC 7143, 9.2.1). */
	if (chap->mutual_user && strcmp(chap->secret, chap->mutual_secret) == 0)
		return attach_failed(error, -EINVAL, "the CHAP secrets of both ways must differ");
	return 0;
}

void identity_fini(struct identity *me)
{
	wipe(me, sizeof(*me));
}
