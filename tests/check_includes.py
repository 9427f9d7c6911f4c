#!/usr/bin/env python3
"""The include-order test: a room includes itself and the rooms below it, nothing else; every room says what it is for.

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
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def offences(root):
    for room in list(ROOMS) + FREE:
        folder = os.path.join(root, room)
        if not os.path.isdir(folder):
            yield "%s: the room is missing" % room
            continue
        if room in ROOMS and not os.path.exists(os.path.join(folder, "README.md")):
            yield "%s: has no README.md that says what the room is for" % room
        for where, folders, files in os.walk(folder):
            for name in sorted(files):
                if not name.endswith((".c", ".h")):
                    continue
                path = os.path.join(where, name)
                shown = os.path.relpath(path, root)
                with open(path, encoding="utf-8") as f:
                    for number, line in enumerate(f, 1):
                        match = INCLUDE.match(line)
                        if match:
                            yield from check(root, room, shown, number, match.group(1))


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
        with open(os.path.join(root, "tests", "y.c"), "w") as f:
            f.write('#include "connect/rest.h"\n')
        os.unlink(os.path.join(root, "cdc", "README.md"))
        found = list(offences(root))
        assert len(found) == 3, found
    print("self-test ok")


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        sys.exit(0)
    found = list(offences(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    print("\n".join(found) if found else "every include goes down the order of the rooms")
    sys.exit(1 if found else 0)
