"""What was secret in a test, known by the helpers through which it went, and looked for at the test's end wherever
an agent leaves bytes: its log, its state, its anchor, its run directory, and what any process may read of it.

Values are noted as they are sent (`Put`, passphrases) and as they come (tokens, fetched values). A test that puts
one on purpose where it is found says so: Agent.swept = False, with the reason.
"""

import base64
import collections
import contextlib
import json
import os
import stat

# Shorter ones, and those of one letter, are found by chance.
LEAST, LETTERS = 12, 6
# Of each kind so many, the first and the last: a test that makes a thousand tokens makes them all alike.
FEW = 4
SENT, CAME = ("text", "data", "passphrase", "newPassphrase"), ("token", "text", "data")
_noted = collections.defaultdict(dict)


def note(kind, value):
    """A value of which no trace may be left."""
    if isinstance(value, str) and LEAST <= len(value) and len(set(value[:64])) >= LETTERS:
        of_kind = _noted[kind]
        of_kind[value] = None
        if len(of_kind) > 2 * FEW:
            # The middle one: what came first and what came last stay.
            del of_kind[[*of_kind][FEW]]


def note_sent(parameters):
    for name in SENT:
        if parameters.get(name):
            note(f"sent {name}", parameters[name])


def note_came(parameters):
    for name in CAME:
        if parameters.get(name):
            note(f"received {name}", parameters[name])


def forms(value):
    """The first 64 bytes as text, as in JSON, in hex, and in base64 at any of three places; of a token the secret
    alone; of what came in base64 the bytes."""
    value = value[18:61] if value.startswith("jeton_") and len(value) == 67 else value[:64]
    raw = [value.encode("utf-8", "surrogatepass")]
    with contextlib.suppress(ValueError):
        raw.append(base64.b64decode(value[:len(value) // 4 * 4], validate=True))
    for data in raw:
        if len(data) < LEAST or len(set(data)) < LETTERS:
            continue
        yield from (data, data.hex().encode(), json.dumps(value).encode()[1:-1])
        yield from (base64.b64encode(data[skip:])[:-4] for skip in range(3))


def _needles():
    return {form: kind for kind, values in _noted.items() for value in values for form in forms(value)
            if len(form) >= LEAST}


def _files(*paths):
    for path in paths:
        for parent, _, names in [*os.walk(path)] or [(os.path.dirname(path), [], [os.path.basename(path)])]:
            yield parent, "\n".join(names).encode("utf-8", "surrogateescape")
            for name in names:
                with contextlib.suppress(OSError):
                    name = os.path.join(parent, name)
                    if stat.S_ISREG(os.lstat(name).st_mode):
                        with open(name, "rb") as f:
                            yield name, f.read()


def _told(pid):
    for name in ("cmdline", "environ", "comm"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as f:
            yield f"/proc/{pid}/{name}", f.read()


def _look(pieces):
    needles = _needles()
    for place, data in pieces:
        for form, kind in needles.items():
            assert form not in data, f"what was {kind} is in {place}"


def look_at_process(agent):
    """While it runs."""
    _look(_told(agent.pid))


def look_at_files(agent):
    """What it has left, or leaves as yet."""
    _look(_files(agent.log_path, agent.state, agent.anchor, agent.run))
