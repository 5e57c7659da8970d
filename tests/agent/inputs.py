"""Wrong calls of every method, made from the interface's own text.

A case is a message as bytes and what must come of it: ("named", FIELD), an InvalidParameter that names
the field; ("same", MESSAGE), whatever comes of that message, which is right; ("one of", NAMES), one of these
errors; ("closed",), the end of the connection. None of them changes anything, whatever comes of it: what
is right otherwise asks for what is refused (a life too short, an id of nobody's).
"""

import json
import unicodedata

from jeton import INTERFACE, check_bytes
from varlink import SERVICE

NEEDS_MORE = {"List", "ListCredentials", "Watch", "ReadAudit"}
NOBODYS_ID, SOMEBODYS_ID = "0" * 11, "0" * 10 + "1"
_HEAD = f"jeton_{NOBODYS_ID}_{'1' * 43}"
NOBODYS_TOKEN = _HEAD + check_bytes(_HEAD)

# Right parameters, of which a field that is tried is left out.
RIGHT = {
    "Issue": {"name": "n", "lifetimeSec": 1},
    "Derive": {"token": NOBODYS_TOKEN, "name": "n"},
    "Verify": {"token": NOBODYS_TOKEN},
    "List": {"state": "expired"},
    "Describe": {"id": NOBODYS_ID},
    "Revoke": {"id": NOBODYS_ID},
    "Rotate": {"id": NOBODYS_ID},
    "Put": {"credential": "nobodys", "text": "x"},
    "Forget": {"credential": "nobodys"},
    "Fetch": {"credential": "nobodys"},
    "Watch": {"after": 1 << 62},
    "Explain": {"scope": "a:b"},
    "ReadAudit": {"token": SOMEBODYS_ID},
    "Unlock": {"passphrase": "x"},
    "GetInterfaceDescription": {"interface": "x.y"},
}
# Beside these fields other parameters are right.
RIGHT_BESIDE = {
    ("Issue", "lifetimeSec"): {"name": "n", "scopes": ["not/held:x"]},
    ("List", "state"): {"name": "nobody's"},
    ("Revoke", "id"): {},
    ("Revoke", "token"): {},
    ("Put", "data"): {"credential": "nobodys"},
    ("Explain", "credential"): {},
    ("Explain", "scope"): {},
    ("ReadAudit", "token"): {"sinceUSec": (1 << 63) - 1},
    ("ReadAudit", "sinceUSec"): {"token": SOMEBODYS_ID},
}
# What these do where all is right is no refusal: they are given what is wrong only.
NEVER_RIGHT = {"Lock", "Rekey", "Backup", "Reload", "Watch"}

NO_INT64 = ["1.0", "1e0", "1e2", "0.5", "-0.0", "1e-1", "1E400", "1e999", "-1e999", "5e-324", "0e0",
            "9223372036854775808", "-9223372036854775809", "18446744073709551615",
            "18446744073709551616", "9007199254740993.0", "1" + "0" * 400, "9" * 100000,
            "0." + "0" * 1000 + "1"]
WORDS = ["true", "false", "[]", "{}", "[1]", '{"x":1}', "[null]", '[[["x"]]]']
NUMBERS = ["0", "1", "-1", "-0", "9223372036854775807", "-9223372036854775808", *NO_INT64]
TEXTS = ['""', '"x"', '"1"', '"true"', '"null"', '"\\u0031"']
WRONG = {
    "string": NUMBERS + WORDS + ['["x"]'],
    "int": NO_INT64 + WORDS + TEXTS + ['"-1"', '"0x1"'],
    "bool": NUMBERS + WORDS[2:] + TEXTS + ["[true]"],
    "enum": NUMBERS + WORDS + TEXTS + ['"' + "x" * 100000 + '"'],
    "array": NUMBERS + WORDS[:2] + WORDS[3:] + TEXTS + [
        '["a:b",null]', '[null,"a:b"]', '["a:b",null,"a:b"]', '["a:b",1]', '["a:b",true]',
        '["a:b",[]]', '["a:b",{}]', '["a:b",1e999]', '[["a:b"]]', "[" + '"a:b",' * 32 + '"a:b"]',
        "[" + '"x",' * 30000 + '"x"]', '["a:b",' + "9" * 100000 + "]"],
}
# Numbers that are integers, beside those that a field takes: there an error of these.
AT_THE_ENDS = ["0", "-0", "-1", "1", "2147483648", "4294967295", "4294967296",
               "9007199254740993", "9223372036854775807", "-9223372036854775808"]
OF_NUMBERS = {"lifetimeSec": {"LifetimeOutOfRange", "InvalidToken", "NoSuchToken"},
              "uses": {"LifetimeOutOfRange", "InvalidToken"}, "ownerUid": {"LifetimeOutOfRange", None},
              "graceSec": {"NoSuchToken"}, "bearer": set(), "after": {"EventsMissed"},
              "expiresUSec": {"NoSuchCredential"}, "minLifetimeSec": {"NoSuchCredential"},
              "sinceUSec": {None}}
# What texts may be answered with, beside an InvalidParameter that names them; None: no error.
ODD_TEXTS = ["", "x", " ", "n" * 129, "n" * 65536, "é" * 65, "é" * 40000, "\\\"/\b\f\n\r\t" * 4000,
             "a\nb", "a\rb", "a\tb", "\x01", "a\x1fb", "a\x7fb", "a\x85b", "a\u009bb", "\x1b[31m",
             "a\u202eb", "a\u2066b", "a\u200eb", "a\u2028b", "a\u2029b", "\ufeff", "a\ufffeb", "\uffff",
             "\U0010ffff", "%s%n", "'; --", "../../etc/passwd", "/", "*", "**:*", ":"]
OF_TEXTS = {"token": {"InvalidToken"}, "id": {"NoSuchToken"}, "interface": {"InterfaceNotFound"},
            "credential": {"NoSuchCredential"}, "text": {"NoSuchCredential"},
            "data": {"NoSuchCredential"}, "passphrase": {"NotLocked"}}
ANY_TEXT = {("Issue", "name"): {"LifetimeOutOfRange"}, ("Derive", "name"): {"InvalidToken"},
            ("List", "name"): {None}, ("Explain", "user"): {None}, ("Explain", "unit"): {None},
            ("Explain", "credential"): {None}, ("Explain", "scope"): {None}, ("ReadAudit", "token"): {None}}

# Within a text: no JSON.
NO_TEXT = {
    "a NUL as it is": b'"a\0b"', "an escaped NUL": b'"a\\u0000b"', "a newline": b'"a\nb"',
    "a control character": b'"a\x01b"', "a lone high surrogate": b'"\\ud83d"',
    "a lone low surrogate": b'"\\ude00"', "surrogates inverted": b'"\\ude00\\ud83d"',
    "half a pair and a letter": b'"\\ud83dx"', "a surrogate in UTF-8": b'"\xed\xa0\xbd"',
    "an overlong letter": b'"\xc1\x81"', "an overlong NUL": b'"\xc0\x80"', "a byte 0xff": b'"\xff"',
    "half a character": b'"\xc3"', "above the last character": b'"\xf4\x90\x80\x80"',
    "a capital U": b'"\\U0061"', "no escape": b'"\\x61"', "half an escape": b'"\\u006"',
    "an open text": b'"x', "single quotes": b"'x'",
}
# In the place of a value: none.
NO_VALUE = {
    "nothing": b"", "a leading zero": b"01", "a plus": b"+1", "a point in front": b".5",
    "a point at the end": b"1.", "an empty exponent": b"1e", "a lone minus": b"-", "NaN": b"NaN",
    "Infinity": b"-Infinity", "hexadecimal": b"0x1", "a capital": b"True", "half a word": b"nul",
    "an open array": b'["x"', "a comma too many": b'["x",]', "brackets crossed": b"[{]}",
    "a nesting of 17": b"[" * 15 + b"]" * 15, "a nesting without end": b"[" * 100000,
    "a key twice within": b'{"a":1,"b":{"c":1,"\\u0063":2}}', "a comment": b"1/**/",
}


def is_name(text):
    """Whether a token may have this name: 1 to 128 bytes with no control characters, those of lines
    and directions included."""
    controls = set("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    return 1 <= len(text.encode()) <= 128 and not any(
        unicodedata.category(c) == "Cc" or c in controls for c in text)


def fields():
    """Every parameter: (interface, method, its name, its type, whether it may be absent)."""
    for interface in (INTERFACE, SERVICE):
        for method, (takes, _) in interface.methods.items():
            for field, kind in takes[1].items():
                optional = kind[0] == "maybe"
                kind = interface.resolve(kind[1] if optional else kind)
                yield interface, method, field, kind, optional


def methods():
    """Every method: (interface, its name)."""
    return [(i, m) for i in (INTERFACE, SERVICE) for m in i.methods]


def beside(method, field):
    """Right parameters without the field, as members: [(name, JSON)]."""
    right = RIGHT_BESIDE.get((method, field), RIGHT.get(method, {}))
    return [(name, json.dumps(value)) for name, value in right.items() if name != field]


def escaped(name):
    """The name as a JSON string of escapes only."""
    return "".join(f"\\u{ord(c):04x}" for c in name)


def message(interface, method, members, more=None):
    """A call of these members, [(name as it is written, JSON)], without its NUL."""
    more = method in NEEDS_MORE if more is None else more
    members = b",".join(b'"%s":%s' % (name.encode(), value if isinstance(value, bytes) else value.encode())
                        for name, value in members)
    return b'{"method":"%s.%s"%s,"parameters":{%s}}' % (
        interface.name.encode(), method.encode(), b',"more":true' if more else b"", members)


class Case:
    def __init__(self, what, data, *expected):
        self.what, self.data, self.expected = what, data, expected

    def __repr__(self):
        return f"{self.what}: {self.data[:300]!r}"


def wrong_values(interface, method, field, kind, optional):
    """The field absent, null, of each wrong type, out of bounds, odd."""
    right = beside(method, field)

    def case(what, value, *expected):
        return Case(f"{method}, {field} {what}", message(interface, method, [*right, (field, value)]), *expected)

    without = message(interface, method, right)
    if not optional:
        yield Case(f"{method}, {field} absent", without, "named", field)
        yield case("null", "null", "named", field)
    elif method not in NEVER_RIGHT:
        yield case("null", "null", "same", without)
    for value in WRONG[kind[0]]:
        yield case(f"of a wrong type, {value[:20]}", value, "named", field)
    for spelt in (field.upper(), field.capitalize(), field + " ", field[:-1], field + "\\u0020"):
        if json.loads(f'"{spelt}"') != field:
            name = json.loads(f'"{spelt}"')
            yield Case(f"{method}, {spelt} for {field}", message(
                interface, method, [*right, (spelt, "1")]), "named", name)
    if kind[0] == "int":
        for value in AT_THE_ENDS:
            # A watch of what has happened goes on, and no other call is answered after it.
            if method == "Watch" and value in ("0", "-0", "1"):
                continue
            yield case(f"of {value}", value, "one of", {"InvalidParameter", *OF_NUMBERS[field]}, field)
    if kind[0] == "string":
        errors = ANY_TEXT.get((method, field)) or OF_TEXTS[field]
        for text in ODD_TEXTS:
            spelt = json.dumps(text, ensure_ascii=False)
            if method in ("Issue", "Derive") and field == "name":
                yield case(f"of {text[:10]!r}", spelt, *(
                    ("one of", errors, field) if is_name(text) else ("named", field)))
            elif method != "Lock" or text == "":
                yield case(f"of {text[:10]!r}", spelt, "one of", {"InvalidParameter", *errors}, field)
    if kind[0] == "enum":
        for word in kind[1]:
            for odd in (word.upper(), word.capitalize(), word + " ", " " + word, word[:-1], word * 2):
                yield case(f"of {odd!r}", json.dumps(odd), "named", field)
            yield case(f"of {word} in an array", json.dumps([word]), "named", field)
            if method not in NEVER_RIGHT:
                yield case(f"of {word} in escapes", f'"{escaped(word)}"', "same",
                           message(interface, method, [*right, (field, json.dumps(word))]))


def odd_spellings(interface, method):
    """The whole call, right or wrong in its members."""
    right = beside(method, None)
    data = message(interface, method, right)
    for name in ("surprise", "", "method", "parameters", "ünknown", "a\u202eb", "x" * 60000):
        named = name if len(name) <= 256 else "parameters"
        yield Case(f"{method} with {name[:20]!r}", message(interface, method, [*right, (name, "1")]), "named", named)
        yield Case(f"{method} with {name[:20]!r} in front", message(interface, method, [(name, "{}"), *right]),
                   "named", named)
    for name in ("extra", "Method", "error", "continues", "fds"):
        yield Case(f"{method} beside {name}", data[:-1] + f',"{name}":1}}'.encode(), "named", name)
    for name, values in {"upgrade": ("true", "1"), "oneway": ("1", '"true"', "[]")}.items():
        for value in values:
            yield Case(f"{method}, {name} {value}", data[:-1] + f',"{name}":{value}}}'.encode(), "named", name)
    head = f'{{"method":"{interface.name}.{method}"'
    for value in ("[]", "1", '"{}"', "true"):
        yield Case(f"{method}, parameters {value}", f'{head},"parameters":{value}}}'.encode(),
                   "named", "parameters")
    if method in NEVER_RIGHT:
        return
    for what, spelt in {
        "in other order": message(interface, method, right[::-1]),
        "keys in escapes": message(interface, method, [(escaped(n), v) for n, v in right]),
        "its name in escapes": data.replace(method.encode(), escaped(method).encode(), 1),
        "with white space": b" \t\r\n" + data.replace(b'":', b'" :\n') + b"\r\n",
        "with upgrade false": data[:-1] + b',"upgrade":false}',
        "with oneway null": data[:-1] + b',"oneway":null}',
    }.items():
        yield Case(f"{method} {what}", spelt, "same", data)


def answered():
    """All that is answered, and leaves the connection."""
    for of in fields():
        yield from wrong_values(*of)
    for of in methods():
        yield from odd_spellings(*of)


def _twice(interface, method, right, field, value):
    for what, spelt in {"twice": field, "twice, once in escapes": escaped(field), "twice, once with an escape":
                        escaped(field[0]) + field[1:]}.items():
        for other in (value, "null", '"x"'):
            yield Case(f"{method}, {field} {what}", message(
                interface, method, [(field, value), *right, (spelt, other)]), "closed")


def _no_json(interface, method, right, field):
    for what, value in {**NO_TEXT, **NO_VALUE}.items():
        yield Case(f"{method}, {field}: {what}", message(interface, method, [*right, (field, value)]), "closed")
    for what, name in {"a NUL": "\\u0000", "a lone surrogate": "\\ud800"}.items():
        yield Case(f"{method}, {what} in {field}'s name", message(
            interface, method, [*right, (field + name, "1")]), "closed")


def closed():
    """All that ends the connection."""
    for interface, method, field, kind, _ in fields():
        right = beside(method, field)
        value = {"int": "1", "bool": "true", "array": "[]"}.get(kind[0], '"x"')
        yield from _twice(interface, method, right, field, value)
        yield from _no_json(interface, method, right, field)
    for interface, method in methods():
        data = message(interface, method, beside(method, None))
        for what, spelt in {
            "twice over": data * 2, "and more": data + b"x", "and a brace": data + b"}",
            "and a comma": data + b",", "without its end": data[:-1], "in an array": b"[" + data + b"]",
            "as a text": json.dumps(data.decode()).encode(), "behind a byte order mark": b"\xef\xbb\xbf" + data,
            "its name twice": data[:-1] + b',"method":"x.Y"}',
            "its name twice, once in escapes": data[:-1] + b',"\\u006dethod":"x.Y"}',
            "its parameters twice": data[:-1] + b',"p\\u0061rameters":{}}',
            "a comma too many": data[:-1] + b",}", "with nothing in it": b"",
            "one byte too long": data[:-1] + b" " * (128 * 1024 - len(data) + 1) + b"}",
        }.items():
            yield Case(f"{method} {what}", spelt, "closed")
