#!/usr/bin/env python3
"""The include-order test: a room includes itself and the rooms below it, nothing else; every room's README says what the
room is for and names every .c file in it; a file begins with a head that names it; no line is longer than 120 columns.

usage: check_includes.py [ROOT]      exit status 1 and a line per offence; 'check_includes.py --self-test' proves that it can fail."""
import os
import re
import sys
import tempfile

# Room: the rooms it may include. Only direct statements; `tools` and `tests` may use all.
ROOMS = {
    "base": [],
    "protocol": ["base"],
    "storage": ["base", "protocol"],
    "broker": ["base", "protocol", "storage"],
    "cdc": ["base", "protocol", "storage", "broker"],
    "http": ["base"],
    "connect": ["base", "protocol", "storage", "broker", "cdc", "http"],
}
FREE = ["tools", "tests"]
GENERATED = {"messages.h": "protocol", "api_handlers.h": "protocol"}
# Not asked for: the handlers, which are named by the API that they serve.
UNNAMED = ["broker/api"]
# Rooms whose files begin with "/* room/file.c: what it is for"; handlers begin with the name of their API.
HEADED = ["broker", "protocol", "cdc", "http", "connect", "tools"]
# Rooms whose comments are looked at too: clang-format breaks code, not comments.
NARROW = ["broker", "http", "protocol"]
COLUMNS_MAX = 120
WORD = re.compile(r"[A-Za-z0-9_]+")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def offences(root):
    for room in list(ROOMS) + FREE:
        folder = os.path.join(root, room)
        if not os.path.isdir(folder):
            yield "%s: the room is missing" % room
            continue
        if room != "tests":
            yield from check_readmes(root, folder)
        for where, folders, files in os.walk(folder):
            for name in sorted(files):
                if not name.endswith((".c", ".h")):
                    continue
                path = os.path.join(where, name)
                shown = os.path.relpath(path, root)
                with open(path, encoding="utf-8") as f:
                    for number, line in enumerate(f, 1):
                        if number == 1 and room in HEADED and not line.startswith(head_of(where, root, shown)):
                            yield '%s: does not begin with its head, "/* %s: what it is for"' % (shown, shown)
                        if room in NARROW and len(line.rstrip("\n")) > COLUMNS_MAX:
                            yield "%s:%d: longer than %d columns" % (shown, number, COLUMNS_MAX)
                        match = INCLUDE.match(line)
                        if match:
                            yield from check(root, room, shown, number, match.group(1))


def head_of(where, root, shown):
    handler = shown.endswith(".c") and os.path.relpath(where, root) in UNNAMED
    return "/* " if handler else "/* %s: " % shown


def check_readmes(root, room_folder):
    """The nearest README above a .c file must have its stem in backquotes, as `stem`, `stem.c`, `stem.h` or `folder/stem`."""
    if not os.path.exists(os.path.join(room_folder, "README.md")):
        yield "%s: has no README.md that says what the room is for" % os.path.relpath(room_folder, root)
        return
    for where, folders, files in os.walk(room_folder):
        if os.path.relpath(where, root) in UNNAMED:
            continue
        home = where
        while not os.path.exists(os.path.join(home, "README.md")):
            home = os.path.dirname(home)
        with open(os.path.join(home, "README.md"), encoding="utf-8") as f:
            named = {word for quoted in re.findall(r"`([^`\n]+)`", f.read()) for word in WORD.findall(quoted)}
        for name in sorted(files):
            shown = os.path.relpath(os.path.join(where, name), root)
            if name.endswith(".c") and name[:-2] not in named:
                yield "%s: not named in %s" % (shown, os.path.relpath(os.path.join(home, "README.md"), root))


def check(root, room, shown, number, included):
    target = included.split("/")[0] if "/" in included else GENERATED.get(included)
    if target is None or (target not in ROOMS and target not in FREE):
        yield '%s:%d: "%s" is not written from the root ("room/file.h")' % (shown, number, included)
    elif room in ROOMS and target != room and target not in ROOMS[room]:
        yield '%s:%d: room %s includes "%s", but may include only %s' % (
            shown, number, room, included, ", ".join(ROOMS[room] + [room]))


def self_test():
    with tempfile.TemporaryDirectory() as root:
        for room in list(ROOMS) + FREE:
            os.makedirs(os.path.join(root, room))
            open(os.path.join(root, room, "README.md"), "w").close()
        assert list(offences(root)) == []
        with open(os.path.join(root, "base", "x.c"), "w") as f:
            f.write('#include <stdio.h>\n#include "storage/io.h"\n#include "x.h"\n')
        for named in ("base/x", "broker/y"):
            with open(os.path.join(root, os.path.dirname(named), "README.md"), "w") as f:
                f.write("| `%s.h` | what |\n" % os.path.basename(named))
        os.makedirs(os.path.join(root, "broker", "api"))
        for silent in ("broker/y.c", "broker/api/z.c"):
            open(os.path.join(root, silent), "w").close()
        open(os.path.join(root, "base", "nameless.c"), "w").close()
        with open(os.path.join(root, "http", "README.md"), "w") as f:
            f.write("| `a`, `b` | what |\n")
        for name, first in (("a", "/* http/a.c: what it is for. */\n"), ("b", "int x;\n/* %s */\n" % ("x" * COLUMNS_MAX))):
            with open(os.path.join(root, "http", name + ".c"), "w") as f:
                f.write(first)
        with open(os.path.join(root, "tests", "y.c"), "w") as f:
            f.write('#include "connect/rest.h"\n')
        os.unlink(os.path.join(root, "cdc", "README.md"))
        found = list(offences(root))
        assert len(found) == 6, found
        assert [o for o in found if "columns" in o] == ["http/b.c:2: longer than 120 columns"], found
        assert [o for o in found if "head" in o] == ['http/b.c: does not begin with its head, "/* http/b.c: what it is for"'], found
        assert [o for o in found if "not named" in o] == [os.path.join("base", "nameless.c: not named in base", "README.md")], found
    print("self-test ok")


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        sys.exit(0)
    found = list(offences(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    print("\n".join(found) if found else "every include goes down the order of the rooms")
    sys.exit(1 if found else 0)
