"""Two answers to the same request, made comparable: what each broker chooses by itself becomes a name, what may differ goes.

Whatever may differ stands in EXCEPTIONS with its reason; everything else has to be equal, field by field."""
import json
import re
import time
import uuid
import zlib

import batch

# Rows: api (regular expression), path of the field (likewise, whole), reason. The field is left out on both sides.
IGNORED = [
    (".*", r".*throttle_time_ms", "how busy a broker is"),
    (".*", r".*(error_message|errormessage|batch_index_error_message)", "texts for people; the codes are compared"),
    (".*", r".*(host|port|rack)", "where the broker listens"),
    (".*", r".*(cluster_id)", "made by each broker"),
    ("fetch", r"session_id", "made by each broker; that there is one is what `learned` shows"),
    ("describe_log_dirs", r".*(log_dir|partition_size|total_bytes|usable_bytes)", "the disk of each broker"),
    ("describe_producers", r".*(last_timestamp|coordinator_epoch)", "times; counts of elections"),
    ("describe_transactions", r".*transaction_start_time_ms", "times"),
    ("(produce|fetch)", r".*log_append_time_ms", "times"),
    ("share_group_describe", r".*_epoch", "a share group's are raised when the state of its partitions has been made, which may come before or after the join"),
    ("describe_topic_partitions", r".*(eligible_leader_replicas|last_known_elr)", "one broker has no others that could be eligible: null and empty mean the same"),
]


GZIP = 1
NOBODY = 987654321  # a producer id that neither broker reaches
NOW_S = 86400  # a time so near was made by the broker; those of requests are far away


def records(side, data):
    """The whole batches. A part of a batch at the end is Kafka's way to reach the byte limit; clients drop it."""
    out, symbols = [], side.symbols
    for found in batch.whole(data or b""):
        found = dict(found, producer_epoch=epoch_of(side, found), producer_id=symbols.get(("producer_id", found["producer_id"]), found["producer_id"]), leader_epoch=0)
        if found["attributes"] & 8:
            found["max_timestamp"] = "the time of the append"
        if found["attributes"] & 32:  # the marker's coordinator epoch counts elections
            found["records"] = b"marker " + found["records"][7:8]
            found["first_timestamp"] = found["max_timestamp"] = "the time of the end"
        if found["attributes"] & 7 == GZIP and found["crc_right"]:
            found["records"] = unpacked(found["records"])
        out.append(found)
    return out


def unpacked(data):
    """What a gzip block holds: its header names the system and the library that packed it, which may be the broker."""
    try:
        return zlib.decompress(data, 31)
    except zlib.error:
        return data


BESIDE_OTHERS = "Kafka asks its coordinator for several at once, and answers all in the words of the version of the first of them"
SAME = [  # api, path, Kafka's, ottla's, reason
    ("produce", r".*error_code", -1, 76, "an unknown codec: Kafka's is an exception that nobody caught, ottla names the cause"),
    ("produce|txn_offset_commit", r".*error_code", 48, 120, BESIDE_OTHERS),
    ("produce|txn_offset_commit", r".*error_code", 120, 48, BESIDE_OTHERS),
    ("produce", r".*record_errors", None, None, "Kafka names all records that are wrong, ottla the first four"),
]


def may_differ(api, path, theirs, ours):
    """Is it a difference that SAME has?"""
    return any(re.fullmatch(a, api) and re.fullmatch(p, path) and (k is None or (theirs, ours) == (k, o)) for a, p, k, o, _ in SAME)


def own_default(entry):
    """A topic option whose default is ottla's own: all ottla.*, and flush.ms, which is what an acknowledgement promises (docs/protocol-kafka.md)."""
    name = entry.get("name")
    return isinstance(name, str) and (name.startswith("ottla.") or name == "flush.ms" and entry.get("config_source") == 5 or
                                      name == "log.flush.interval.ms" and entry.get("source") == 5)


IDENTITY = ("name", "topic", "topic_name", "topic_id", "partition_index", "partition", "partition_id", "group_id", "member_id", "config_name",
            "resource_name", "transactional_id", "key", "node_id", "base_offset")


def order(value):
    """A struct's place among its like: by what names it, then by all the rest."""
    return json.dumps([value.get(k) for k in IDENTITY], default=repr), json.dumps(value, default=repr, sort_keys=True)


def epoch_of(side, value):
    """Which of the epochs that its producer was given. Their numbers differ: an abort by a new instance bumps ottla's by two in
    transactions of version 2, so that a late EndTxn of who was fenced is not taken for a repeat; Kafka's by one."""
    given = side.epochs.get(value.get("producer_id"), [])
    epoch = value["producer_epoch"]
    if not given or epoch < 0:
        return epoch
    before = [e for e in given if e <= epoch]
    return "epoch %d" % len(before) if epoch in given else "after epoch %d" % len(before)


def plain(side, api, value, path="", seed_prefix=""):
    """The answer with names for what the side chose; None at fields that are left out is dropped by the caller."""
    if isinstance(value, dict):
        out = {}
        for name, inner in value.items():
            where = "%s.%s" % (path, name) if path else name
            if any(re.fullmatch(a, api) and re.fullmatch(p, where) for a, p, _ in IGNORED):
                continue
            out[name] = plain(side, api, inner, where, seed_prefix)
        if "producer_epoch" in value:
            out["producer_epoch"] = epoch_of(side, value)
        return out
    if isinstance(value, list):
        value = [v for v in value if not (isinstance(v, dict) and own_default(v))]
        inner = [plain(side, api, v, path, seed_prefix) for v in value]
        # In which order a broker names topics, partitions and members is that of its own tables.
        if api == "describe_transactions" and inner and isinstance(inner[0], int):
            return sorted(inner)
        return sorted(inner, key=order) if inner and isinstance(inner[0], dict) else inner
    last = path.rsplit(".", 1)[-1]
    if last == "records":
        return records(side, value)
    if isinstance(value, uuid.UUID):
        return side.symbols.get(("topic_id", value), "no id" if value.int == 0 else "an id")
    if last == "producer_id":
        return side.symbols.get(("producer_id", value), "an id" if value not in (-1, NOBODY) else value)
    if last in ("member_id", "leader") and isinstance(value, str):
        return side.symbols.get(("member", value), "a member" if len(value) > 36 else value)
    if last == "timestamp" and abs(value / 1000 - time.time()) < NOW_S:
        return "the time of the append"
    if isinstance(value, bytes):
        return value.hex()
    return value


def by_topic(responses):
    """A topic's partitions in one place: Kafka names first what it refused, then the rest, and the topic again."""
    out = {}
    for r in responses:
        name = r.get("topic_id", r.get("topic"))
        out.setdefault(name, dict(r, partitions=[]))["partitions"] += r["partitions"]
    return list(out.values())


def only_mine(api, value, prefix):
    """Lists of everything (groups, transactions) are cut to what this seed made; other seeds' things come and go."""
    if value.get("closed"):
        return value
    if api == "fetch" and "responses" in value:
        value = dict(value, responses=by_topic(value["responses"]))
    for key, name in (("groups", "group_id"), ("transaction_states", "transactional_id"), ("config_resources", "resource_name")):
        if api in ("list_groups", "list_transactions", "list_config_resources") and key in value:
            value = dict(value, **{key: [v for v in value[key] if v[name].startswith(prefix)]})
    return value


def differences(a, b, path=""):
    """[(path, a's, b's)]"""
    if type(a) is not type(b):
        return [(path, a, b)]
    if isinstance(a, dict):
        out = []
        for name in sorted(set(a) | set(b)):
            where = "%s.%s" % (path, name) if path else name
            if name not in a or name not in b:
                out.append((where, a.get(name, "(absent)"), b.get(name, "(absent)")))
            else:
                out += differences(a[name], b[name], where)
        return out
    if isinstance(a, list):
        if len(a) != len(b):
            return [(path, [x for x in a if x not in b], [y for y in b if y not in a])]  # what only one of them has
        return [d for i, (x, y) in enumerate(zip(a, b)) for d in differences(x, y, "%s[%d]" % (path, i))]
    return [] if a == b else [(path, a, b)]
