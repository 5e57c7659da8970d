/*
 * tests/unit/json-cases.h - texts that a JSON reader must take, must refuse, or may do either with
 * by RFC 8259, written anew after the kinds of cases that public suites for parsers go through.
 */
#pragma once

#include "protocol/base/span.h"
#include "protocol/json.h"

struct json_case {
	struct span text;
	enum json_error expected;
};

#define YES(literal) { { literal, sizeof(literal) - 1 }, JSON_OK }
/* Well-formed, but no object. */
#define TOP(literal) { { literal, sizeof(literal) - 1 }, JSON_NOT_OBJECT }
#define NO(literal) { { literal, sizeof(literal) - 1 }, JSON_NOT_JSON }
#define UTF(literal) { { literal, sizeof(literal) - 1 }, JSON_BAD_UTF8 }
#define NUL(literal) { { literal, sizeof(literal) - 1 }, JSON_NUL }
#define DUP(literal) { { literal, sizeof(literal) - 1 }, JSON_DUPLICATE }

/*
 * Well-formed by RFC 8259. What is refused of these is refused on purpose: keys twice, NULs, no
 * object at the top.
 */
static const struct json_case json_good[] = {
	/* arrays */
	TOP("[[]   ]"), TOP("[\"\"]"), TOP("[]"), TOP("[\"a\"]\n"), TOP("[false]"),
	TOP("[null, 1, \"1\", {}]"), TOP("[null]"), TOP("[1\n]"), TOP(" [1]"),
	TOP("[1,null,null,null,2]"), TOP("[2] "), TOP("[true]"), TOP(" [] "), TOP("\t[\r\n]\t"),
	/* numbers */
	TOP("[0e+1]"), TOP("[0e1]"), TOP("[ 4]"), TOP("[20e1]"), TOP("[123e65]"), TOP("[-0]"),
	TOP("[-0.000000000000000000000000000000000000000000000000000000000000000000000000001]"),
	TOP("[-123]"), TOP("[-1]"), TOP("[-0.0]"), TOP("[1E22]"), TOP("[1E-2]"), TOP("[1E+2]"),
	TOP("[123e45]"), TOP("[123.456e78]"), TOP("[1e-2]"), TOP("[1e+2]"), TOP("[123]"),
	TOP("[123.456789]"), TOP("[0]"), TOP("[10]"), TOP("[0.5]"), TOP("[1e00]"), TOP("[1e-00]"),
	/* objects */
	YES("{\"asd\":\"sdf\"}"), YES("{}"), YES("{\"\":0}"), YES("{\"a\":[]}"),
	YES("{\"asd\":\"sdf\", \"dfg\":\"fgh\"}"), YES("{\n\"a\": \"b\"\n}"),
	YES("{ \"min\": -1.0e+28, \"max\": 1.0e+28 }"), YES(" \r\n\t{ } \r\n\t"),
	YES("{\"x\":[{\"id\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}], \"id\": \"xxxxxxxxxxxxx\"}"),
	YES("{\"title\":\"\\u041f\\u043e\\u043b\\u0442\\u043e\\u0440\\u0430\"}"),
	YES("{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":2}}"), YES("{\"a\":1,\"A\":2,\"aa\":3,\"\":4}"),
	YES("{\"a\":{},\"b\":[{}],\"c\":[[],{},[{}]]}"),
	DUP("{\"a\":\"b\",\"a\":\"b\"}"), DUP("{\"a\":\"b\",\"a\":\"c\"}"),
	NUL("{\"foo\\u0000bar\": 42}"),
	/* strings */
	TOP("[\"\\u0060\\u012a\\u12AB\"]"), TOP("[\"\\uD801\\udc37\"]"),
	TOP("[\"\\ud83d\\ude39\\ud83d\\udc8d\"]"), TOP("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]"),
	TOP("[\"\\\\u0000\"]"), TOP("[\"\\\"\"]"), TOP("[\"a/*b*/c/*d//e\"]"), TOP("[\"\\\\a\"]"),
	TOP("[\"\\\\n\"]"), TOP("[\"\\u0012\"]"), TOP("[\"\\uFFFF\"]"), TOP("[\"asd\"]"),
	TOP("[ \"asd\"]"), TOP("[\"\\uDBFF\\uDFFF\"]"), TOP("[\"new\\u00A0line\"]"),
	TOP("[\"\xf4\x8f\xbf\xbf\"]"), TOP("[\"\xef\xbf\xbf\"]"), NUL("[\"\\u0000\"]"),
	TOP("[\"\\u002c\"]"), TOP("[\"\xcf\x80\"]"), TOP("[\"\xf0\x9b\xbf\xbf\"]"),
	TOP("[\"asd \"]"),
	TOP("\" \""), TOP("[\"\\uD834\\uDd1e\"]"), TOP("[\"\\u0821\"]"), TOP("[\"\\u0123\"]"),
	TOP("[\"\xe2\x80\xa8\"]"), TOP("[\"\xe2\x80\xa9\"]"), TOP("[\"new\\u000Aline\"]"),
	TOP("[\"\\u0061\\u30af\\u30EA\\u30b9\"]"), TOP("[\"\x7f\"]"),
	TOP("[\"\xe2\x8d\x82\xe3\x88\xb4\xe2\x8d\x82\"]"), TOP("[\"\\u005C\"]"),
	TOP("[\"\\u0022\"]"),
	TOP("[\"\\uA66D\"]"), TOP("[\"\\uDBFF\\uDFFE\"]"), TOP("[\"\\uD83F\\uDFFE\"]"),
	TOP("[\"\\u200B\"]"), TOP("[\"\\u2064\"]"), TOP("[\"\\uFDD0\"]"), TOP("[\"\\uFFFE\"]"),
	TOP("[\"\xe2\x82\xac\xf0\x9d\x84\x9e\"]"), TOP("[\"a\x7f" "a\"]"),
	TOP("[\"\xed\x9f\xbf\"]"),
	TOP("[\"\xee\x80\x80\"]"), TOP("[\"\\ud7ff\\ue000\"]"), TOP("[\"\xef\xbb\xbf\"]"),
	/* scalars alone */
	TOP("false"), TOP("42"), TOP("-0.1"), TOP("null"), TOP("\"asd\""), TOP("true"), TOP("\"\""),
	TOP("0"), TOP(" 7 "), TOP("[\"a\"]\n"),
};

/* Not JSON. */
static const struct json_case json_bad[] = {
	/* arrays */
	NO("[1 true]"), NO("[a\xe5]"), NO("[\"\": 1]"), NO("[\"\"],"), NO("[,1]"), NO("[1,,2]"),
	NO("[\"x\",,]"), NO("[\"x\"]]"), NO("[\"\",]"), NO("[x"), NO("[\"x\""), NO("[3[4]]"),
	NO("[\xff]"), NO("[1:2]"), NO("[,]"), NO("[-]"), NO("[   , \"\"]"), NO("[\"a\",\n4\n,1,"),
	NO("[1,]"), NO("[1,,]"), NO("[\"\x0b" "a\"\\f]"), NO("[*]"), NO("[\"\""), NO("[1,"),
	NO("[1,\n1\n,1"), NO("[{}"), NO("[fals]"), NO("[nul]"), NO("[tru]"), NO("[1;2]"), NO("[1}"),
	NO("[)"), NO("[{]}"), NO("[[]"), NO("[]]"), NO("[,"),
	/* numbers */
	NO("123\0"), NO("[0.1.2]"), NO("[-01]"), NO("[0.3e+]"), NO("[0.3e]"), NO("[0E+]"),
	NO("[0E]"),
	NO("[0.e1]"), NO("[0e+]"), NO("[0e]"), NO("[1 000.0]"), NO("[1.0e+]"), NO("[1.0e-]"),
	NO("[1.0e]"), NO("[-1.0.]"), NO("[1eE2]"), NO("[.-1]"), NO("[+1]"), NO("[.2e-3]"),
	NO("[2.e+3]"), NO("[2.e-3]"), NO("[2.e3]"), NO("[-2.]"), NO("[9.e+]"), NO("[1+2]"),
	NO("[0x1]"), NO("[0x42]"), NO("[Infinity]"), NO("[+Inf]"), NO("[Inf]"), NO("[0e+-1]"),
	NO("[-123.123foo]"), NO("[123\xe5]"), NO("[1e1\xe5]"), NO("[0\xe5]\n"), NO("[++1234]"),
	NO("[-Infinity]"), NO("[-foo]"), NO("[- 1]"), NO("[-NaN]"), NO("[NaN]"), NO("[-012]"),
	NO("[-.123]"), NO("[-1x]"), NO("[1ea]"), NO("[1e\xe5]"), NO("[1.]"), NO("[.123]"),
	NO("[\xef\xbc\x91]"), NO("[1.2a-3]"), NO("[1.8011670033376514H-308]"), NO("[012]"),
	NO("1\0"),
	NO("[00]"), NO("[1_000]"), NO("[1e1.5]"), NO("[--1]"), NO("[1-]"), NO("[0b1]"), NO("[1f]"),
	/* objects */
	NO("[\"x\", truth]"), NO("{[: \"x\"}\n"), NO("{\"x\", null}"), NO("{\"x\"::\"b\"}"),
	NO("{\xf0\x9f\x87\xa8\xf0\x9f\x87\xad}"), NO("{\"a\":\"a\" 123}"), NO("{key: 'value'}"),
	UTF("{\"\xb9\":\"0\",}"), NO("{\"a\" b}"), NO("{:\"b\"}"), NO("{\"a\" \"b\"}"),
	NO("{\"a\":"),
	NO("{\"a\""), NO("{1:1}"), NO("{9999E9999:1}"), NO("{null:null,null:null}"),
	NO("{\"id\":0,,,,,}"), NO("{'a':0}"), NO("{\"id\":0,}"), NO("{\"a\":\"b\"}/**/"),
	NO("{\"a\":\"b\"}/**//"), NO("{\"a\":\"b\"}//"), NO("{\"a\":\"b\"}/"),
	NO("{\"a\":\"b\",,\"c\":\"d\"}"), NO("{a: \"b\"}"), NO("{\"a\":\"a"),
	NO("{ \"foo\" : \"bar\", \"a\" }"), NO("{\"a\":\"b\"}#"), NO("{,}"), NO("{,\"a\":1}"),
	NO("{\"a\":}"), NO("{\"a\":,\"b\":1}"), NO("{\"a\":1 \"b\":2}"), NO("{\"a\"=1}"),
	NO("{{}}"),
	NO("{[]}"), NO("{\"a\":1]"), NO("{\"a\":[1}"), NO("{true:1}"), NO("{\"a\":1;\"b\":2}"),
	/* strings */
	UTF("[\"\\uD800\\\"]"), NO("[\"\\uD800\\u\"]"), NO("[\"\\uD800\\u1\"]"),
	NO("[\"\\uD800\\u1x\"]"), NO("[\xc3\xa9]"), NO("[\"\\\0\"]"), NO("[\"\\\\\\\"]"),
	NO("[\"\\\t\"]"), NO("[\"\\\xf0\x9f\x8c\x80\"]"), NO("[\"\\x00\"]"), NO("[\"\\u00A\"]"),
	NO("[\"\\\"]"), UTF("[\"\\uD800\\uD800\\x\"]"), NO("[\"\\uD834\\uDd\"]"), NO("[\"\\a\"]"),
	NO("[\"\\uqqqq\"]"), NO("[\"\\\xe5\"]"), NO("[\"\\u\xe5\"]"), NO("[\\u0020\"asd\"]"),
	NO("[\\n]"), NO("\""), NO("['single quote']"), NO("abc"), NO("[\"\\"), NO("[\"a\0a\"]"),
	NO("[\"new\nline\"]"), NO("[\"\t\"]"), NO("\"\\UA66D\""), NO("\"\"x"), NO("[\"\\u 041\"]"),
	NO("[\"\\u+041\"]"), NO("[\"\\u0x41\"]"), NO("[\"\\u004g\"]"), NO("[\"\\u004G\"]"),
	NO("[\"\\u00@0\"]"), NO("[\"\\u00`0\"]"), NO("[\"\\'\"]"), NO("[\"\\0\"]"),
	NO("[\"\x1f\"]"),
	NO("[\"\\v\"]"), NO("[\"\\N\"]"), NO("[\"\\e\"]"), NO("\"a\"b\""),
	/* structure */
	NO("<.>"), NO("[<null>]"), NO("[1]x"), NO("[1]]"), NO("[\"asd]"), NO("a\xc3\xa5"),
	NO("[True]"),
	NO("1]"), NO("{\"x\": true,"), NO("[][]"), NO("]"), NO("\xef\xbb{}"), NO("\xe5"), NO("["),
	NO(""),
	NO("[\0]"), NO("2@"), NO("{}}"), NO("{\"\":"), NO("{\"a\":/*comment*/\"b\"}"),
	NO("{\"a\": true} \"x\""), NO("['"), NO("[{"), NO("[\"a"), NO("[\"a\""), NO("{]"), NO("{,"),
	NO("{"), NO("{["), NO("{\"a"), NO("{'a'"), NO("[\"\\{[\"\\{[\"\\{[\"\\{"), NO("\xe9"),
	NO("*"),
	NO("{\"a\":\"b\"}#{}"), NO("[\xe2\x81\xa0]"), NO("[\\u000A\"\"]"), NO("[1"),
	NO("[ false, nul"), NO("[ true, fals"), NO("[ false, tru"), NO("{\"asd\":\"asd\""),
	NO("\xc3\xa5"), UTF("\xef\xbb\xbf"), NO("[\f]"), NO(" "), NO("\0"), NO("{}\0"), NO("{} {}"),
	NO("{}{}"), NO("{},"), NO(",{}"), NO(":"), NO("}"), NO("nulll"), NO("nul"), NO("n"),
	NO("t"),
	NO("f"), NO("TRUE"), NO("None"), NO("undefined"), NO("-"), NO("1."), NO("\xc2\xa0{}"),
	NO("{}\xc2\xa0"), NO("\v{}"), NO("{}\x1a"), NO("//\n{}"), NO("#\n{}"), NO("({})"),
	NO(")]}',\n{}"), NO("{\"a\":tru}"), NO("{\"a\":nul}"), NO("{\"a\":falsee}"),
};

/* Left open by RFC 8259: what this reader makes of it. Numbers are judged by their form alone. */
static const struct json_case json_open_cases[] = {
	TOP("[123.456e-789]"), TOP("[0.4e00669999999999999999999999999999999999999999999999]"),
	TOP("[-1e+9999]"), TOP("[1.5e+9999]"), TOP("[-123123e100000]"), TOP("[123123e100000]"),
	TOP("[123e-10000000]"), TOP("[-123123123123123123123123123123]"),
	TOP("[100000000000000000000]"), TOP("[-237462374673276894279832749832423479823246327846]"),
	UTF("[\"\\uDADA\"]"), UTF("[\"\\uD888\\u1234\"]"), UTF("[\"\\uD800\\n\"]"),
	UTF("[\"\\uDd1ea\"]"), UTF("[\"\\uD800\\uD800\\n\"]"), UTF("[\"\\ud800\"]"),
	UTF("[\"\\ud800abc\"]"), UTF("[\"\xff\"]"), UTF("[\"\\uDd1e\\uD834\"]"), UTF("[\"\xe9\"]"),
	UTF("[\"\\uDFAA\"]"), UTF("[\"\x81\"]"), UTF("[\"\xf4\xbf\xbf\xbf\"]"),
	UTF("[\"\xc0\xaf\"]"),
	UTF("[\"\xfc\x83\xbf\xbf\xbf\xbf\"]"), UTF("[\"\xfc\x80\x80\x80\x80\x80\"]"),
	UTF("[\"\xe0\xff\"]"), UTF("[\"\xe6\x97\xa5\xd1\x88\xfa\"]"), UTF("[\"\xed\xa0\x80\"]"),
	UTF("{\"\\uDFAA\":0}"), UTF("\xef\xbb\xbf{}"), NO("\xff\xfe[\0\"\0\xe9\0\"\0]\0"),
	NO("\0[\0\"\0\xe9\0\"\0]"), NO("[\0\"\0\xe9\0\"\0]\0"), UTF("[\"\xe0\x80\xaf\"]"),
	UTF("[\"\xf0\x80\x80\xaf\"]"), UTF("[\"\xc3"), UTF("[\"\xc3\"]"), UTF("[\"\xf0\x9d\x84\"]"),
	UTF("[\"\xed\xa0\xb4\xed\xb4\x9e\"]"), UTF("[\"\xf8\x88\x80\x80\x80\"]"), UTF("[\"\xfe\"]"),
};
