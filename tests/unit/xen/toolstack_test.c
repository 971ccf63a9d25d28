/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/toolstack.h"

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"

static struct loop *loop;

struct guest_op {
	struct toolstack *t;
	struct toolstack_op op;
	uint32_t domid;
	bool done;
	int rc;
	char cause[256], report[64];
};

static unsigned left; /* that have not ended */

static void on_done(void *arg, int rc)
{
	struct guest_op *g = arg;

	g->done = true;
	g->rc = rc;
	if (rc)
		snprintf(g->cause, sizeof(g->cause), "%s", toolstack_cause(g->t, rc));
	if (--left == 0)
		loop_stop(loop, 0);
}

static void on_report(void *arg, const char *text)
{
	struct guest_op *g = arg;

	snprintf(g->report, sizeof(g->report), "%s", text);
}

static void begin(struct guest_op *g, uint32_t domid)
{
	*g = (struct guest_op){.domid = domid};
	if (!fake_domain(domid))
		fake_domain_new(domid, domid == 5 ? "five" : "six");
	CHECK_EQ(toolstack_open(loop, &g->t), 0);
	toolstack_listen(g->t, &(struct toolstack_listener){.report = on_report, .arg = g});
}

static void destroy(struct guest_op *g)
{
	int rc;

	left++;
	g->done = false;
	rc = libxl_domain_destroy(toolstack_ctx(g->t), g->domid,
				  toolstack_how(g->t, &g->op, on_done, g));
	if (rc)
		toolstack_failed(&g->op, rc);
	CHECK(g->op.running);
	CHECK(!g->done); /* from the loop only, even if libxl is done already */
}

static void test_each_has_its_own_cause(void)
{
	struct guest_op five, six;

	fake_reset();
	loop = loop_new();
	begin(&five, 5);
	begin(&six, 6);
	fake.fails = "destroy";
	fake.says = "five's disk is busy";
	destroy(&five);
	fake.fails = "destroy";
	fake.says = "six is stubborn";
	destroy(&six);
	loop_run(loop);
	CHECK(five.rc);
	CHECK_STR(five.cause, "five's disk is busy");
	CHECK_STR(six.cause, "six is stubborn");

	/* The next operation knows nothing of the last one's. */
	five.cause[0] = 0;
	destroy(&five);
	loop_run(loop);
	CHECK_EQ(five.rc, 0);
	CHECK_STR(toolstack_cause(five.t, ERROR_FAIL), "libxl error -3");
	CHECK_STR(toolstack_cause(six.t, ERROR_FAIL), "six is stubborn");
	toolstack_close(five.t);
	toolstack_close(six.t);
	loop_free(loop);
	CHECK_EQ(fake.open, 0);
}

static void test_each_has_its_own_reports(void)
{
	struct guest_op five, six;

	fake_reset();
	loop = loop_new();
	begin(&five, 5);
	begin(&six, 6);
	left = 1;
	CHECK_EQ(libxl_domain_suspend(toolstack_ctx(six.t), 6, -1, 0,
				      toolstack_how(six.t, &six.op, on_done, &six)),
		 0);
	fake_helper_says("round=1");
	CHECK_STR(five.report, "");
	CHECK_STR(six.report, "round=1");
	toolstack_abort(&five.op); /* none is under way */
	toolstack_abort(&six.op);
	CHECK(!six.done);
	loop_run(loop);
	CHECK_EQ(six.rc, ERROR_ABORTED);
	CHECK(!six.op.running);
	toolstack_abort(&six.op);
	CHECK_STR(fake.did, "suspend 6, abort 6, ");
	toolstack_close(five.t);
	toolstack_close(six.t);
	loop_free(loop);
}

int main(void)
{
	CHECK_RUN(test_each_has_its_own_cause);
	CHECK_RUN(test_each_has_its_own_reports);
	return CHECK_DONE();
}
