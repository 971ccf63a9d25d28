/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/iscsi/pdu.h"
#include "tests/unit/check.h"

static struct text_pair pair_of(const char *key_and_value)
{
	struct reader r = reader_of(key_and_value, strlen(key_and_value) + 1);
	struct text_pair p = {0};
	CHECK_EQ(text_next(&r, &p), 1);
	return p;
}

/* Negotiates one key as responder and gives back the answer ("" for none). */
static const char *answer(struct iscsi_params *p, const struct iscsi_params *offer, const char *kv)
{
	static char text[256];
	struct buf reply = {0};
	struct text_pair pair = pair_of(kv);
	text_negotiate(p, offer, &pair, &reply);
	snprintf(text, sizeof(text), "%.*s", (int)reply.len, reply.data ? (char *)reply.data : "");
	buf_free(&reply);
	return text;
}

static void test_pairs_are_found_in_place(void)
{
	static const char data[] = "A=1\0\0Key=a=b\0Empty=\0";
	struct reader r = reader_of(data, sizeof(data));
	struct text_pair p;
	CHECK_EQ(text_next(&r, &p), 1);
	CHECK(text_is(&p, "A"));
	CHECK_STR(p.val, "1");
	CHECK_EQ(text_next(&r, &p), 1);
	CHECK(text_is(&p, "Key") && !text_is(&p, "Ke") && !text_is(&p, "Key="));
	CHECK_STR(p.val, "a=b");
	CHECK_EQ(text_next(&r, &p), 1);
	CHECK_STR(p.val, "");
	CHECK_EQ(text_next(&r, &p), 0);
}

static void test_malformed_text_is_refused(void)
{
	static const char *const bad[] = {"NoEquals", "=value"};
	char key[80];
	struct text_pair p;
	struct reader r;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		r = reader_of(bad[i], strlen(bad[i]) + 1);
		CHECK_EQ(text_next(&r, &p), -EINVAL);
	}
	r = reader_of("A=unterminated", 14); /* no NUL within */
	CHECK_EQ(text_next(&r, &p), -EINVAL);
	memset(key, 'k', sizeof(key));
	memcpy(key + 64, "=1", 3); /* 64 letters: one too many (RFC 7143, 6.1) */
	r = reader_of(key, 67);
	CHECK_EQ(text_next(&r, &p), -EINVAL);
	memcpy(key + 63, "=1", 3);
	r = reader_of(key, 66);
	CHECK_EQ(text_next(&r, &p), 1);
}

static void test_numbers_follow_their_rule(void)
{
	struct iscsi_params p, offer;
	iscsi_params_default(&offer, 262144);
	p = offer;
	offer.max_burst = 1048576;
	offer.time2wait = 2;
	CHECK_STR(answer(&p, &offer, "MaxBurstLength=65536"), "MaxBurstLength=65536");
	CHECK_EQ(p.max_burst, 65536);
	CHECK_STR(answer(&p, &offer, "MaxBurstLength=16776192"), "MaxBurstLength=1048576");
	CHECK_STR(answer(&p, &offer, "MaxBurstLength=0x20000"), "MaxBurstLength=131072");
	CHECK_STR(answer(&p, &offer, "DefaultTime2Wait=1"), "DefaultTime2Wait=2");
	CHECK_STR(answer(&p, &offer, "DefaultTime2Wait=9"), "DefaultTime2Wait=9");
	/* a declaration has no answer */
	CHECK_STR(answer(&p, &offer, "MaxRecvDataSegmentLength=8192"), "");
	CHECK_EQ(p.max_send, 8192);
}

static void test_numbers_out_of_range_are_rejected(void)
{
	static const char *const bad[] = {"511", "16777216", "0x", "1.5",
					  "-1",	 "many",     "",   "0x100000000"};
	struct iscsi_params p, offer;
	char kv[64];
	iscsi_params_default(&offer, 262144);
	p = offer;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(kv, sizeof(kv), "MaxBurstLength=%s", bad[i]);
		CHECK_STR(answer(&p, &offer, kv), "MaxBurstLength=Reject");
	}
	CHECK_EQ(p.max_burst, offer.max_burst);
}

static void test_booleans_follow_their_rule(void)
{
	struct iscsi_params p, offer;
	iscsi_params_default(&offer, 262144);
	p = offer;
	offer.initial_r2t = false;
	CHECK_STR(answer(&p, &offer, "InitialR2T=No"), "InitialR2T=No");
	CHECK(!p.initial_r2t);
	CHECK_STR(answer(&p, &offer, "InitialR2T=Yes"), "InitialR2T=Yes");
	CHECK_STR(answer(&p, &offer, "ImmediateData=No"), "ImmediateData=No");
	CHECK(!p.immediate_data);
	CHECK_STR(answer(&p, &offer, "ImmediateData=maybe"), "ImmediateData=Reject");
	CHECK_STR(answer(&p, &offer, "IFMarker=Yes"), "IFMarker=No");
	CHECK_STR(answer(&p, &offer, "OFMarkInt=1~2"), "OFMarkInt=Irrelevant");
}

static void test_digests_take_the_first_allowed(void)
{
	struct iscsi_params p, offer;
	iscsi_params_default(&offer, 262144);
	p = offer;
	CHECK_STR(answer(&p, &offer, "HeaderDigest=CRC32C,None"), "HeaderDigest=None");
	offer.header_digest = true;
	CHECK_STR(answer(&p, &offer, "HeaderDigest=CRC32C,None"), "HeaderDigest=CRC32C");
	CHECK(p.header_digest);
	CHECK_STR(answer(&p, &offer, "HeaderDigest=None,CRC32C"), "HeaderDigest=None");
	CHECK(!p.header_digest);
	offer.header_digest = false;
	CHECK_STR(answer(&p, &offer, "HeaderDigest=CRC32C"), "HeaderDigest=Reject");
	CHECK_STR(answer(&p, &offer, "HeaderDigest=SHA"), "HeaderDigest=Reject");
}

static void test_an_originator_holds_the_answer_to_its_offer(void)
{
	struct iscsi_params p, offer;
	struct text_pair pair;
	iscsi_params_default(&offer, 262144);
	p = offer;
	pair = pair_of("MaxBurstLength=65536");
	CHECK_EQ(text_negotiate(&p, &offer, &pair, NULL), TEXT_ACCEPTED);
	CHECK_EQ(p.max_burst, 65536);
	pair = pair_of("MaxBurstLength=524288"); /* more than the 262144 offered */
	CHECK_EQ(text_negotiate(&p, &offer, &pair, NULL), TEXT_REJECTED);
	pair = pair_of("InitialR2T=No"); /* we said Yes, and Yes wins */
	CHECK_EQ(text_negotiate(&p, &offer, &pair, NULL), TEXT_REJECTED);
	pair = pair_of("ImmediateData=No");
	CHECK_EQ(text_negotiate(&p, &offer, &pair, NULL), TEXT_ACCEPTED);
	pair = pair_of("HeaderDigest=CRC32C"); /* not offered */
	CHECK_EQ(text_negotiate(&p, &offer, &pair, NULL), TEXT_REJECTED);
	pair = pair_of("X-com.example.key=1");
	CHECK_EQ(text_negotiate(&p, &offer, &pair, NULL), TEXT_UNKNOWN);
}

static void test_an_offer_is_understood_by_a_responder(void)
{
	struct iscsi_params offer, p, other;
	struct buf out = {0}, reply = {0};
	struct reader r;
	struct text_pair pair;
	int rc;
	iscsi_params_default(&offer, 65536);
	offer.header_digest = true;
	iscsi_params_default(&p, 262144);
	other = p;
	text_offer(&offer, &out);
	r = reader_of(out.data, out.len);
	while ((rc = text_next(&r, &pair)) > 0)
		CHECK_EQ(text_negotiate(&p, &other, &pair, &reply), TEXT_ACCEPTED);
	CHECK_EQ(rc, 0);
	CHECK_EQ(p.max_send, 65536);
	CHECK(!p.header_digest);
	buf_free(&out);
	buf_free(&reply);
}

static void test_keys_without_a_parameter(void)
{
	struct iscsi_params p, offer;
	iscsi_params_default(&offer, 262144);
	p = offer;
	CHECK_STR(answer(&p, &offer, "TaskReporting=FastAbort,RFC3720"), "TaskReporting=RFC3720");
	CHECK_STR(answer(&p, &offer, "TaskReporting=FastAbort"), "TaskReporting=Reject");
	CHECK_STR(answer(&p, &offer, "iSCSIProtocolLevel=2"), "iSCSIProtocolLevel=1");
	CHECK_STR(answer(&p, &offer, "iSCSIProtocolLevel=0"), "iSCSIProtocolLevel=0");
	CHECK_STR(answer(&p, &offer, "iSCSIProtocolLevel=32"), "iSCSIProtocolLevel=Reject");
}

static void test_known_repeated_and_irrelevant_keys(void)
{
	struct text_pair burst = pair_of("MaxBurstLength=512"), alias = pair_of("TargetAlias=x"),
			 digest = pair_of("DataDigest=None"), other = pair_of("X-org.example=1");
	uint32_t seen = 0;
	CHECK(text_known(&burst) && text_known(&alias) && text_known(&digest));
	CHECK(!text_known(&other));
	CHECK(text_irrelevant(&burst));
	CHECK(!text_irrelevant(&digest) && !text_irrelevant(&alias) && !text_irrelevant(&other));
	CHECK(!text_repeated(&seen, &burst) && !text_repeated(&seen, &digest));
	CHECK(text_repeated(&seen, &burst) && text_repeated(&seen, &digest));
	/* these may come again */
	CHECK(!text_repeated(&seen, &alias) && !text_repeated(&seen, &alias));
	CHECK(!text_repeated(&seen, &other) && !text_repeated(&seen, &other));
}

static void test_lists(void)
{
	CHECK(text_list_has("CHAP", "CHAP") && text_list_has("SRP,CHAP,None", "None"));
	CHECK(!text_list_has("", "CHAP") && !text_list_has("CHAP2,,XCHAP", "CHAP"));
}

static void test_names(void)
{
	char lengthy[300];
	CHECK(iscsi_name_valid("iqn.2026-11.local.vstor:disk-1"));
	CHECK(iscsi_name_valid("eui.02004567a425678d"));
	CHECK(iscsi_name_valid("IQN.2026-11.Local.Vstor:Disk-1"));
	CHECK(!iscsi_name_valid("disk"));
	CHECK(!iscsi_name_valid("iqn.2026-11.local:a b"));
	CHECK(!iscsi_name_valid("iqn.2026-11.local:a/b"));
	CHECK(!iscsi_name_valid("iqn.2026-11.local:a,b"));
	memset(lengthy, 'a', sizeof(lengthy));
	memcpy(lengthy, "iqn.", 4);
	lengthy[ISCSI_NAME + 1] = '\0';
	CHECK(!iscsi_name_valid(lengthy));
	lengthy[ISCSI_NAME] = '\0';
	CHECK(iscsi_name_valid(lengthy));
}

/* Decimal or hexadecimal wherever there is a number (RFC 7143, 6.1), and nothing around it. */
static void test_numbers_are_read_in_one_way(void)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t value;
	} cases[] = {
		{"0", 0, 0},
		{"255", 0, 255},
		{"0xff", 0, 255},
		{"0XfF", 0, 255},
		{"0x00000000000000000fF", 0, 255},
		{"256", -ERANGE, 0},
		{"0x100", -ERANGE, 0},
		{"18446744073709551616", -ERANGE, 0},
		{"0x10000000000000000", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"0x", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"1a", -EINVAL, 0},
		{"0x1g", -EINVAL, 0},
		{"0x\x11", -EINVAL, 0},
		{"\x11", -EINVAL, 0},
	};
	uint64_t v = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK_EQ(text_number(cases[i].text, 255, &v), cases[i].rc);
		if (cases[i].rc == 0)
			CHECK_EQ(v, cases[i].value);
	}
	CHECK_EQ(text_number("0xffffffffffffffff", UINT64_MAX, &v), 0);
	CHECK(v == UINT64_MAX);
}

/* RFC 7143, 13.14 */
static void test_a_first_burst_is_at_most_a_burst(void)
{
	struct iscsi_params p, offer;
	iscsi_params_default(&offer, 262144);
	offer.max_burst = 1048576;
	iscsi_params_default(&p, 262144);
	CHECK_STR(answer(&p, &offer, "MaxBurstLength=32768"), "MaxBurstLength=32768");
	CHECK_STR(answer(&p, &offer, "FirstBurstLength=65536"), "FirstBurstLength=32768");
}

static void test_lun_addresses(void)
{
	static const uint8_t two_level[8] = {0, 1, 0, 1}, bus[8] = {1, 0}, wlun[8] = {0xc1, 1};
	uint8_t p[8];
	for (unsigned n = 0; n <= 16383; n += 127) {
		iscsi_lun_put(p, n);
		CHECK_EQ(iscsi_lun_get(p), n);
	}
	CHECK_EQ(iscsi_lun_get(two_level), -1);
	CHECK_EQ(iscsi_lun_get(bus), -1);
	CHECK_EQ(iscsi_lun_get(wlun), -1);
}

int main(void)
{
	CHECK_RUN(test_pairs_are_found_in_place);
	CHECK_RUN(test_malformed_text_is_refused);
	CHECK_RUN(test_numbers_follow_their_rule);
	CHECK_RUN(test_numbers_out_of_range_are_rejected);
	CHECK_RUN(test_booleans_follow_their_rule);
	CHECK_RUN(test_digests_take_the_first_allowed);
	CHECK_RUN(test_an_originator_holds_the_answer_to_its_offer);
	CHECK_RUN(test_an_offer_is_understood_by_a_responder);
	CHECK_RUN(test_keys_without_a_parameter);
	CHECK_RUN(test_known_repeated_and_irrelevant_keys);
	CHECK_RUN(test_lists);
	CHECK_RUN(test_names);
	CHECK_RUN(test_numbers_are_read_in_one_way);
	CHECK_RUN(test_a_first_burst_is_at_most_a_burst);
	CHECK_RUN(test_lun_addresses);
	return CHECK_DONE();
}
