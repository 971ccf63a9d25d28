/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/json.h"

#include <math.h>
#include <stdlib.h>

#include "tests/unit/check.h"

static char *text;
static size_t text_len;
static struct json j;
static FILE *f;

static void begin(void)
{
	f = open_memstream(&text, &text_len);
	json_begin(&j, f);
}

/* What was written, compared and freed. */
static void expect(const char *want)
{
	json_end(&j);
	fclose(f);
	CHECK_STR(text, want);
	free(text);
}

static void test_empty_object(void)
{
	begin();
	json_object(&j, NULL);
	json_object_end(&j);
	expect("{}\n");
}

static void test_all_kinds_of_values(void)
{
	begin();
	json_object(&j, NULL);
	json_string(&j, "s", "text");
	json_string(&j, "none", NULL);
	json_u64(&j, "u", UINT64_MAX);
	json_i64(&j, "i", INT64_MIN);
	json_double(&j, "d", 0.25);
	json_bool(&j, "t", true);
	json_bool(&j, "f", false);
	json_object_end(&j);
	expect("{\"s\":\"text\",\"none\":null,\"u\":18446744073709551615,"
	       "\"i\":-9223372036854775808,\"d\":0.25,\"t\":true,\"f\":false}\n");
}

static void test_nesting_puts_commas_between(void)
{
	begin();
	json_object(&j, NULL);
	json_array(&j, "a");
	json_u64(&j, NULL, 1);
	json_object(&j, NULL);
	json_object_end(&j);
	json_array(&j, NULL);
	json_array_end(&j);
	json_object(&j, NULL);
	json_u64(&j, "x", 2);
	json_u64(&j, "y", 3);
	json_object_end(&j);
	json_array_end(&j);
	json_u64(&j, "z", 4);
	json_object_end(&j);
	expect("{\"a\":[1,{},[],{\"x\":2,\"y\":3}],\"z\":4}\n");
}

static void test_what_is_no_number_is_null(void)
{
	begin();
	json_array(&j, NULL);
	json_double(&j, NULL, NAN);
	json_double(&j, NULL, INFINITY);
	json_double(&j, NULL, -INFINITY);
	json_double(&j, NULL, -1.5);
	json_array_end(&j);
	expect("[null,null,null,-1.5]\n");
}

static void test_escapes(void)
{
	begin();
	json_object(&j, NULL);
	json_string(&j, "k\"\\", "a\"b\\c\nd\te\x01\x1f\x7f/");
	json_object_end(&j);
	expect("{\"k\\\"\\\\\":\"a\\\"b\\\\c\\nd\\u0009e\\u0001\\u001f\\u007f/\"}\n");
}

static void test_text_stays_and_no_text_is_replaced(void)
{
	begin();
	json_array(&j, NULL);
	/* two, three and four bytes, the first and last code points of each */
	json_string(&j, NULL,
		    "\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"
		    "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
	json_string(&j, NULL,
		    "a\xff"
		    "b\x80");
	json_string(&j, NULL, "\xc0\xaf");	   /* overlong */
	json_string(&j, NULL, "\xed\xa0\x80");	   /* a surrogate */
	json_string(&j, NULL, "\xf4\x90\x80\x80"); /* beyond Unicode */
	json_string(&j, NULL, "cut \xe2\x82");
	json_string(&j, NULL, "\xf0");
	json_array_end(&j);
	expect("[\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"
	       "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\","
	       "\"a\xef\xbf\xbd"
	       "b\xef\xbf\xbd\","
	       "\"\xef\xbf\xbd\xef\xbf\xbd\","
	       "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\","
	       "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\","
	       "\"cut \xef\xbf\xbd\xef\xbf\xbd\","
	       "\"\xef\xbf\xbd\"]\n");
}

int main(void)
{
	CHECK_RUN(test_empty_object);
	CHECK_RUN(test_all_kinds_of_values);
	CHECK_RUN(test_nesting_puts_commas_between);
	CHECK_RUN(test_what_is_no_number_is_null);
	CHECK_RUN(test_escapes);
	CHECK_RUN(test_text_stays_and_no_text_is_replaced);
	return CHECK_DONE();
}
