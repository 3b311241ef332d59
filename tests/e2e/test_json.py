"""What counts as JSON, what a record keeps of its text, and what a merge patch does; knows no positions or keys."""

import os
import re

from harness import Http, NotRun, PROTOCOLS, Suite, Tcp, Udp, ask, check, collection, equal, new_key, refused, request

CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../shared/data/json-parsing/test_parsing")
suite = Suite()


def compact(text):
    """JSON text without the white space between its tokens."""
    return "".join(re.findall(r'"(?:[^"\\]|\\.)*"|[^\s"]+', text))


def kept(server, *bodies):
    """Each body is stored as it came, but for white space between tokens."""
    path = "/" + collection()
    with Http(server) as http:
        for id, body in enumerate(bodies, 1):
            made = http.ask("POST", path, body)
            equal(made.status, 201, f"status of POST of {body}: {made.text}")
            members = compact(body)[1:]
            equal(made.text, f'{{"id":{id}' + ("," if members != "}" else "") + members, f"POST of {body}")
            equal(http.ask("GET", f"{path}/{id}").text, made.text, f"GET of {body}")


def bad(server, *bodies):
    path = "/" + collection()
    with Http(server) as http:
        for body in bodies:
            refused(http.ask("POST", path, body), 400, "bad_json")
        equal(http.ask("GET", path).text, "[]", "the list")


@suite.test
def number_text_is_kept(server):
    kept(server, *(f'{{"n":{n}}}' for n in (
        "1.10", "-0", "-0.0", "0.1000", "1E+2", "1e-02", "1e400", "-1E99999", "12345678901234567890123456789012345",
        "0.1234567890123456789012345678901234567890", "123e0", "9007199254740993")))


@suite.test
def escapes_are_kept(server):
    kept(server, '{"a":"\\u00e9\\/\\\\\\"\\b\\f\\n\\r\\t"}', '{"a":"\\ud83c\\udf0f \\uD83C\\uDF0F"}',
         '{"a":"\\u0000\\u001f"}',
         '{"\\u0061\\"b":"a/b"}', '{"a":"\\uffff\\ufdd0\\uD83F\\uDFFE"}', '{"":"","\\u0000":0}')


@suite.test
def members_keep_their_order(server):
    kept(server, '{"z":1,"a":2,"m":3,"B":4,"10":5,"9":6}', '{"b":{"y":1,"x":2},"a":[3,1,2]}')


@suite.test
def white_space_is_removed_between_tokens_only(server):
    kept(server, ' \t\r\n{ "a b" : [ 1 ,\n2\t, { } , [ ] ] ,\r\n"c" : " two  spaces " , "d":"\\n x" } \n', "{ }",
         "{\n}",
         '{"a" :\t"{ \\" , : } "\n}', '{ "a":1.5 , "b":true , "c":null , "d":false }')


@suite.test
def text_in_any_language_is_kept(server):
    kept(server, '{"제목":"안녕하세요","내용":"가각힣 ㄱㄴ 한글"}', '{"emoji":"🌏👩\u200d🚀","日本":"語","ü":"ß"}',
         '{"max":"\U0010ffff","nonchar":"\ufffe\uffff\U0001ffff","bmp":"\u0080\u07ff\u0800\ud7ff\ue000"}',
         '{"deep":{"가":[{"나":"다"}]}}', '{"a":"\u007f\u0080\u2028\u2029\ufeff"}')


@suite.test
def each_protocol_keeps_text_alike(server):
    path = "/" + collection()
    body = '{ "제목":"\\uac00 나 \\/ 🌏", "n":1.10, "e":1E+2 }'
    for id, protocol in enumerate(PROTOCOLS, 1):
        with protocol(server) as client:
            made = client.ask("POST", path, body)
            equal(made.text, f'{{"id":{id},"제목":"\\uac00 나 \\/ 🌏","n":1.10,"e":1E+2}}',
                  f"POST over {protocol.__name__}")
            equal(client.ask("GET", f"{path}/{id}").text, made.text, "GET")


@suite.test
def names_may_not_come_twice_in_one_object(server):
    bad(server, '{"a":1,"a":1}', '{"a":1,"b":2,"a":3}', '{"a":1,"\\u0061":2}', '{"\\ud83c\\udf0f":1,"🌏":2}',
        '{"":1,"":2}',
        '{"x":{"a":1,"a":2}}', '{"x":[{"y":{"b":0,"c":0,"b":0}}]}', '{"가":1,"\\uac00":1}', '{"a\\/b":1,"a/b":2}',
        "{" + ",".join(f'"n{n}":0' for n in range(3000)) + ',"n17":1}')
    kept(server, '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}', '{"a":1,"A":2,"a ":3}', '{"é":1,"e\u0301":2}',
         "{" + ",".join(f'"n{n}":0' for n in range(3000)) + "}")


@suite.test
def lone_surrogates_are_refused(server):
    bad(server, '{"a":"\\ud800"}', '{"a":"\\udc00"}', '{"a":"\\ud800\\u0041"}', '{"a":"\\ud800x"}', '{"\\udfff":1}',
        '{"a":"\\ud800\\ud800"}', '{"a":"\\udc00\\ud800"}', '{"a":"\\ud83c\\n"}')


@suite.test
def bytes_that_are_no_utf_8_are_refused(server):
    bad(server, *(b'{"a":"' + text + b'"}' for text in (
        b"\xff", b"\x80", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xf0\x80\x80\x80",
                                                        b"\xf0\x8f\xbf\xbf",
        b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xfe", b"\xc3", b"\xe1\x80",
        b"\xf0\x9f\x8c", b"\xc3(", b"\xe2\x82(", b"\xf8\x88\x80\x80\x80")))
    bad(server, b'\xef\xbb\xbf{"a":1}', b'{"\xff":1}', '{"a":1}'.encode("utf-16-le"), '{"a":1}'.encode("utf-16"),
        b'{"a":1}\xff', b'{\xc2\xa0"a":1}')


@suite.test
def what_the_grammar_does_not_know_is_refused(server):
    bad(server, "{", "}", '{"a"}', '{"a":}', '{"a":1,}', '{,"a":1}', '{"a" 1}', "{a:1}", "{'a':1}", '{"a":1}}',
        '{"a":1}{}',
        '{"a":1} x', '{"a":[1,]}', '{"a":[,1]}', '{"a":[1 2]}', '{"a":[}', '{"a":01}', '{"a":1.}', '{"a":.5}',
        '{"a":+1}',
        '{"a":-}', '{"a":1e}', '{"a":1e+}', '{"a":0x1}', '{"a":NaN}', '{"a":Infinity}', '{"a":-01}', '{"a":True}',
        '{"a":nul}',
        '{"a":nulll}', '{"a":"\t"}', '{"a":"\n"}', '{"a":"\x00"}', '{"a":"\\x41"}', '{"a":"\\u12"}', '{"a":"\\u12g4"}',
        '{"a":"\\"}', '{"a":"', '{"a":1,"b"', '{1:2}', '{"a":1}\x00', '\x0c{"a":1}', '{"a":1,\x0b"b":2}', "/**/{}",
        '{"a":1}//',
        "tru", "[1,2", "", '"abc', '[1}')


@suite.test
def json_that_is_no_object_is_told_so(server):
    path = "/" + collection()
    with Http(server) as http:
        http.ask("POST", path, "{}")
        for body in ("[]", '[{"a":1}]', '"text"', "5", "-1.5e3", "true", "false", "null", " [ ] \n"):
            refused(http.ask("POST", path, body), 400, "not_object")
            refused(http.ask("PUT", path + "/1", body), 400, "not_object")
            refused(http.ask("PATCH", path + "/1", body), 400, "not_object")
        equal(http.ask("GET", path).text, '[{"id":1}]', "the list")


@suite.test
def the_error_names_the_byte(server):
    pad = "x" * 1000
    for body, at in ((f'{{"{pad}":1,}}', 1006), (f'{{"{pad}":tru}}', 1007), (f'{{"가{pad}":01}}', 1008),
                     (f'{{"{pad}":"\\q"}}', 1006), (f'{{"{pad}" 1}}', 1004)):
        answer = refused(ask(server, "POST", "/notes", body), 400, "bad_json")
        named = [int(n) for n in re.findall(r"\d+", answer.json()["detail"])]
        check(any(at - 1 <= n <= at + 3 for n in named),
              f"{body[-8:]}: {answer.text} names none of the bytes near {at}")
    first = ask(server, "POST", "/notes", '{"a":1,}').json()["detail"]
    second = ask(server, "POST", "/notes", '{"abc":1,}').json()["detail"]
    offsets = [int(re.search(r"\d+", text)[0]) for text in (first, second)]
    equal(offsets[1] - offsets[0], 2, f"distance of the bytes in {first!r} and {second!r}")


@suite.test
def the_public_cases_are_judged_alike(server):
    """JSONTestSuite: y_ must be taken, n_ refused; i_ either way, but never with anything else than an answer."""
    if not os.path.isdir(CASES):
        raise NotRun(f"no folder {os.path.normpath(CASES)}")
    path, wrong, count = "/" + collection(), [], 0
    with Http(server) as http:
        for name in sorted(os.listdir(CASES)):
            with open(os.path.join(CASES, name), "rb") as file:
                body = file.read()
            answer = http.ask("POST", path, body)
            count += 1
            taken = answer.status == 201 or answer.code in ("not_object", "id_not_allowed")
            duplicate = name.startswith("y_object_duplicated_key")
            if name[0] == "n" or duplicate:
                right = (answer.status, answer.code) == (400, "bad_json")
            else:
                right = taken or (name[0] == "i" and answer.code == "bad_json")
            if not right:
                wrong.append((name, answer.status, answer.code))
            if name.startswith("y_object") and answer.status == 201:
                text = compact(body.decode())
                equal(answer.text[answer.text.index(",") + 1:] if text != "{}" else "}", text[1:], name)
    equal(wrong, [], f"judged otherwise among {count} cases")
    check(count > 300, f"{count} cases, expected more than 300")


# --- merge patch (RFC 7396) ---

def merges(server, *cases):
    """Each case: members of the record, the patch, members of the result; all as text without braces."""
    path = "/" + collection()
    with Http(server) as http:
        for id, (target, patch, result) in enumerate(cases, 1):
            http.send(request("POST", path, "{" + target + "}"))
            made = http.answer()
            equal(made.status, 201, f"status of POST of {target}: {made.text}")
            expected = f'{{"id":{id}' + ("," if result else "") + result + "}"
            answer = http.ask("PATCH", f"{path}/{id}", "{" + patch + "}", type="application/merge-patch+json")
            equal((answer.status, answer.text), (200, expected), f"{{{target}}} merged with {{{patch}}}")
            equal(http.ask("GET", f"{path}/{id}").text, expected, "the record after it")


@suite.test
def a_merge_does_what_the_rfc_s_cases_say(server):
    cases = (('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'), ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
             ('{"a":"b"}', '{"a":null}', "{}"), ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
             ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'), ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
             ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
             ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'), ('["a","b"]', '["c","d"]', '["c","d"]'),
             ('{"a":"b"}', '["c"]', '["c"]'), ('{"a":"foo"}', "null", None), ('{"a":"foo"}', '"bar"', '"bar"'),
             ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'), ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
             ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'))
    merges(server, *((f'"v":{t}', f'"v":{p}', "" if r is None else f'"v":{r}') for t, p, r in cases))
    merges(server, *((t[1:-1], p[1:-1], r[1:-1]) for t, p, r in cases if r and t[0] + p[0] == "{{"))


@suite.test
def a_kept_member_keeps_spelling_and_place(server):
    merges(server,
           ('"z":1.10,"a":1,"m":"\\u00e9"', '"a":2', '"z":1.10,"a":2,"m":"\\u00e9"'),
           ('"\\u0061":1,"b":2', '"a":3', '"\\u0061":3,"b":2'), ('"a":1,"b":2', '"\\u0061":3', '"a":3,"b":2'),
           ('"a":1', '"z":1,"y":2,"b":3', '"a":1,"z":1,"y":2,"b":3'),
           ('"a":1,"b":2,"c":3', '"b":null,"d":4', '"a":1,"c":3,"d":4'),
           ('"x":{"z":1E+2,"y":2}', '"x":{"y":3,"w":4}', '"x":{"z":1E+2,"y":3,"w":4}'),
           ('"가":{"나":1}', '"\\uac00":{"\\ub098":2,"다":3}', '"가":{"나":2,"다":3}'),
           ('"a":1', "", '"a":1'), ('"a":1', '"nothing":null', '"a":1'), ("", '"a":null', ""))


@suite.test
def nulls_in_new_objects_are_stripped_and_in_arrays_kept(server):
    merges(server,
           ('"a":1', '"n":{"x":null,"y":{"z":null,"w":1}}', '"a":1,"n":{"y":{"w":1}}'),
           ('"a":1', '"n":[null,{"x":null}]', '"a":1,"n":[null,{"x":null}]'),
           ('"a":[1]', '"a":{"b":null,"c":{"d":null}}', '"a":{"c":{}}'), ('"a":null', '"b":null', '"a":null'),
           ('"a":{"b":null,"c":1}', '"a":{"c":null}', '"a":{"b":null}'), ('"o":{"x":1}', '"o":{"x":null}', '"o":{}'),
           ('"a":[null]', '"b":[[null,{"c":[{"d":null}]}]]', '"a":[null],"b":[[null,{"c":[{"d":null}]}]]'))


@suite.test
def a_refused_patch_changes_nothing(server):
    path = "/" + collection()
    with Http(server) as http:
        made = http.ask("POST", path, '{"a":1}')
        for body, status, code in (('{"a":2', 400, "bad_json"), ('{"a":2,"a":3}', 400, "bad_json"),
                                   ("[]", 400, "not_object"),
                                   ('{"a":2,"id":7}', 409, "id_mismatch"), ('{"a":2,"id":null}', 409, "id_mismatch")):
            refused(http.ask("PATCH", path + "/1", body), status, code)
        after = http.ask("GET", path + "/1")
        equal((after.text, after.etag), (made.text, made.etag), "the record")


@suite.test
def text_of_any_bytes_in_errors_stays_json(server):
    """What a client sent may come back in a detail, quoted properly."""
    for path in ('/a"b', "/한글", "/notes/가", "/a\\b", "/%00", "/<script>"):
        with Http(server) as http:
            answer = http.ask("GET", path)
            refused(answer, answer.status, "not_found", "bad_id", "bad_request")
    with Tcp(server) as tcp:
        for path in ('/a"b\n', "/한글", "/\u0000", "/notes/\u2028"):
            answer = tcp.ask("GET", path, rid='"\\\n\u0000가')
            refused(answer, answer.status, "not_found", "bad_id", "bad_request")
            equal((answer.rid, answer.raw.count(b"\n")), ('"\\\n\u0000가', 1), "rid, and line ends of the answer")
    equal(Udp(server).ask("POST", "/한글", "{}", key=new_key()).status, 404, "status over UDP")


if __name__ == "__main__":
    suite.main()
