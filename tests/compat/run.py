#!/usr/bin/python3
"""Real, unmodified clients against ottla.

usage: tests/compat/run.py [--quick] [--results FILE] [--table FILE] [PATTERN]

PATTERN: a regular expression of client names; --quick: what CI runs. --table writes the page of results (docs/compatibility.md).
--results: adds each row's result to a file as soon as it is there, and the table has what earlier runs left in it too (a row's last
result counts): all rows take long, and can so be run in parts. With the pattern '^$' nothing runs, and the table is written.
Ends with 'N passed, N failed, N skipped', where a feature of a client is one test."""
import argparse
import datetime
import json
import os
import re
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import clients   # noqa: E402
import rows      # noqa: E402

SHOWN_LINES = 25  # of a client whose feature failed


def results_of(row):
    """What its row came to: {feature: (ok|FAIL|skip, why)}, version, notes, the client's last lines."""
    out = rows.Lines(row.timeout_s)
    try:
        row.run(out)
    except clients.Missing as e:
        return {feature: ("skip", str(e)) for feature in row.features}, None, [], []
    except Exception as e:
        out.line("%s: %s" % (type(e).__name__, e))
    for feature in row.features:
        if feature not in out.results:
            out.results[feature] = ("FAIL", "no result: " + (out.text[-1] if out.text else "nothing was printed"))
    for feature in out.results:
        if feature not in row.features:
            out.results[feature] = ("FAIL", "a feature that the row does not name")
    return out.results, out.version, out.notes, out.text


def table(done):
    """The page: a row for each client, a column for each feature that more than one client has, the others by name."""
    count = {}
    for row in done:
        for feature in row["results"]:
            count.setdefault(feature, set()).add(row["client"])
    columns = [f for f in count if len(count[f]) > 1]
    lines = ["# What was run against ottla", "",
             "Written by `tests/compat/run.py --table`: unmodified clients, each against a broker of its own; %s, %d s in all."
             % (" and ".join(sorted({row["day"] for row in done})), sum(row["seconds"] for row in done)),
             "What each feature checks stands in `tests/compat/README.md` and in the drivers. yes: all its checks passed; no: one",
             "failed; skip: what it needs is not on the machine and could not be fetched; empty: the client has no such thing, or no",
             "driver of ours asks for it. A client that is not named was not run.", ""]
    by_client = {}
    for row in done:
        entry = by_client.setdefault(row["client"], ({}, [], []))
        entry[0].update(row["results"])
        entry[1].extend([row["version"]] if row["version"] and row["version"] not in entry[1] else [])
        entry[2].extend(row["notes"])
    word = {"ok": "yes", "FAIL": "**no**", "skip": "skip"}
    lines += ["| client | version | %s | besides |" % " | ".join(columns), "|---" * (len(columns) + 3) + "|"]
    for client, (results, versions, notes) in by_client.items():
        cells = [word[results[c][0]] if c in results else "" for c in columns]
        besides = ["%s: %s" % (f, word[r[0]]) for f, r in results.items() if f not in columns] + notes
        lines.append("| %s | %s | %s | %s |" % (client, ", ".join(versions), " | ".join(cells), "; ".join(besides)))
    problems = ["- %s, %s: %s" % (client, f, r[1]) for client, e in by_client.items() for f, r in e[0].items() if r[0] != "ok"]
    return "\n".join(lines + (["", "## Not passed", ""] + problems if problems else [])) + "\n"


def kept(path):
    """The last result of each row, by client and features, in the order of rows.py; rows that are no more are left out."""
    last = {}
    with open(path) as f:
        for line in f:
            entry = json.loads(line)
            last[entry["client"], " ".join(sorted(entry["results"]))] = entry
    keys = [(row.client, " ".join(sorted(row.features))) for row in rows.ROWS]
    return [last[key] for key in keys if key in last]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--results")
    arguments.add_argument("--table")
    arguments.add_argument("pattern", nargs="?", default="")
    given = arguments.parse_args()
    chosen = [r for r in rows.ROWS if re.search(given.pattern, r.client) and (r.quick or not given.quick)]
    passed = failed = skipped = 0
    done = []
    for row in chosen:
        begun = time.monotonic()
        results, version, notes, text = results_of(row)
        print("%s %s (%d s)" % (row.client, version or "", time.monotonic() - begun))
        for feature, (word, why) in results.items():
            # `skip CLIENT` at the begin of a line is what tests/run lists at its end.
            print("skip  %s: %s: %s" % (row.client, feature, why) if word == "skip" else
                  "  %-5s %s%s" % (word, feature, ": " + why if why else ""))
        for note in notes:
            print("        " + note)
        words = [word for word, _ in results.values()]
        passed, failed, skipped = passed + words.count("ok"), failed + words.count("FAIL"), skipped + words.count("skip")
        if "FAIL" in words:
            print("\n".join("      | " + line[:300] for line in text[-SHOWN_LINES:]))
        sys.stdout.flush()
        done.append({"client": row.client, "results": results, "version": version, "notes": notes, "seconds": time.monotonic() - begun,
                     "day": datetime.date.today().isoformat()})
        if given.results:
            with open(given.results, "a") as f:
                f.write(json.dumps(done[-1]) + "\n")
    if given.table:
        with open(given.table, "w") as f:
            f.write(table(kept(given.results) if given.results else done))
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed or not (chosen or given.table) else 0


if __name__ == "__main__":
    sys.exit(main())
