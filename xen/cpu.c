/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/cpu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "xen/release.h"

/*
 * The registers of CPUID that are feature bits (Intel SDM 2A "CPUID", AMD APM 3 appendix E; Xen:
 * public/arch-x86/cpufeatureset.h). `dynamic` bits show the state of the guest or of the topology,
 * not what the CPU can do.
 */
static const struct {
	uint32_t leaf, subleaf;
	unsigned reg;
	uint32_t dynamic;
} features[] = {
	{1, 0, 2, 1u << 27},	       /* ecx: OSXSAVE */
	{1, 0, 3, 1u << 9 | 1u << 28}, /* edx: APIC, HTT */
	{7, 0, 1, 0},
	{7, 0, 2, 1u << 4}, /* ecx: OSPKE */
	{7, 0, 3, 0},
	{7, 1, 0, 0},
	{0xd, 1, 0, 0},
	{0x80000001, 0, 2, 1u << 1},	/* ecx: CMP_LEGACY */
	{0x80000001, 0, 3, 0x0183f3ff}, /* edx: AMD shows leaf 1's bits again */
	{0x80000007, 0, 3, 0},
	{0x80000008, 0, 1, 0},
	{0x80000021, 0, 0, 0},
};

struct policy {
	xen_cpuid_leaf_t *leaves;
	uint32_t n;
};

static uint32_t word_of(const struct policy *p, uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	for (uint32_t i = 0; i < p->n; i++) {
		const xen_cpuid_leaf_t *l = &p->leaves[i];
		bool only = l->subleaf == XEN_CPUID_NO_SUBLEAF;

		if (l->leaf == leaf && (only ? subleaf == 0 : l->subleaf == subleaf))
			return (const uint32_t[]){l->a, l->b, l->c, l->d}[reg];
	}
	return 0;
}

int cpu_policy_print(uint32_t domid, struct buf *out)
{
	struct policy p;
	int rc = release_policy(false, domid, &p.leaves, &p.n);

	if (rc)
		return rc;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		buf_printf(out, "%" PRIx32 ".%" PRIx32 ".%u:%" PRIx32 " ", features[i].leaf,
			   features[i].subleaf, features[i].reg,
			   word_of(&p, features[i].leaf, features[i].subleaf, features[i].reg) &
				   ~features[i].dynamic);
	free(p.leaves);
	return out->failed ? -ENOMEM : 0;
}

int cpu_words_parse(const char *text, struct cpu_word words[CPU_WORDS])
{
	int n = 0, used;

	for (; *text; text += used, n++) {
		struct cpu_word *w = &words[n];

		if (n == CPU_WORDS ||
		    sscanf(text, "%" SCNx32 ".%" SCNx32 ".%u:%" SCNx32 " %n", &w->leaf, &w->subleaf,
			   &w->reg, &w->bits, &used) != 4 ||
		    w->reg > 3)
			return -EINVAL;
	}
	return n;
}

int cpu_policy_check(const char *text, bool pv, char *why, size_t size)
{
	struct cpu_word words[CPU_WORDS];
	struct policy p;
	size_t used = 0;
	int n = cpu_words_parse(text, words), rc = 0;

	why[0] = 0;
	if (n <= 0) {
		snprintf(why, size, "the sender could not read the guest's CPU policy");
		return -EOPNOTSUPP;
	}
	if (release_policy(true, pv ? XEN_SYSCTL_cpu_policy_pv_max : XEN_SYSCTL_cpu_policy_hvm_max,
			   &p.leaves, &p.n)) {
		snprintf(why, size, "this hypervisor does not tell its CPU policy");
		return -EOPNOTSUPP;
	}
	for (int i = 0; i < n; i++) {
		const struct cpu_word *w = &words[i];
		uint32_t missing = w->bits & ~word_of(&p, w->leaf, w->subleaf, w->reg);

		if (!missing)
			continue;
		rc = -EINVAL;
		if (used < size)
			used += (size_t)snprintf(
				why + used, size - used,
				"%sCPUID %" PRIx32 ".%" PRIx32 " e%cx bits %08" PRIx32,
				used ? ", " : "", w->leaf, w->subleaf, "abcd"[w->reg], missing);
	}
	free(p.leaves);
	return rc;
}
