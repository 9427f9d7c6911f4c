"""The long rows of the Java software: every call of Admin, held against a real Kafka's answers."""
import os
import re
import sys

import clients
from lib.ottla import Ottla
from rows import Lines, finish, row

sys.path.append(os.path.join(clients.HERE, "..", "differential"))
import sides                            # noqa: E402

KAFKA_HEAP = "256m"
AUTHORIZED = {"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS"}

# -- every call of Admin --

# What may differ between the answers of Kafka and of ottla: a pattern of the call and why. Anything else that differs has failed.
ADMIN_DIFFERENCES = {
    r"configs (topic|plain) flush\.ms|topics create, the topic's configuration flush\.ms": "an acknowledged record is on disk within a second",
    r"(configs (topic|broker|plain)|topics create, the topic's configuration) ottla\.": "options of ottla's own",
    r"configs broker connect\.(debezium\.version|listeners)": "options of ottla's own",
    r"configs broker (listeners|listener\.security\.protocol\.map|num\.network\.threads)": "read at the start",
    r"configs broker super\.users": "an option of the authorizer's, which Kafka does not know the type of",
    r"cluster unregister an unknown broker": "there is one broker",
    r"features describe (kraft|eligible\.leader\.replicas)\.version": "features of a quorum",
    r"transactions abort with a wrong epoch": "Kafka has no error of its own for it",
    r"share_groups alter offsets": "Kafka 4.1 answers without doing anything, which its client does not understand",
}


def answers(lines):
    """{what was called: its answer}"""
    return dict(line[len("call "):].split(": ", 1) for line in lines if line.startswith("call "))


@row("Java Admin 4.1, every call, answers as Kafka's", "topics records configs log_dirs cluster acls quotas scram tokens transactions "
     "groups features share_groups streams_groups client every_method", timeout_s=400)
def admin_calls(out):
    command = clients.java("clients41", "AdminCalls") + ["AdminCalls"]
    reference = Lines(out.timeout_s)
    kafka = sides.Kafka(KAFKA_HEAP)
    try:
        side = sides.Side("Kafka", kafka.port, sides.codec.load())
        sides.wait_ready(side)
        side.close()
        reference.program(command + ["127.0.0.1:%d" % kafka.port, "compat"])
    finally:
        kafka.stop()
    with Ottla(dict(sides.ottla_options(), **AUTHORIZED)) as ottla:
        out.program(command + [ottla.bootstrap, "compat"])
        finish(out, ottla)
    want, got = answers(reference.text), answers(out.text)
    differ = [call for call in sorted(set(want) | set(got)) if want.get(call) != got.get(call)]
    for call in differ:
        if not any(re.match(pattern, call) for pattern in ADMIN_DIFFERENCES):
            out.line("FAIL %s: %s: Kafka %s, ottla %s" % (call.split()[0], call, want.get(call), got.get(call)))
    out.line("note %d answers compared with those of Kafka 4.1, %d differ as java_rows.py says" % (len(want), len(differ)))
