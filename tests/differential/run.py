#!/usr/bin/python3
"""The same seeded random requests to a real Kafka 4.1 and to ottla, on the wire; their answers are compared field by field.

usage: tests/differential/run.py [--seeds N] [--first SEED] [--requests N] [--jobs N] [--keep-going] [--traces FOLDER]

A seed is one test. A difference is shown with the seed, the step, the request and both answers. Ends with 'N passed, N failed, N skipped'."""
import argparse
import concurrent.futures
import os
import random
import re
import signal
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."), os.path.dirname(os.path.abspath(__file__))]
import codec        # noqa: E402
import compare      # noqa: E402
import sequence     # noqa: E402
import sides        # noqa: E402
from lib.wait import TimedOut   # noqa: E402

# Asking these changes nothing: a difference is asked for again, as Kafka applies topics, configurations and ends of transactions a
# moment after it has acknowledged them.
READS = {"metadata", "fetch", "list_offsets", "describe_configs", "describe_groups", "list_groups", "describe_transactions", "list_transactions",
         "describe_producers", "describe_cluster", "describe_topic_partitions", "describe_log_dirs", "offset_fetch", "describe_client_quotas",
         "offset_for_leader_epoch", "find_coordinator"}
READ_AGAIN_S = 2
ended = threading.Event()


def versions_of(side):
    answer = side.ask("api_versions", 3, {"client_software_name": "differential", "client_software_version": "1"})
    return {r["api_key"]: (r["min_version"], r["max_version"]) for r in answer["api_keys"]}


def common_versions(apis, both):
    out = {}
    for name, api in apis.items():
        if all(api.key in v for v in both):
            low, high = max(v[api.key][0] for v in both), min(v[api.key][1] for v in both)
            if low <= high and name != "api_versions":
                out[name] = (low, high)
    return out


def compared(pair, answers, prefix):
    """The differences of one step's answers: [(api, version, request, path, reference's, ottla's)]."""
    out = []
    if len(answers[0]) != len(answers[1]):
        return [("step", 0, {}, "number of answers", [a[0] for a in answers[0]], [a[0] for a in answers[1]])]
    for theirs, ours in zip(*answers):
        api, version, request, _ = theirs
        made = [compare.plain(side, api, compare.only_mine(api, a[3], prefix)) for side, a in zip(pair, (theirs, ours))]
        out += [(api, version, request) + d for d in compare.differences(*made) if not compare.may_differ(api, *d)]
    return out


def run_seed(seed, given, apis, versions, ports):
    """(texts of the differences, number of requests)."""
    trace = []
    found, count = run_steps(seed, given, apis, versions, ports, trace)
    if found and given.traces:
        os.makedirs(given.traces, exist_ok=True)
        with open(os.path.join(given.traces, "seed-%d" % seed), "w") as f:
            f.write("\n".join(trace + found) + "\n")
    return found, count


def run_steps(seed, given, apis, versions, ports, trace):
    pair = [sides.Side(name, port, apis) for name, port in ports]
    drawn = sequence.Sequence(seed, random.Random(seed), versions, given.jobs == 1)
    found_all, count, number = [], 0, 0
    try:
        while count < given.requests and not ended.is_set():
            number += 1
            name, step = drawn.next()
            answers = []
            for side in pair:
                try:
                    answers.append(step(side))
                except TimedOut as e:
                    return found_all + ["seed %d, step %d (%s): %s" % (seed, number, name, e)], count
                except codec.CutShort as e:
                    return found_all + ["seed %d, step %d (%s): the answer of %s does not decode: %s" % (seed, number, name, side.name, e)], count
            found = compared(pair, answers, drawn.prefix)
            again_until = time.monotonic() + READ_AGAIN_S
            while found and answers[0] and all(a[0] in READS for a in answers[0]) and time.monotonic() < again_until and name != "fetch_session":
                answers = [step(side) for side in pair]
                found = compared(pair, answers, drawn.prefix)
            count += max(1, len(answers[0]))
            if hasattr(step, "learn"):
                step.learn(pair[0])
            trace.append("%d %s %s" % (number, name, [a[:3] for a in answers[0]]))
            trace += ["    %-8s %.2000s" % (side.name, [a[3] for a in given]) for side, given in zip(pair, answers)]
            for api, version, request, path, theirs, ours in found:
                found_all.append("seed %d, step %d (%s): %s v%d %s\n    request  %.600s\n    Kafka    %.400s\n    ottla    %.400s" % (
                    seed, number, name, api, version, path, request, theirs, ours))
            if found and not given.keep_going:
                break  # what follows a difference may follow from it
    finally:
        for side in pair:
            drawn.clean(side)
            side.close()
    return found_all, count


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seeds", type=int, default=20)
    arguments.add_argument("--first", type=int, default=1)
    arguments.add_argument("--requests", type=int, default=200)
    arguments.add_argument("--jobs", type=int, default=1, help="as many seeds at the same time; more than one leave alone what is everybody's")
    arguments.add_argument("--traces", help="a folder for all steps of each seed that fails")
    arguments.add_argument("--keep-going", action="store_true", help="past the first difference of a seed; ends with each kind once")
    arguments.add_argument("--kafka", type=int, help="port of a Kafka that runs already")
    given = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())  # what is done by then is told, and both brokers are stopped
    apis = codec.load()
    kafka = None
    try:
        kafka = None if given.kafka else sides.Kafka()
    except sides.clients.Missing as e:
        print("skip  differential test: %s" % e)
        print("0 passed, 0 failed, 1 skipped")
        return 0
    passed = failed = total = 0
    kinds = {}
    try:
        with sides.Ottla(sides.ottla_options()) as ottla:
            ports = [("Kafka", given.kafka or kafka.port), ("ottla", ottla.kafka_port)]
            ready = [sides.Side(name, port, apis) for name, port in ports]
            for side in ready:
                sides.wait_ready(side)
                side.ask("update_features", 1, {"timeout_ms": 10000, "feature_updates": [{"feature": "share.version", "max_version_level": 1}]})
            versions = common_versions(apis, [versions_of(side) for side in ready])
            with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
                running = {pool.submit(run_seed, seed, given, apis, versions, ports): seed
                           for seed in range(given.first, given.first + given.seeds)}
                for done in concurrent.futures.as_completed(running):
                    found, count = done.result()
                    if ended.is_set():
                        continue  # it was cut short, or not begun
                    total += count
                    passed, failed = passed + (not found), failed + bool(found)
                    for text in found if given.keep_going else found[:3]:
                        kind = re.sub(r"^seed \d+, step \d+|\[\d+\]|\n.*request.*|d\d+-\d+-", "", text)
                        kinds[kind] = kinds.get(kind, 0) + 1
                        if kinds[kind] == 1:
                            print(text)
                    if ottla.process.poll() is not None:
                        print("seed %d: ottla ended: %s" % (running[done], ottla.log()))
                        failed += 1
                        ended.set()
                    sys.stdout.flush()
    finally:
        if kafka:
            kafka.stop()
    print("%d sequences, %d requests compared" % (passed + failed, total))
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
