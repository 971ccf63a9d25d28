/* SPDX-License-Identifier: BSD-2-Clause */
/* block-vstor: Xen's block script for disks on iSCSI targets. */
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "core/log.h"
#include "core/opts.h"
#include "xen/fence/hotplug.h"

int cmd_block_script(int argc, char **argv)
{
	const struct opt table[] = {{.type = OPT_END}};
	const struct opts o = {
		.name = "block-vstor",
		.synopsis = "add|remove",
		.description =
			"Run by libxl, with XENBUS_PATH in the environment, for a disk like\n"
			"script=block-vstor,vdev=xvda,target=portal=HOST,lun=0,iqn=IQN",
		.table = table,
		.min_operands = 1,
		.max_operands = 1,
	};
	const int n = opts_parse(&o, argc, argv);
	const char *path = getenv("XENBUS_PATH");

	if (n < 0)
		return opts_exit(n);
	if (!path || !*path) {
		log_error("no XENBUS_PATH: run by libxl for a disk with script=block-vstor");
		return 2;
	}
	if (strcmp(argv[1], "add") == 0)
		return hotplug_add(path) ? 1 : 0;
	if (strcmp(argv[1], "remove") == 0)
		return hotplug_remove(path) ? 1 : 0;
	log_error("'%s': add or remove", argv[1]);
	return 2;
}
