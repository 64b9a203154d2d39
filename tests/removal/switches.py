"""Makes every check a switch: one build from which the environment takes any one of them out.

A function in which checks stand becomes a choice between its own body and, for each check, a body without it:

    fn f(…) -> … { if crate::removed("scan: bytes") { …without… } else { …as it is… } }
"""

import re

# What the copy's library gets: the name of the check that is taken out.
SWITCH = """
#[allow(missing_docs)]
pub fn removed(name: &str) -> bool {
    static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    NAME.get_or_init(|| std::env::var("USHER_REMOVED").ok()).as_deref() == Some(name)
}
"""

# What is no code, and must not be searched for braces: comments, strings, characters (not lifetimes).
OPAQUE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\(?:x..|u\{[^}]*\}|.)|[^'\\\n])'""",
    re.S,
)


def blanked(text):
    """The text with everything opaque replaced by blanks, so that places stay the same."""
    return OPAQUE.sub(lambda found: re.sub(r"[^\n]", " ", found.group(0)), text)


def bodies(text):
    """Start and end of the body of every function, without its braces."""
    code = blanked(text)
    found = []
    for head in re.finditer(r"\bfn\s+\w+", code):
        depth, at = 0, head.end()
        # Up to the brace that opens the body; a declaration without one ends with a semicolon.
        while depth or code[at] not in "{;":
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(code[at], 0)
            at += 1
        if code[at] == ";":
            continue
        start, depth = at + 1, 1
        while depth:
            at += 1
            depth += {"{": 1, "}": -1}.get(code[at], 0)
        found.append((start, at))
    return found


def switched(text, checks):
    """The text of a file in which each of `checks` (name, what stands there, what instead) is a switch."""
    by_body = {}
    all_bodies = bodies(text)
    for name, before, after in checks:
        if text.count(before) != 1:
            raise SystemExit(f"{name}: what should be changed stands {text.count(before)} times in its file")
        at = text.index(before)
        inside = [(start, end) for start, end in all_bodies if start <= at and at + len(before) <= end]
        if not inside:
            raise SystemExit(f"{name}: it stands in no function")
        by_body.setdefault(max(inside), []).append((name, before, after))
    for (start, end), found in sorted(by_body.items(), reverse=True):
        body = text[start:end]
        choice = "".join(
            f'if crate::removed("{name}") {{{body.replace(before, after)}}} else ' for name, before, after in found
        )
        text = f"{text[:start]}{choice}{{{body}}}{text[end:]}"
    return text
