/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/plan.h"

#include <string.h>

#include "core/bytes.h"

double plan_fullness(const struct plan_host *h)
{
	double memory = h->total_kib ? 1 - (double)h->free_kib / (double)h->total_kib : 1;
	double cpu = h->cpus ? h->load / h->cpus : 1;

	return MAX(memory, cpu);
}

static struct plan_host with(const struct plan_host *h, const struct plan_guest *g)
{
	struct plan_host after = *h;

	after.free_kib -= g->kib;
	after.load += g->load;
	return after;
}

static bool crowded(const struct plan_host *h)
{
	return h->load > h->cpus;
}

static bool accepts(const struct plan_guest *g, unsigned host)
{
	return g->accepted >> host & 1;
}

/* One whose CPUs suffice comes before one whose do not; then the less full one. */
static bool better(const struct plan_host *a, const struct plan_host *b)
{
	if (crowded(a) != crowded(b))
		return crowded(b);
	return plan_fullness(a) < plan_fullness(b);
}

/* The host that is best with the guest on it; -1: none. */
static int choose(const struct plan_guest *g, const struct plan_host *hosts, unsigned n,
		  enum plan_why *why)
{
	struct plan_host best, after;
	int chosen = -1;

	*why = PLAN_NOT_ACCEPTED;
	for (unsigned h = 0; h < n; h++) {
		if (!accepts(g, h))
			continue;
		if (g->kib > hosts[h].free_kib) {
			*why = PLAN_NO_MEMORY;
			continue;
		}
		after = with(&hosts[h], g);
		if (chosen >= 0 && !better(&after, &best))
			continue;
		chosen = (int)h;
		best = after;
	}
	if (chosen >= 0)
		*why = PLAN_PLACED;
	return chosen;
}

static void take(struct plan_step *step, unsigned guest, const struct plan_guest *g, unsigned host,
		 struct plan_host *h)
{
	*step = (struct plan_step){.guest = guest, .host = host, .free_kib = h->free_kib};
	*h = with(h, g);
	step->load = h->load;
	step->crowded = crowded(h);
}

/* The guests' indices, the one that needs most memory first; equals keep their order. */
static void sort_by_need(const struct plan_guest *guests, unsigned n, unsigned *order)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned at = i;

		for (; at && guests[order[at - 1]].kib < guests[i].kib; at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
}

unsigned plan_evacuate(const struct plan_guest *guests, unsigned n_guests,
		       const struct plan_host *hosts, unsigned n_hosts, struct plan_step *steps,
		       enum plan_why *why)
{
	struct plan_host now[PLAN_HOSTS_MAX];
	unsigned order[PLAN_GUESTS_MAX], n = 0;

	memcpy(now, hosts, n_hosts * sizeof(*now));
	sort_by_need(guests, n_guests, order);
	for (unsigned i = 0; i < n_guests; i++) {
		const struct plan_guest *g = &guests[order[i]];
		int h = choose(g, now, n_hosts, &why[order[i]]);

		if (h >= 0)
			take(&steps[n++], order[i], g, (unsigned)h, &now[h]);
	}
	return n;
}

/* How full the fuller of the two hosts is less for the move: what it gains. */
static double gain(const struct plan_guest *g, const struct plan_host *from,
		   const struct plan_host *to)
{
	struct plan_host left = *from, after = with(to, g);
	double before = MAX(plan_fullness(from), plan_fullness(to));

	left.free_kib += g->kib;
	left.load -= g->load;
	return before - MAX(plan_fullness(&left), plan_fullness(&after));
}

unsigned plan_balance(const struct plan_guest *guests, unsigned n_guests,
		      const struct plan_host *hosts, unsigned n_hosts, unsigned from,
		      struct plan_step *steps)
{
	struct plan_host now[PLAN_HOSTS_MAX];
	bool gone[PLAN_GUESTS_MAX] = {false};
	unsigned n = 0;

	memcpy(now, hosts, n_hosts * sizeof(*now));
	for (;;) {
		double best = PLAN_GAIN;
		unsigned guest = 0, host = from;

		for (unsigned i = 0; i < n_guests; i++) {
			for (unsigned h = 0; h < n_hosts; h++) {
				double x;

				if (gone[i] || h == from || !accepts(&guests[i], h) ||
				    guests[i].kib > now[h].free_kib)
					continue;
				x = gain(&guests[i], &now[from], &now[h]);
				if (x > best) {
					best = x;
					guest = i;
					host = h;
				}
			}
		}
		if (host == from)
			return n;
		take(&steps[n++], guest, &guests[guest], host, &now[host]);
		now[from].free_kib += guests[guest].kib;
		now[from].load -= guests[guest].load;
		gone[guest] = true;
	}
}
