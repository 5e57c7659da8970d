"""Random sequences of steps, made before anything runs: a step names the tokens that it is about
by the number of the step that makes them, and is passed over where that made none. So any part of
a sequence is a sequence, and a seed is all that it takes to have it again."""

import json
import random

UNIT = 10_000  # seconds; what time passes by
NAMES = ["a", "b", "c"]
SCOPES = [None] * 6 + [["acme/risk:read"]] * 4 + [["acme/pub:read"]] * 2 + [
    ["acme/risk:*"], ["acme/**:*"], ["acme/*:read"], ["acme/risk/eu:read", "acme/pub:read"],
    ["acme/pub/**:*"], ["**:*"], ["other:read"]]
PLAIN = ["acme/risk:read", "acme/risk:write", "acme/pub:read", "acme/pub/eu:write", "other:read"]
POLICIES = ["wide", "wide", "wide", "wide", "narrow", "none", "verifiers"]


def _some(rng, *choices):
    return rng.choice(choices)


def _parts(rng):
    """{what is done: (how often, its parameters)}. A lifetime is in units."""
    return {
        "issue": (18, lambda: {
            "name": rng.choice(NAMES), "scopes": rng.choice(SCOPES),
            "lifetime": _some(rng, None, 1, 2, 3, 4, 5, 8, 12, 20, 30,
                              rng.choice(["short", "long", "zero"])),
            "uses": _some(rng, None, None, None, None, None, 1, 2, 3),
            "owner": _some(rng, *[None] * 10, "alice", "bob")}),
        "derive": (12, lambda: {
            "token": 0, "name": rng.choice(NAMES), "scopes": rng.choice(SCOPES),
            "lifetime": _some(rng, None, None, None, 1, 1, 2, 2, 5, 20, "zero"),
            "uses": _some(rng, None, None, None, None, None, 1, 2)}),
        "verify": (32, lambda: {
            "token": 0, "scopes": _some(rng, [], [], [rng.choice(PLAIN)],
                                        rng.sample(PLAIN, 2))}),
        "verify_other": (4, lambda: {"token": 0, "what": _some(rng, "secret", "id", "word")}),
        "list": (4, lambda: {
            "owner": _some(rng, None, None, "alice", "bob"), "all": False,
            "state": _some(rng, None, "active", "expired", "revoked"),
            "name": _some(rng, None, None, "a")}),
        "list_all": (2, lambda: {"state": _some(rng, None, "active", "revoked", "expired")}),
        "describe": (10, lambda: {"token": 0}),
        "rotate": (9, lambda: {"token": 0, "grace": _some(rng, 0, 1, 2, 4),
                               "lifetime": _some(rng, None, None, None, 2, 20)}),
        "revoke_by_id": (7, lambda: {"token": 0}),
        "revoke_by_value": (3, lambda: {"token": 0}),
        "revoke_all": (0.3, lambda: {}),
        "put": (2, lambda: {"text": f"secret {rng.randrange(1000)}"}),
        "forget": (0.7, dict),
        "fetch": (6, lambda: {"credential": _some(rng, "held", "minted")}),
        "reload": (1.5, lambda: {"policy": _some(rng, None, *POLICIES)}),
        "pass": (3, lambda: {"units": _some(rng, 1, 1, 1, 2, 3)}),
        "set_back": (1, lambda: {"units": _some(rng, 1, 2, 800)}),
        "astray": (0.6, lambda: {"token": 0}),
        "watch": (1, lambda: {"after": _some(rng, "last", "last", "last", "now", "first")}),
        "process_ends": (0.3, dict),
        "restart": (0.5, lambda: {"process_ends": rng.random() < 0.3, "kill": rng.random() < 0.6, "away": _some(rng, 0, 0, 1, 3),
                                  "back": _some(rng, 0, 0, 0, 1, 800)}),
        "rekey": (0.3, dict),
        "backup": (0.4, dict),
        "restore": (0.4, dict),
        "lock": (0.1, lambda: {"passphrase": "as good as any"}),
        "unlock": (0.05, dict),
    }


# The process is one of alice's, and ends now and then; then it is another.
USERS = ("alice", "bob", "admin", "process")
MAKERS = ("issue", "derive", "rotate", "fetch")


def sequence(seed, n):
    """n steps, each a dict that JSON can hold."""
    rng = random.Random(seed)
    parts = _parts(rng)
    names, weights = list(parts), [w for w, _ in parts.values()]
    made, steps, user, unlock_at = [], [], "alice", None
    by_user, parents = {user: [] for user in USERS}, {user: [] for user in USERS}
    for number in range(n):
        # The same user for a while, so that calls can be sent together.
        if rng.random() < 0.2:
            user = rng.choice(["alice", "alice", "bob", "admin", "process"])
        what = rng.choices(names, weights)[0]
        if number == unlock_at:
            what = "unlock"
        step = {"n": number, "user": user, "do": what, **parts[what][1]()}
        if what in ("lock", "unlock", "reload", "put", "forget", "revoke_all", "rekey", "backup") and (
                rng.random() < 0.8):
            step["user"] = "admin"
        if what == "lock":
            unlock_at = number + rng.randrange(3, 20)
        if "token" in step:
            if not made:
                continue
            # Mostly of those made last, of which most are good, and of the user's own.
            among = made
            if what == "rotate" and parents[user] and rng.random() < 0.5:
                among = parents[user]
            elif by_user[user] and rng.random() < 0.7:
                among = by_user[user]
            step["token"] = rng.choice(among[-12:] if rng.random() < 0.8 else among)
        if what in ("issue", "derive") and user == "process" and rng.random() < 0.6:
            step["bound"] = True
        if what == "derive":
            parents[user].append(step["token"])
        if what in MAKERS:
            made.append(number)
            by_user[user].append(number)
        steps.append(step)
    return steps


def written(steps):
    return "".join(json.dumps(step) + "\n" for step in steps)


def read(lines):
    return [json.loads(line) for line in lines if line.strip() and not line.startswith("#")]
