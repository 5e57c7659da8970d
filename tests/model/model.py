"""What the agent has to answer, from the interface's words alone: plain, and slow where plain is slow.

Time is in seconds of the agent's clock, as whoever moves it counts them; real time goes on
meanwhile, so nothing here comes to its end within SLACK of when it is looked at.

A method gives an Answer: either what the reply must have, or the errors of which it must be one.
Where several things are wrong with a call the interface does not say which is named.
"""

import contextlib

MIN, MAX, DEFAULT = 1000, 10_000_000, 2_005_000
MAX_TOKENS = 25
MINTED_LENGTH = 95_000
YEAR = 365 * 86400

# Enough to tell all scopes below from each other.
UNIVERSE = [f"{path}:{action}" for path in (
    "acme", "acme/risk", "acme/risk/eu", "acme/pub", "acme/pub/eu", "other", "other/risk")
    for action in ("read", "write")]


# ---- scopes --------------------------------------------------------------------------------------

def _path_is_in(path, other):
    if not other:
        return not path
    if other[0] == "**":
        return True
    if not path or path[0] == "**":
        return False
    return other[0] in ("*", path[0]) and _path_is_in(path[1:], other[1:])


def is_within(scope, other):
    """Whether all that `scope` stands for is what `other` stands for, too."""
    path, action = scope.split(":")
    other_path, other_action = other.split(":")
    return other_action in ("*", action) and _path_is_in(path.split("/"), other_path.split("/"))


def is_within_any(scope, others):
    return any(is_within(scope, o) for o in others)


def reach(scopes):
    return {plain for plain in UNIVERSE if is_within_any(plain, scopes)}


# ---- answers -------------------------------------------------------------------------------------

class Answer:
    def __init__(self, errors=(), **facts):
        self.errors, self.facts = set(errors), facts


class Either:
    """Equal to each of them: which it is nobody says."""

    def __init__(self, *words):
        self.words = words

    def __eq__(self, other):
        return other in self.words

    def __repr__(self):
        return " or ".join(self.words)


class Token:
    def __init__(self, **facts):
        self.id = self.value = None  # as the agent says
        self.uses = self.parent = self.replaced_by = self.credential = None
        self.holder = None  # who alone may use it, of those that Model.holder() gives
        self.state, self.ended, self.used = "active", None, False
        self.children = []
        self.__dict__.update(facts)
        self.length = self.expires - self.created
        self.cut = False

    def depth(self):
        return self.parent.depth() + 1 if self.parent else 0

    def below(self):
        """All that was derived from it, and from that."""
        for child in self.children:
            yield child
            yield from child.below()


class Credential:
    def __init__(self):
        self.value, self.revision = None, None


class Model:
    """users: {name: (uid, is_admin)}; policies: {name: {"access": {uid: [scope]}, "fetch":
    {credential: [uid]}, "verify": [uid] or None for everybody}}; owner: the uid of what is
    minted."""

    def __init__(self, users, policies, policy, minted_owner):
        self.users, self.policies, self.minted_owner = users, policies, minted_owner
        self.policy = policies[policy]
        self.now = 0
        self.tokens = []  # in the order in which they were made
        self.held = Credential()
        self.passphrase = None
        self.doubts_from = None  # the end that no agent saw to, while the clock is doubted
        # What has happened, in order: (kind, token or credential or None, bunch). Within a bunch the
        # order is nobody's business. An event's number is its place here, from 1 on.
        self.events, self.bunch, self.is_bunch = [], 0, False
        self.n_ended = {}  # by user: how many of its processes have ended

    # ---- what is told

    def tell(self, kind, what=None):
        self.events.append((kind, what, self.bunch))
        if not self.is_bunch:
            self.bunch += 1

    @contextlib.contextmanager
    def together(self):
        outer, self.is_bunch = self.is_bunch, True
        yield
        self.is_bunch = outer
        if not outer:
            self.bunch += 1

    def hears(self, user, event):
        kind, what, _ = event
        if isinstance(what, Token):
            return self.may_see(user, what)
        return what is None or self.is_admin(user) or self.may_fetch(user, what)

    # ---- who

    def holder(self, user):
        """The process that it is at present."""
        return user, self.n_ended.get(user, 0)

    def process_ends(self, user):
        holder = self.holder(user)
        self.n_ended[user] = holder[1] + 1
        with self.together():
            for token in self.tokens:
                if token.state == "active" and token.holder == holder:
                    # All below is bound to the same, and may have ended for either reason.
                    below = token.parent and token.parent.holder == holder
                    self.end_one(token, "revoked", Either("binding", "parent") if below else "binding")

    def uid(self, user):
        return self.users[user][0]

    def is_admin(self, user):
        return self.users[user][1]

    def access(self, uid):
        return self.policy["access"].get(uid, [])

    def may_see(self, user, token):
        return self.is_admin(user) or token.owner == self.uid(user)

    # ---- time

    def is_over(self, token):
        return token.expires <= self.now

    def end(self, token, state, reason):
        """What is derived from a token ends with it."""
        if token.state != "active":
            return
        self.end_one(token, state, reason)
        with self.together():
            for child in token.children:
                self.end(child, "revoked", "parent")

    def end_one(self, token, state, reason):
        token.state, token.ended = state, reason
        self.tell(state, token)

    def expire(self, token):
        """Ends it at its time, which for what is below it has come, too."""
        for child in token.children:
            if child.state == "active":
                self.expire(child)
        # Of one that was replaced that is said, though its parent's grace ended it sooner.
        if token.cut == "parent" and not token.replaced_by:
            self.end(token, "revoked", "parent")
        else:
            self.end(token, "expired", "rotated" if token.cut else "expired")

    def sweep(self):
        if self.doubts_from is None:
            with self.together():
                for token in self.tokens:
                    if token.state == "active" and self.is_over(token):
                        self.expire(token)

    def passes(self, seconds):
        """Long enough for a doubted clock to be believed."""
        self.now += seconds
        self.doubts_from = None
        self.sweep()

    def set_back(self, seconds):
        self.now -= seconds
        if self.doubts_from is not None and self.now < self.doubts_from:
            self.doubts_from = None

    def starts(self, away=0):
        """A new agent: what ended long before it came it does not end by itself at once."""
        self.now += away
        over = [t.expires for t in self.tokens if t.state == "active" and self.is_over(t)]
        self.doubts_from = min(over, default=None)

    def was_killed(self):
        """Last uses are kept to within a minute: of those of before nothing is certain."""
        for token in self.tokens:
            token.used = token.used and "perhaps"

    def is_uncertain(self, token):
        """Whether another rotation depends on a use that may be forgotten."""
        return bool(token.replaced_by) and token.replaced_by.used == "perhaps"

    def touched(self, token):
        """What is asked to be done with a token that is over ends it, whatever is believed."""
        if token.state == "active" and self.is_over(token):
            with self.together():
                self.expire(token)

    def n_active(self):
        return sum(t.state == "active" for t in self.tokens)

    # ---- what is made

    def room(self, owner):
        n = sum(t.state == "active" and t.owner == owner and not t.credential
                for t in self.tokens)
        return n < MAX_TOKENS

    def made(self, **facts):
        token = Token(created=self.now, **facts)
        self.tokens.append(token)
        if token.parent:
            token.parent.children.append(token)
        self.tell("derived" if token.parent else "issued", token)
        return token

    def issue(self, user, name, lifetime=None, scopes=None, uses=None, owner=None, bound=False):
        uid = self.uid(user) if owner is None else owner
        errors = set()
        if owner not in (None, self.uid(user)) and not self.is_admin(user):
            return Answer({"PermissionDenied"})
        if lifetime is not None and not MIN <= lifetime <= MAX:
            errors.add("LifetimeOutOfRange")
        if scopes is not None and not all(is_within_any(s, self.access(uid)) for s in scopes):
            errors.add("ScopeExceedsAccess")
        if uses is not None and uses < 1:
            errors.add("InvalidParameter")
        if not self.room(uid):
            errors.add("LimitReached")
        if errors:
            return Answer(errors)
        length = DEFAULT if lifetime is None else lifetime
        return Answer(token=self.made(owner=uid, name=name, scopes=scopes, uses=uses,
                                      holder=self.holder(user) if bound else None,
                                      expires=self.now + length))

    # ---- what is presented

    def judge(self, user, token):
        """The errors of Verify that come before scopes, of the very value."""
        allowed = self.policy["verify"]
        ended = token.state != "active" or self.is_over(token)
        if allowed is not None and self.uid(user) not in allowed and (
                ended or token.owner != self.uid(user)):
            return {"PermissionDenied"}
        self.touched(token)
        if token.state == "revoked":
            return {"TokenRevoked"}
        if token.state == "expired":
            return {"TokenExpired"}
        if token.holder not in (None, self.holder(user)):
            return {"WrongBearer"}
        return set()

    def not_a_token(self, user):
        allowed = self.policy["verify"]
        if allowed is not None and self.uid(user) not in allowed:
            return Answer({"PermissionDenied"})
        return Answer({"InvalidToken"})

    def reaches(self, token):
        access = reach(self.access(token.owner))
        return access if token.scopes is None else access & reach(token.scopes)

    def verify(self, user, token, scopes=()):
        if errors := self.judge(user, token):
            return Answer(errors)
        if not set(scopes) <= self.reaches(token):
            return Answer({"InsufficientScope"})
        token.used = True
        if token.uses is not None:
            token.uses -= 1
            if token.uses == 0:
                self.end(token, "revoked", "uses")
        return Answer(info=token, access=self.reaches(token))

    def derive(self, user, token, name, lifetime=None, scopes=None, uses=None, bound=False):
        if errors := self.judge(user, token):
            return Answer(errors)
        errors, rest = set(), token.expires - self.now
        if token.uses is not None:
            errors.add("InvalidParameter")
        if lifetime is not None and not 1 <= lifetime <= rest:
            errors.add("LifetimeOutOfRange")
        bounds = [self.access(token.owner)]
        if token.scopes is not None:
            bounds.append(token.scopes)
        if scopes is not None and not all(is_within_any(s, b) for s in scopes for b in bounds):
            errors.add("ScopeExceedsAccess")
        if not self.room(token.owner):
            errors.add("LimitReached")
        if errors:
            return Answer(errors)
        expires = token.expires if lifetime is None else self.now + lifetime
        return Answer(token=self.made(
            owner=token.owner, name=name, uses=uses, parent=token, expires=expires,
            scopes=token.scopes if scopes is None else scopes,
            holder=self.holder(user) if bound or token.holder else None))

    # ---- what is named by its id

    def list(self, user, owner=None, all=False, state=None, name=None):
        if not self.is_admin(user) and (all or owner not in (None, self.uid(user))):
            return Answer({"PermissionDenied"})
        owner = self.uid(user) if owner is None else owner
        return Answer(list=[
            t for t in reversed(self.tokens)
            if (all or t.owner == owner) and state in (None, t.state) and name in (None, t.name)])

    def describe(self, user, token):
        if not self.may_see(user, token):
            return Answer({"NoSuchToken"})
        return Answer(info=token)

    def revoke_by_id(self, user, token):
        if not self.may_see(user, token):
            return Answer({"NoSuchToken"})
        self.end(token, "revoked",
                 "owner" if token.owner == self.uid(user) else "administrator")
        return Answer(info=token)

    def revoke_by_value(self, user, token):
        self.end(token, "revoked", "presented")
        return Answer(info=token)

    def rotate(self, user, token, grace, lifetime=None):
        if not self.may_see(user, token):
            return Answer({"NoSuchToken"})
        self.touched(token)
        if token.state != "active":
            return Answer({"TokenExpired" if token.state == "expired" else "TokenRevoked"})
        errors, earlier = set(), token.replaced_by
        if earlier and earlier.state == "active":
            # It takes the place of one that nobody has used; one in use stands.
            if earlier.used or earlier.replaced_by or any(
                    t.state == "active" for t in earlier.children):
                return Answer({"InvalidParameter"})
        else:
            earlier = None
        rest = token.parent.expires - self.now if token.parent else None
        length = token.length if lifetime is None else lifetime
        if rest is not None and lifetime is None:
            length = min(length, rest)
        low, high = (1, rest) if token.parent else (MIN, MAX)
        if not low <= length <= high:
            errors.add("LifetimeOutOfRange")
        at_once = grace == 0 or token.uses is not None
        if not at_once and not earlier and not token.credential and not self.room(token.owner):
            errors.add("LimitReached")
        if errors:
            return Answer(errors)
        if earlier:
            self.end(earlier, "revoked", "rotated")
        new = self.made(owner=token.owner, name=token.name, scopes=token.scopes, uses=token.uses,
                        parent=token.parent, credential=token.credential, holder=token.holder,
                        expires=self.now + length)
        token.replaced_by = new
        self.tell("rotated", token)
        if at_once:
            self.end(token, "revoked", "rotated")
        else:
            self.cut(token, self.now + grace)
        return Answer(token=new, previous=token)

    def cut(self, token, end):
        """The grace: it and all below end then, if not before."""
        for part in [token, *token.below()]:
            if part.state == "active" and part.expires > end:
                part.expires = end
                part.cut = "parent" if part is not token else "own"

    # ---- credentials

    def may_fetch(self, user, credential):
        return self.uid(user) in self.policy["fetch"].get(credential, ())

    def put(self, user, text):
        if not self.is_admin(user):
            return Answer({"PermissionDenied"})
        self.held.value = text
        self.held.revision = (self.held.revision or 0) + 1
        self.tell("put", "held")
        return Answer(revision=self.held.revision)

    def forget(self, user):
        if not self.is_admin(user):
            return Answer({"PermissionDenied"})
        if self.held.value is not None:
            self.tell("forgotten", "held")
        self.held.value = None
        return Answer()

    def fetch(self, user, credential):
        if not self.may_fetch(user, credential):
            return Answer({"NoSuchCredential"})
        if credential == "minted":
            # Within what its owner may: in all the policies here it is.
            return Answer(minted=self.made(
                owner=self.minted_owner, name="minted", scopes=["acme/risk:read"],
                credential="minted", expires=self.now + MINTED_LENGTH))
        if self.held.value is None:
            return Answer({"CredentialEmpty"})
        return Answer(text=self.held.value, revision=self.held.revision)

    # ---- administration

    def reload(self, user, policy):
        """policy None: the files are wrong as they stand."""
        if not self.is_admin(user):
            return Answer({"PermissionDenied"})
        if policy is None:
            return Answer({"PolicyInvalid"})
        self.policy = self.policies[policy]
        self.tell("reloaded")
        return Answer()

    def administers(self, user):
        """Rekey and Backup: nothing becomes another."""
        return Answer(() if self.is_admin(user) else {"PermissionDenied"})

    def taken_in(self):
        """A reload that finds nothing new but a backup of what is there."""
        self.tell("reloaded")
        return Answer()

    def lock(self, user, passphrase):
        if not self.is_admin(user):
            return Answer({"PermissionDenied"})
        self.passphrase = passphrase
        self.tell("locked")
        return Answer()

    def unlock(self, user):
        if not self.is_admin(user):
            return Answer({"PermissionDenied"})
        if self.passphrase is None:
            return Answer({"NotLocked"})
        self.passphrase = None
        self.tell("unlocked")
        return Answer()
