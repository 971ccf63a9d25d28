/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Xen host that a test plays: domains, what libxl is asked to do with them, and how that ends.
 * The unit tests of xen/ and cmd/ are linked with these functions in place of libxl's, libxc's and
 * xenstore's of the same names (the linker's --wrap); types and other pure functions stay theirs.
 */
#ifndef TESTS_UNIT_FAKE_XEN_H
#define TESTS_UNIT_FAKE_XEN_H

#include <libxl.h>
#include <libxl_utils.h>

#define FAKE_DOMAINS 4
#define FAKE_RINGS   4
#define FAKE_PLUGS   4
#define FAKE_NODES   12

struct fake_domain {
	uint32_t domid; /* 0: no such domain */
	char name[64];
	libxl_uuid uuid;
	bool pv, paused, shutdown, dying;
	libxl_shutdown_reason reason;
	bool log_dirty;
	uint64_t dirty; /* pages, as the hypervisor counts them */
	libxl_scheduler scheduler;
	int cap, weight;
	unsigned vcpus;
	uint64_t cpu_ns;  /* that it has used */
	int disks;	  /* how many its configuration has */
	char control[16]; /* its control/shutdown in xenstore */
};

/* A ring of a disk: its grant reference is the number of it, and 1. */
struct fake_ring {
	uint32_t domid; /* 0: no such ring */
	const char *vdev;
	int queue;	   /* -1: the disk has one ring only */
	uint32_t req, rsp; /* counters */
	bool unreadable;
};

struct fake_xen {
	int version; /* of the hypervisor, as XENVER_version tells it; 0: that of the libraries */
	struct fake_ring rings[FAKE_RINGS];
	struct fake_domain domains[FAKE_DOMAINS];
	/* What libxl was asked to do that changes something, in order: "suspend 5, resume 5, " */
	char did[1024];
	char monitored[64]; /* whom a monitor was last started for, */
	bool announced;	    /* and whether it is to announce it */
	/* What else xenstore holds: the node's value, allocated, or NULL. */
	char *(*node)(const char *path);
	/* What a configuration in JSON says; NULL: nothing that can be read. */
	void (*config)(libxl_domain_config *c);
	/* And what has been written there; path is "" when there is none. */
	struct fake_node {
		char path[64], value[32];
	} nodes[FAKE_NODES];
	/* The next call of this name fails, with `says` as the error that libxl logs. */
	const char *fails, *says;
	bool fails_always; /* and so do all that follow */
	/* The next so many transactions of xenstore have to be done again. */
	unsigned conflicts;
	/* Right before a transaction commits, once; as when the guest is quicker. */
	void (*meanwhile)(void);

	/* Reading a configuration takes until fake_read_ends(), when it is slow. */
	bool slow_read;
	const libxl_asyncop_how *read;
	/* The save that is under way; NULL: none. It lasts until fake_save_ends(). */
	const libxl_asyncop_how *save;
	libxl_ctx *save_ctx;
	int save_fd;
	uint32_t save_domid;
	/* It is called off: by default it ends at once with ERROR_ABORTED. */
	void (*on_abort)(void);

	/* So many events of a watch are waiting; none can be set. */
	unsigned watched;
	bool no_watch;
	bool no_physinfo;	/* the hypervisor does not say what it has */
	bool no_shadow, no_hap; /* what it has not: shadow paging, nested paging */
	/* The restore that is under way; it lasts until fake_restore_ends(). */
	const libxl_asyncop_how *restore;
	libxl_ctx *restore_ctx;
	uint32_t *restore_domid; /* which libxl sets in the end */
	const libxl_domain_config *restore_config;
	/* Devices that are being plugged, in order; each until fake_plugged(). */
	const libxl_asyncop_how *plugs[FAKE_PLUGS];
	uint32_t made;	   /* the domain number of the next restore or creation */
	uint64_t need_kib; /* of memory, for a guest; 1 GiB is free */
	bool nameless;	   /* the domain cannot be found while it is being restored */

	/* Whose end is told, and to whom. */
	uint32_t death_of;
	const libxl_event_hooks *hooks;
	void *hooks_user;

	/* What the save helper does once libxl's own main has it; its exit status. */
	int (*helper)(void);

	/* What the host still has for xc_domain_populate_physmap(): 2 MiB in one piece; extents. */
	unsigned long superpages_left, pages_left;

	/* The page encoder gets no memory, or none for a larger cache than this; 0: for any. */
	bool no_encoder;
	uint64_t cache_at_most;

	xentoollog_logger *log;
	unsigned open; /* libxl contexts, libxc and xenstore handles */
};
extern struct fake_xen fake;

int fake_version(void);
/* Forgets everything. */
void fake_reset(void);
struct fake_domain *fake_domain_new(uint32_t domid, const char *name);
/* The value of a node of xenstore that was written; NULL: there is none. */
const char *fake_node(const char *path);
/* Writes one; NULL: removes it. */
void fake_node_set(const char *path, const char *value);
/* NULL when there is none. */
struct fake_domain *fake_domain(uint32_t domid);

/* The configuration is read, or cannot be. */
void fake_read_ends(int rc);
/* The save helper of the save under way tells something, as through libxl's log. */
void fake_helper_says(const char *report);
/* The save ends; its pipe is libxl's no more. */
void fake_save_ends(int rc);
/* The restore ends; when badly, libxl has destroyed the domain, unless it was called off. */
void fake_restore_ends(int rc);
/* Device i is plugged, or fails to be. */
void fake_plugged(int i, int rc);
/* The guest suspends itself, as it was asked to. */
void fake_suspends(struct fake_domain *d);
/* It does so by itself, or is destroyed by somebody, which its monitor is told. */
void fake_shuts_down(struct fake_domain *d, libxl_shutdown_reason reason);
void fake_dies(struct fake_domain *d);

#endif
