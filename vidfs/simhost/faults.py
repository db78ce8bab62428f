"""What goes wrong on purpose, and when.

A rule is `DIALECT|*:CALL|*:ACTION[=ARG][:nth=N|:every=N|:times=N|:after=N|:p=F]…`.
CALL is the API path ("file/list"), "upload" for the POST to a node, "download" for media.

Actions:
    drop-before     the connection closes before anything is done
    drop-after      the work is done, then the connection closes without an answer
    drop-at=BYTES   uploads and downloads: closes after so many bytes of the body
    hang            never answers (the work is not done)
    status=N        JSON status N (media: HTTP status N); the work is not done
    http=N          HTTP status N with a page of HTML; the work is not done
    html            HTTP 200 with a page of HTML instead of the answer; the work is done
    plain           HTTP 520 with a line of text, as an edge server does; work not done
    truncate        the work is done, half of the answer arrives, with its full length
    cut             the work is done, the answer is valid HTTP but half of the JSON
    slow=MS         so much later; a download: so long before each MiB
    string-status   the JSON status as a string
    undef           upload: answers "OK" and the code "undef", stores nothing
    lose            upload: answers as if all were well, stores nothing
    refuse=TEXT     upload: the readable refusal TEXT, stores nothing
    too-many        {"msg":"Too Many Requests","status":"429"}
    too-many-http   the same with HTTP 429 and Retry-After: 1
    wait=S          403 "wait S more seconds" (OpenLoad family)
    bandwidth       status 509 with a null result
    captcha         dlticket: asks for one; dl: "Captcha not solved correctly"
    ignore-range    download: the whole file with HTTP 200 whatever range was asked
    expire          download: the link has expired

Counting is per rule and deterministic. `nth=N`: the N-th matching request only (with
`times=M`: M of them from there on); `every=N`: each N-th; `times=N`: the first N;
`after=N`: all but the first N; `p=F`: with probability F, from a fixed seed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

ACTIONS = frozenset(
    """drop-before drop-after drop-at hang status http html plain truncate cut slow
    string-status undef lose refuse too-many too-many-http wait bandwidth captcha ignore-range
    expire""".split()
)


@dataclass(slots=True)
class Rule:
    text: str
    dialect: str
    call: str
    action: str
    arg: str
    nth: int = 0
    every: int = 0
    times: int = 0
    after: int = 0
    p: float = 1.0
    seen: int = 0
    fired: int = 0
    dice: random.Random = field(default_factory=lambda: random.Random(1))

    def fires(self) -> bool:
        """Count one matching request; is it this rule's turn?"""
        self.seen += 1
        if self.seen <= self.after:
            return False
        if self.nth and self.seen < self.nth:
            return False
        if self.every and self.seen % self.every:
            return False
        times = self.times or (1 if self.nth else 0)
        if times and self.fired >= times:
            return False
        if self.p < 1.0 and self.dice.random() >= self.p:
            return False
        self.fired += 1
        return True


def parse_rule(text: str) -> Rule:
    """Errors: ValueError, naming the rule."""
    parts = text.split(":")
    if len(parts) < 3:
        raise ValueError(f"fault rule {text!r}: DIALECT:CALL:ACTION expected")
    action, _, arg = parts[2].partition("=")
    if action not in ACTIONS:
        raise ValueError(f"fault rule {text!r}: unknown action {action!r}")
    rule = Rule(text, parts[0], parts[1], action, arg)
    for part in parts[3:]:
        name, _, value = part.partition("=")
        if name in ("nth", "every", "times", "after"):
            setattr(rule, name, int(value))
        elif name == "p":
            rule.p = float(value)
        else:
            raise ValueError(f"fault rule {text!r}: unknown condition {name!r}")
    return rule


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def add(self, text: str) -> None:
        self.rules.append(parse_rule(text))

    def clear(self) -> None:
        self.rules.clear()

    def pick(self, dialect: str, call: str) -> dict[str, str]:
        """Actions (and their arguments) for one request; counts it on every matching rule."""
        if not self.rules:
            return {}
        return {
            rule.action: rule.arg
            for rule in self.rules
            if rule.dialect in ("*", dialect) and rule.call in ("*", call) and rule.fires()
        }
