/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lab-tool: a test tool that does in the lab's hosts what an operator does with xl, so that xl need
 * not be there. Linked with the same libxenlight as vstor.
 *
 *   lab-tool create FILE     create the guest that an xl configuration file describes, start it
 *   lab-tool list            one line a guest: NAME DOMID STATE, with STATE as in xl list
 *   lab-tool destroy NAME    end a guest at once
 *   lab-tool pause NAME      stop a guest from running; unpause NAME lets it go on
 *   lab-tool state NAME      what a migration that was called off must leave as it was: one line
 *   lab-tool asked NAME      wait until it is asked to suspend and has not yet heard of it
 *   lab-tool suspend NAME    ask it to suspend, wait until it has
 *   lab-tool cpuid           in a guest: the CPU features that it is shown now
 */
#include <cpuid.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxl.h>
#include <libxl_utils.h>
#include <libxlutil.h>
#include <xenstore.h>

static libxl_ctx *ctx;

static int fail(const char *what, const char *name)
{
	fprintf(stderr, "lab-tool: %s: %s\n", name, what);
	return 1;
}

static char *config_string(XLU_Config *cfg, const char *key)
{
	const char *value;

	return xlu_cfg_get_string(cfg, key, &value, 0) ? NULL : strdup(value);
}

static long config_long(XLU_Config *cfg, const char *key, long otherwise)
{
	long value;

	return xlu_cfg_get_long(cfg, key, &value, 0) ? otherwise : value;
}

/* mac=..,bridge=..,script=..: 0, or -1. */
static int parse_vif(char *spec, libxl_device_nic *nic)
{
	libxl_device_nic_init(nic);
	for (char *word = strtok(spec, ","); word; word = strtok(NULL, ",")) {
		char *value = strchr(word, '=');

		if (!value)
			return -1;
		*value++ = 0;
		if (!strcmp(word, "bridge"))
			nic->bridge = strdup(value);
		else if (!strcmp(word, "script"))
			nic->script = strdup(value);
		else if (strcmp(word, "mac") ||
			 sscanf(value, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &nic->mac[0], &nic->mac[1],
				&nic->mac[2], &nic->mac[3], &nic->mac[4], &nic->mac[5]) != 6)
			return -1;
	}
	return 0;
}

static int parse_devices(XLU_Config *cfg, libxl_domain_config *d)
{
	XLU_ConfigList *list;
	int n;

	if (!xlu_cfg_get_list(cfg, "disk", &list, &n, 0)) {
		d->disks = calloc(n, sizeof(*d->disks));
		for (; d->num_disks < n; d->num_disks++) {
			const char *spec = xlu_cfg_get_listitem(list, d->num_disks);

			libxl_device_disk_init(&d->disks[d->num_disks]);
			if (xlu_disk_parse(cfg, 1, &spec, &d->disks[d->num_disks]))
				return -1;
		}
	}
	if (!xlu_cfg_get_list(cfg, "vif", &list, &n, 0)) {
		d->nics = calloc(n, sizeof(*d->nics));
		for (; d->num_nics < n; d->num_nics++) {
			char *spec = strdup(xlu_cfg_get_listitem(list, d->num_nics));
			int r = parse_vif(spec, &d->nics[d->num_nics]);

			free(spec);
			if (r < 0)
				return -1;
		}
	}
	return 0;
}

/* Defaults as in xl.cfg(5). */
static int parse_actions(XLU_Config *cfg, libxl_domain_config *d)
{
	const struct {
		const char *key;
		libxl_action_on_shutdown *to, otherwise;
	} all[] = {
		{"on_poweroff", &d->on_poweroff, LIBXL_ACTION_ON_SHUTDOWN_DESTROY},
		{"on_reboot", &d->on_reboot, LIBXL_ACTION_ON_SHUTDOWN_RESTART},
		{"on_crash", &d->on_crash, LIBXL_ACTION_ON_SHUTDOWN_DESTROY},
	};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char *word = config_string(cfg, all[i].key);
		int r = 0;

		*all[i].to = all[i].otherwise;
		if (word)
			r = libxl_action_on_shutdown_from_string(word, all[i].to);
		free(word);
		if (r)
			return -1;
	}
	return 0;
}

static int parse(XLU_Config *cfg, libxl_domain_config *d)
{
	char *type = config_string(cfg, "type");
	libxl_domain_create_info *c = &d->c_info;
	libxl_domain_build_info *b = &d->b_info;
	int r = type ? libxl_domain_type_from_string(type, &c->type) : -1;

	free(type);
	c->name = config_string(cfg, "name");
	if (r || !c->name)
		return -1;
	libxl_uuid_generate(&c->uuid);
	libxl_domain_build_info_init_type(b, c->type);
	b->kernel = config_string(cfg, "kernel");
	b->ramdisk = config_string(cfg, "ramdisk");
	b->cmdline = config_string(cfg, "extra");
	b->max_memkb = b->target_memkb = config_long(cfg, "memory", 128) * 1024;
	b->max_vcpus = config_long(cfg, "vcpus", 1);
	if (libxl_cpu_bitmap_alloc(ctx, &b->avail_vcpus, b->max_vcpus))
		return -1;
	libxl_bitmap_set_none(&b->avail_vcpus);
	for (int i = 0; i < b->max_vcpus; i++)
		libxl_bitmap_set(&b->avail_vcpus, i);
	return parse_actions(cfg, d) ? -1 : parse_devices(cfg, d);
}

/* libxl's own word for a lack of memory is "Resource busy". 0, or 1 after the message. */
static int lacks_memory(libxl_domain_config *d)
{
	libxl_domain_config copy; /* libxl fills defaults in while it reckons */
	uint64_t need = 0, spare = 0;
	int status = 0;

	libxl_domain_config_init(&copy);
	libxl_domain_config_copy(ctx, &copy, d);
	if (libxl_domain_need_memory(ctx, &copy, INVALID_DOMID, &need) ||
	    libxl_get_free_memory(ctx, &spare)) {
		status = fail("the memory that it needs cannot be reckoned", d->c_info.name);
	} else if (need > spare) {
		fprintf(stderr,
			"lab-tool: %s: %" PRIu64 " MB of memory needed, %" PRIu64
			" MB free on this host: start the lab with a larger LAB_HOST_MEMORY\n",
			d->c_info.name, need >> 10, spare >> 10);
		status = 1;
	}
	libxl_domain_config_dispose(&copy);
	return status;
}

static int create(const char *file)
{
	libxl_domain_config d;
	uint32_t domid;
	XLU_Config *cfg = xlu_cfg_init(stderr, file);
	int status = 0;

	libxl_domain_config_init(&d);
	if (xlu_cfg_readfile(cfg, file) || parse(cfg, &d))
		status = fail("not a configuration that lab-tool knows", file);
	else if (lacks_memory(&d))
		status = 1;
	else if (libxl_domain_create_new(ctx, &d, &domid, NULL, NULL) ||
		 libxl_domain_unpause(ctx, domid, NULL))
		status = fail("cannot be created", d.c_info.name);
	libxl_domain_config_dispose(&d);
	xlu_cfg_destroy(cfg);
	return status;
}

static int list(void)
{
	int n;
	libxl_dominfo *all = libxl_list_domain(ctx, &n);

	if (!all)
		return fail("cannot be listed", "domains");
	for (int i = 0; i < n; i++) {
		char *name = libxl_domid_to_name(ctx, all[i].domid);

		if (all[i].domid)
			printf("%s %u %c%c%c%c%c\n", name ? name : "-", all[i].domid,
			       all[i].running ? 'r' : '-', all[i].blocked ? 'b' : '-',
			       all[i].paused ? 'p' : '-', all[i].shutdown ? 's' : '-',
			       all[i].dying ? 'd' : '-');
		free(name);
	}
	libxl_dominfo_list_free(all, n);
	return 0;
}

static int destroy(uint32_t domid)
{
	return libxl_domain_destroy(ctx, domid, NULL);
}

static int pause_domain(uint32_t domid)
{
	return libxl_domain_pause(ctx, domid, NULL);
}

static int unpause(uint32_t domid)
{
	return libxl_domain_unpause(ctx, domid, NULL);
}

/* All that the hypervisor's console remembers. */
static const char *console(void)
{
	static char all[1 << 18];
	libxl_xen_console_reader *r = libxl_xen_console_read_start(ctx, 0);
	size_t n = 0;
	char *part;

	while (r && n < sizeof(all) && libxl_xen_console_read_line(ctx, r, &part) > 0)
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s", part);
	if (r)
		libxl_xen_console_read_finish(ctx, r);
	return all;
}

/* The last part of the text that begins with these words. */
static const char *last_of(const char *text, const char *words)
{
	const char *last = NULL;

	for (text = strstr(text, words); text; text = strstr(text + 1, words))
		last = text;
	return last;
}

/* Whether its log-dirty mode is on, 0 or 1; -1: not known. The hypervisor tells it only on its
 * console, in what the debug key q prints of each domain. */
static int log_dirty(uint32_t domid)
{
	const char *info, *mode, *end;
	char title[64];

	if (libxl_send_debug_keys(ctx, "q"))
		return -1;
	snprintf(title, sizeof(title), "General information for domain %u:", domid);
	info = last_of(console(), title);
	if (!info)
		return -1;
	mode = strstr(info, " log_dirty ");
	end = strstr(info, "VCPU information");
	return mode && (!end || mode < end);
}

static int state(uint32_t domid)
{
	libxl_domain_sched_params sched;
	libxl_dominfo info;
	int on = log_dirty(domid);

	libxl_domain_sched_params_init(&sched);
	libxl_dominfo_init(&info);
	if (libxl_domain_info(ctx, &info, domid) ||
	    libxl_domain_sched_params_get(ctx, domid, &sched) || on < 0)
		return -1;
	printf("domain %u%s%s%s, log-dirty %s, cap %d, weight %d\n", domid,
	       info.paused ? ", paused" : "", info.shutdown ? ", shut down" : "",
	       info.dying ? ", dying" : "", on ? "on" : "off", sched.cap, sched.weight);
	libxl_dominfo_dispose(&info);
	libxl_domain_sched_params_dispose(&sched);
	return 0;
}

static struct xs_handle *control(uint32_t domid, char path[64])
{
	snprintf(path, 64, "/local/domain/%u/control/shutdown", domid);
	return xs_open(0);
}

static int asked(uint32_t domid)
{
	char path[64], *value;
	struct xs_handle *xs = control(domid, path);
	bool is = false;

	if (!xs || !xs_watch(xs, path, "asked"))
		return -1;
	while (!is) {
		unsigned n;
		char **event = xs_read_watch(xs, &n);

		if (!event)
			return -1;
		free(event);
		value = xs_read(xs, XBT_NULL, path, NULL);
		is = value && !strcmp(value, "suspend");
		free(value);
	}
	xs_close(xs);
	return 0;
}

static int suspend(uint32_t domid)
{
	char path[64];
	struct xs_handle *xs = control(domid, path);
	libxl_dominfo info;

	if (!xs || !xs_watch(xs, "@releaseDomain", "suspend") ||
	    !xs_write(xs, XBT_NULL, path, "suspend", 7))
		return -1;
	for (;;) {
		unsigned n;
		char **event = xs_read_watch(xs, &n);

		free(event);
		if (!event || libxl_domain_info(ctx, &info, domid))
			return -1;
		if (info.shutdown)
			break;
	}
	xs_close(xs);
	return info.shutdown_reason == LIBXL_SHUTDOWN_REASON_SUSPEND ? 0 : -1;
}

static const struct {
	const char *name;
	int (*of)(uint32_t domid);
} commands[] = {
	{"destroy", destroy}, {"pause", pause_domain}, {"unpause", unpause},
	{"state", state},     {"asked", asked},	       {"suspend", suspend},
};

static int with_domain(int (*of)(uint32_t domid), const char *name)
{
	uint32_t domid;

	if (libxl_name_to_domid(ctx, name, &domid))
		return fail("no such guest", name);
	return of(domid) ? fail("Xen refuses", name) : 0;
}

/* Whichever host it runs on, they have to stay. */
static int cpuid(void)
{
	static const unsigned leaves[] = {1, 7, 0xd, 0x80000001, 0x80000008};
	unsigned a, b, c, d;

	for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		__cpuid_count(leaves[i], 0, a, b, c, d);
		if (leaves[i] == 1)
			b &= 0x00ffffff; /* without the APIC id */
		printf("%x: %x %x %x %x\n", leaves[i], a, b, c, d);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";
	int (*of)(uint32_t domid) = NULL;
	xentoollog_logger *log;
	int status;

	for (size_t i = 0; argc == 3 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(command, commands[i].name))
			of = commands[i].of;
	if (argc == 2 && !strcmp(command, "cpuid"))
		return cpuid();
	if (!(argc == 2 && !strcmp(command, "list")) &&
	    !(argc == 3 && !strcmp(command, "create")) && !of) {
		fprintf(stderr, "usage: lab-tool create FILE | list | cpuid | "
				"destroy|pause|unpause|state|asked|suspend NAME\n");
		return 2;
	}
	log = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_WARN, 0);
	if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, log)) {
		status = fail("not a Xen host, or not root", "libxl");
		goto out;
	}
	if (argc == 2)
		status = list();
	else if (of)
		status = with_domain(of, argv[2]);
	else
		status = create(argv[2]);
	libxl_ctx_free(ctx);
out:
	xtl_logger_destroy(log);
	return status;
}
