"""Further steps of a sequence: static members, groups of KIP-848, share groups, access lists, quotas, SCRAM, configurations of groups and
of client metrics, features, markers, and whole-picture requests. They use names that no step of sequence.py does, so that both kinds of
steps may be drawn in any order."""
import base64
import uuid

from compare import NOBODY
from sides import CLOSED, Ref
from lib.wait import until

SETTLE_TIMEOUT_S = 60

GROUP_ASSIGNORS = (None, None, "uniform", "range", "nonsense", "")
GROUP, CLIENT_METRICS = 32, 16
SALT, SALTED = b"salt" * 4, b"0123456789abcdef" * 2


def given_id(random):
    """A member's id: its client makes it, so that it is the same on both sides. (Kafka's Uuid as text has 22 characters.)"""
    return str(uuid.UUID(int=random.getrandbits(128)))


class Wider:
    """Mixed into Sequence: uses its draws, its names, and one()."""

    # -- static members of classic groups --

    def static_member(self):
        """One instance of a group of its own joins, is replaced by itself, and says things under its names, right ones and wrong ones.
        (A second instance would make each answer wait for the other.)"""
        group = self.prefix + "s%d" % self.random.randrange(2)
        slot, old = group + "/now", group + "/old"
        protocols = [{"name": "range", "metadata": self.subscription()}]
        plan = []
        for _ in range(self.random.randint(2, 6)):
            instance = self.rarely(self.pick(None, "other", ""), "i0", 5)
            member = self.pick(Ref("member", slot), Ref("member", slot), Ref("member", old), self.rarely("nobody", "", 3))
            generation = self.rarely(self.pick(-1, 99), Ref("generation", group), 5)
            plan.append((self.pick("join", "join", "sync", "heartbeat", "commit", "leave", "describe"), instance, member, generation,
                         self.random.choice([0, 0, 0, 1])))
        versions = {api: max(self.version(api), low) for api, low in
                    (("join_group", 5), ("sync_group", 3), ("heartbeat", 3), ("leave_group", 3), ("offset_commit", 7), ("describe_groups", 0))}
        topic = self.there()

        def run(side):
            out = []

            def ask(api, values):
                answer = side.ask(api, versions[api], side.resolve(values, self.missing()), group)
                out.append((api, versions[api], values, answer))
                return answer

            def join(values):
                answer = ask("join_group", values)
                if answer is not CLOSED and answer["error_code"] == 0:
                    if ("member", slot) in side.values and side.values["member", slot] != answer["member_id"]:
                        side.know("member", old, side.values["member", slot])
                    side.know("member", slot, answer["member_id"])
                    side.know("generation", group, answer["generation_id"])
                    # Who joined syncs, or every later join would wait for it.
                    mine = [{"member_id": answer["member_id"], "assignment": b"x"}] if answer["leader"] == answer["member_id"] else []
                    ask("sync_group", {"group_id": group, "generation_id": answer["generation_id"], "member_id": Ref("member", slot),
                                       "group_instance_id": "i0", "protocol_type": "consumer", "protocol_name": "range", "assignments": mine})
            for what, instance, member, generation, simple in plan:
                if what == "join":
                    # Without the instance, or under another one, it would be a second member.
                    join({"group_id": group, "session_timeout_ms": 30000, "rebalance_timeout_ms": 30000, "protocol_type": "consumer",
                          "protocols": protocols, "group_instance_id": "i0", "member_id": member if not simple else ""})
                elif what == "sync":
                    ask("sync_group", {"group_id": group, "generation_id": generation, "member_id": member, "group_instance_id": instance,
                                       "protocol_type": "consumer", "protocol_name": "range"})
                elif what == "heartbeat":
                    ask("heartbeat", {"group_id": group, "generation_id": generation, "member_id": member, "group_instance_id": instance})
                elif what == "commit":
                    ask("offset_commit", {"group_id": group, "generation_id_or_member_epoch": generation, "member_id": member, "group_instance_id": instance,
                                          "topics": [{"name": topic, "partitions": [{"partition_index": 0, "committed_offset": 3, "committed_metadata": "s"}]}]})
                elif what == "leave":
                    ask("leave_group", {"group_id": group, "members": [{"member_id": member, "group_instance_id": instance}]})
                else:
                    ask("describe_groups", {"groups": [group]})
            return out
        return run

    # -- groups of KIP-848 and share groups --

    def own_topic(self, side):
        """The topic of these groups: no other step changes it, so that no group waits for news of it."""
        name = self.prefix + "own"
        if ("topic_id", name) not in side.values:
            side.ask("create_topics", 5, {"topics": [{"name": name, "num_partitions": 3, "replication_factor": 1}], "timeout_ms": 10000})
            self.settle_topic(side, name, True, 3)
            for group in [self.prefix + "k0", self.prefix + "k1"]:
                self.settle_group(side, group, name)
        return name

    def settle_group(self, side, group, topic):
        """Until the group's coordinator assigns the topic: Kafka's hears of it a moment after Metadata shows it. No group is left."""
        member = str(uuid.UUID(int=1))

        def beat(epoch):
            return side.ask("consumer_group_heartbeat", 1, {"group_id": group, "member_id": member, "member_epoch": epoch, "rebalance_timeout_ms": 30000,
                                                            "subscribed_topic_names": [topic], "topic_partitions": []})

        def assigned():
            found = beat(0)["assignment"]
            beat(-1)
            return found and len(found["topic_partitions"]) == 1
        until("%s: %s is assigned" % (side.name, topic), assigned, SETTLE_TIMEOUT_S, 0.01)
        side.ask("delete_groups", 2, {"groups_names": [group]})

    def member_of(self, kind):
        """(group, its member's id): three members to each of two groups."""
        group = self.prefix + "%s%d" % (kind, self.random.randrange(2))
        members = self.new_members.setdefault(group, [given_id(self.random) for _ in range(3)])
        return group, self.rarely(given_id(self.random), self.random.choice(members), 25)

    def consumer_heartbeat(self):
        """A member of a KIP-848 group joins, goes on, acknowledges, leaves, or is wrong. What it was assigned is remembered."""
        group, member = self.member_of("k")
        version = self.version("consumer_group_heartbeat")
        kind = self.random.randrange(12)
        names = self.rarely(self.pick([], None, [self.prefix + "none"]), [self.prefix + "own"], 6)
        # (In version 0 the broker would name who joins without an id.)
        values = {"group_id": self.rarely("", group, 40), "member_id": self.rarely("" if version > 0 or kind > 2 else member, member, 30)}
        if kind <= 2:
            values.update(member_epoch=0, rebalance_timeout_ms=self.rarely(-1, 30000, 12), subscribed_topic_names=names,
                          topic_partitions=self.rarely(None, [], 12), server_assignor=self.rarely(self.random.choice(GROUP_ASSIGNORS), None, 3),
                          instance_id=self.rarely(self.pick("", "j0"), None, 8), rack_id=self.rarely(self.pick("", "r"), None, 8))
        elif kind <= 7:
            values.update(member_epoch=Ref("generation", member, self.rarely(self.pick(-1, 1, 5), 0, 8)))
            if self.random.randrange(2):  # what it was told is what it has
                values.update(topic_partitions=Ref("owned", member))
            if self.random.randrange(4) == 0:
                values.update(rebalance_timeout_ms=30000, subscribed_topic_names=names)
            if self.random.randrange(10) == 0:
                values.update(server_assignor=self.random.choice(GROUP_ASSIGNORS))
        elif kind <= 9:
            values.update(member_epoch=-1)
        else:
            values.update(member_epoch=self.pick(-2, -3, 7))

        def run(side):
            self.own_topic(side)
            given = side.resolve(values, self.missing())
            if given["member_epoch"] == 0 and side.values.get(("generation", member), 0) > 0:
                return []  # it has joined: see README.md
            answer = side.ask("consumer_group_heartbeat", version, given)
            if answer is not CLOSED and answer["error_code"] == 0:
                side.know("generation", member, max(answer["member_epoch"], 0))
                if answer["assignment"] is not None:
                    side.know("owned", member, answer["assignment"]["topic_partitions"])
            return [("consumer_group_heartbeat", version, values, answer)]
        return run

    def consumer_describe(self):
        groups = sorted({self.member_of("k")[0] for _ in range(2)} | {self.rarely(self.pick("", self.prefix + "unknown"), self.groups[0], 3)})
        return self.one("consumer_group_describe", {"group_ids": groups, "include_authorized_operations": self.rarely(True, False, 3)})

    def consumer_others(self):
        """The other requests of groups, to one of KIP-848."""
        group, member = self.member_of("k")
        api, values = self.pick(
            ("offset_commit", {"group_id": group, "generation_id_or_member_epoch": self.rarely(-1, Ref("generation", member, self.rarely(self.pick(-1, 1), 0, 4)), 5),
                               "member_id": self.rarely("", member, 5), "topics": [{"name": self.there(), "partitions": [
                                   {"partition_index": 0, "committed_offset": 4, "committed_metadata": "k"}]}]}),
            ("offset_fetch", {"group_id": group, "topics": None, "groups": [dict({"group_id": group, "topics": None}, **self.pick(
                {"member_id": None, "member_epoch": -1}, {"member_id": member, "member_epoch": self.pick(-1, Ref("generation", member))}))]}),
            ("offset_delete", {"group_id": group, "topics": [{"name": self.pick(self.there(), self.prefix + "own", self.prefix + "none"), "partitions": [{"partition_index": 0}]}]}),
            ("delete_groups", {"groups_names": [group]}),
            ("describe_groups", {"groups": [group]}),
            ("heartbeat", {"group_id": group, "generation_id": Ref("generation", member), "member_id": member}),
            ("leave_group", {"group_id": group, "member_id": "nobody", "members": [{"member_id": "nobody"}]}),
            ("sync_group", {"group_id": group, "generation_id": Ref("generation", member), "member_id": member}),
            ("list_groups", {"types_filter": self.pick(["consumer"], ["share"], ["Share", "classic"]), "states_filter": self.pick([], ["Empty"], ["Stable", "reconciling"])}),
        )
        version = self.version(api)
        ask = self.one(api, values, max(version, 2) if api == "offset_fetch" else version)  # all topics: since version 2

        def run(side):
            self.own_topic(side)
            return ask(side)
        return run

    # -- share groups --

    def share_ready(self, side, group, member):
        """The member has its partition. (What it is told meanwhile depends on how often it asks.)"""
        topic = self.prefix + "shared"
        if ("topic_id", topic) not in side.values:
            side.ask("create_topics", 5, {"topics": [{"name": topic, "num_partitions": 1, "replication_factor": 1}], "timeout_ms": 10000})
            self.settle_topic(side, topic, True, 1)
        if ("ready", member) in side.values:
            return
        epoch = [0]

        def assigned():
            found = side.ask("share_group_heartbeat", 1, {"group_id": group, "member_id": member, "member_epoch": epoch[0],
                                                          "subscribed_topic_names": None if epoch[0] else [topic]})
            epoch[0] = found["member_epoch"]
            return found["error_code"] == 0 and found["assignment"] and found["assignment"]["topic_partitions"]
        until("%s: %s has its partition" % (side.name, member), assigned, SETTLE_TIMEOUT_S, 0.02)
        side.know("generation", member, epoch[0])
        side.values["ready", member] = True

    def share_others(self):
        group, member = self.member_of("h")
        api, values = self.pick(
            ("share_group_heartbeat", {"group_id": self.rarely("", self.pick(group, self.prefix + "none"), 6), "member_id": self.rarely("", "nobody", 4),
                                       "member_epoch": self.pick(-1, 0, 7, -2), "subscribed_topic_names": None}),
            ("share_group_describe", {"group_ids": sorted({group, self.prefix + "none"})}),
            ("describe_share_group_offsets", {"groups": [{"group_id": group, "topics": self.pick(None, [{"topic_name": self.prefix + self.pick("shared", "none"), "partitions": [0, 3]}])}]}),
            ("delete_share_group_offsets", {"group_id": group, "topics": [{"topic_name": self.prefix + "none"}]}),
            ("consumer_group_heartbeat", {"group_id": group, "member_id": given_id(self.random), "member_epoch": 0, "rebalance_timeout_ms": 30000,
                                          "subscribed_topic_names": [self.prefix + "own"], "topic_partitions": []}))
        ask = self.one(api, values) if api in self.versions else lambda side: []
        first = base64.urlsafe_b64encode(uuid.uuid5(uuid.NAMESPACE_OID, group + "0").bytes).decode().rstrip("=")

        def run(side):
            self.share_ready(side, group, first)  # the group is there, and is one of share
            return ask(side)
        return run

    # -- access lists --

    def acl(self, filter):
        """The fields of a rule or of a filter, whose names differ. Names of this seed only, as rules are everybody's."""
        kind = self.pick(2, 2, 3, 4, 5, 6, 7)
        name = "kafka-cluster" if kind == 4 else self.prefix + self.pick("a", "b")
        any_or = lambda value: self.rarely(None, value, 4) if filter else value   # noqa: E731
        principal = self.rarely(self.pick("nobody", ""), "User:%s%d" % (self.prefix, self.random.randrange(3)))
        values = {"principal": principal if kind == 4 else any_or(principal),  # rules of the cluster are everybody's
                  "host": any_or(self.pick("*", "10.0.0.1")), "operation": self.pick(2, 3, 4, 5, 7, 8),
                  "permission_type": self.pick(2, 3), "resource_type": kind, "resource_name": self.rarely("", name, 15)}
        pattern = self.pick(3, 3, 4)
        if not filter:
            return dict(values, resource_pattern_type=pattern)
        if self.random.randrange(3) == 0:
            values.update(operation=1, permission_type=1)
        return {"resource_type_filter": self.rarely(1, kind, 4), "resource_name_filter": values["resource_name"], "pattern_type_filter": self.rarely(self.pick(1, 2), pattern, 3),
                "principal_filter": values["principal"], "host_filter": values["host"], "operation": values["operation"], "permission_type": values["permission_type"]}

    def acls(self):
        api = self.pick("create_acls", "create_acls", "describe_acls", "delete_acls")
        if api == "create_acls":
            return self.one(api, {"creations": [self.acl(False) for _ in range(self.pick(1, 1, 3))]})
        if api == "describe_acls":
            return self.one(api, self.acl(True))
        return self.one(api, {"filters": [self.acl(True) for _ in range(self.pick(1, 2))]})

    # -- quotas and SCRAM --

    def quota_entity(self):
        # No defaults (null): they are everybody's.
        client, user = ("client-id", self.prefix + "client"), ("user", self.prefix + "user")
        return [{"entity_type": t, "entity_name": n} for t, n in self.pick(
            [client], [user], [client, user], [("ip", "127.%d.%d.%d" % (self.seed // 256 % 256, self.seed % 256, self.random.randrange(9)))], [client, ("ip", "127.0.0.9")], [("ip", "no.such.host.invalid")],
            [("nonsense", "x")], [], [("client-id", "")])]

    def quotas(self):
        if self.random.randrange(2):
            key = self.pick("producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate", "connection_creation_rate", "nonsense")
            ops = [{"key": key, "value": self.pick(1e9, 1e9, 0.5, 0.0, -1.0, 1e9 + 0.5), "remove": self.rarely(True, False, 3)}]
            if not ops[0]["remove"] and self.random.randrange(6) == 0:
                ops = ops + ops
            return self.one("alter_client_quotas", {"entries": [{"entity": self.quota_entity(), "ops": ops}], "validate_only": self.rarely(True, False, 4)})
        components = [{"entity_type": e["entity_type"], "match_type": self.rarely(self.pick(1, 9), 0, 8), "match": self.rarely(None, e["entity_name"], 10)}
                      for e in self.quota_entity() or [{"entity_type": "client-id", "entity_name": self.prefix + "client"}]]
        return self.one("describe_client_quotas", {"components": components, "strict": self.pick(True, False)})

    def scram(self):
        users = [self.prefix + "u%d" % self.random.randrange(3) for _ in range(self.pick(1, 1, 2))]
        kind = self.random.randrange(3)
        if kind == 0:
            return self.one("describe_user_scram_credentials", {"users": [{"name": u} for u in users + self.rarely([""], [])]})
        if kind == 1:
            return self.one("alter_user_scram_credentials", {"deletions": [
                {"name": users[0], "mechanism": self.rarely(9, self.pick(1, 2), 8)}], "upsertions": []})
        # Of a user that is named twice nothing else is wrong: which of two errors is told is each broker's own.
        wrong = (lambda value, right, one_in: right) if len(set(users)) < len(users) else self.rarely
        return self.one("alter_user_scram_credentials", {"deletions": [], "upsertions": [
            {"name": wrong("", u, 12), "mechanism": wrong(self.pick(0, 9), self.pick(1, 2), 6), "iterations": wrong(self.pick(0, 4095, 16385), 4096, 5),
             "salt": SALT, "salted_password": SALTED} for u in users]})

    # -- configurations of other resources, features --

    def other_configs(self):
        kind, name, key, value = self.pick(
            (GROUP, self.prefix + "k0", "consumer.session.timeout.ms", self.pick("45000", "50000", "1", "x")),
            (GROUP, self.prefix + "k1", "consumer.heartbeat.interval.ms", self.pick("5000", "6000", "1")),
            (GROUP, self.prefix + "m0", "share.auto.offset.reset", self.pick("earliest", "latest", "none", "by_duration:PT1H", "by_duration:1h")),
            (GROUP, self.prefix + "m0", "share.record.lock.duration.ms", self.pick("30000", "1", "15000")),
            (GROUP, self.prefix + "m0", "share.isolation.level", self.pick("read_committed", "x")),
            (GROUP, self.prefix + "k0", "unknown", "1"), (GROUP, "", "consumer.session.timeout.ms", "45000"),
            (CLIENT_METRICS, self.prefix + "m", "interval.ms", self.pick("1000", "0", "x")),
            (CLIENT_METRICS, self.prefix + "m", "metrics", self.pick("org.apache.kafka.", "*", "")),
            (CLIENT_METRICS, self.prefix + "m", "match", self.pick("client_id=abc.*", "nonsense=x", "client_id=[")),
            (CLIENT_METRICS, "", "interval.ms", "1000"))
        api = self.pick("incremental_alter_configs", "incremental_alter_configs", "alter_configs", "describe_configs")
        if api == "describe_configs":
            return self.one(api, {"resources": [{"resource_type": kind, "resource_name": name, "configuration_keys": self.pick(None, [key])}],
                                  "include_synonyms": self.pick(True, False), "include_documentation": False})
        config = {"name": key, "value": value}
        if api == "incremental_alter_configs":
            config["config_operation"] = self.pick(0, 0, 0, 1, 2)
        return self.one(api, {"resources": [{"resource_type": kind, "resource_name": name, "configs": [config]}], "validate_only": self.rarely(True, False, 4)})

    def features(self):
        feature, level = self.pick(("metadata.version", 999), ("metadata.version", 0), ("nonsense", 1), ("transaction.version", 9), ("group.version", -1), ("", 1))
        version = self.version("update_features")
        return self.one("update_features", {"timeout_ms": 10000, "validate_only": True, "feature_updates": [
            {"feature": feature, "max_version_level": level, "allow_downgrade": False, "upgrade_type": self.pick(1, 1, 2, 3, 0)}]}, max(version, 1))

    def whole(self):
        """Descriptions and administration that plain() does not draw."""
        names = [self.there(), self.topic() or self.there()]
        api, values = self.pick(
            ("describe_configs", {"resources": [{"resource_type": 2, "resource_name": n, "configuration_keys": None} for n in sorted(set(names))],
                                  "include_synonyms": self.pick(True, False), "include_documentation": False}),
            ("describe_configs", {"resources": [{"resource_type": 2, "resource_name": names[0], "configuration_keys": ["retention.ms"]}] * 2}),
            ("create_topics", {"topics": [{"name": self.prefix + "twice", "num_partitions": 1, "replication_factor": 1}] * 2, "timeout_ms": 1000}),
            ("create_partitions", {"topics": [{"name": names[0], "count": 9}] * 2, "timeout_ms": 1000}),
            ("metadata", {"topics": [{"name": n} for n in names] + [{"name": names[0]}], "allow_auto_topic_creation": False}),
            ("offset_for_leader_epoch", {"replica_id": -1, "topics": [{"topic": n, "partitions": [{"partition": 0, "leader_epoch": self.pick(0, 7)}]} for n in sorted(set(names))]}),
            ("describe_producers", {"topics": [{"name": names[0], "partition_indexes": [0, 1, 99]}]}),
            ("describe_quorum", {"topics": [{"topic_name": self.pick("x", "__cluster_metadata"), "partitions": [{"partition_index": self.pick(1, 2)}]}]}),
            ("renew_delegation_token", {"hmac": b"x", "renew_period_ms": -1}),
            ("expire_delegation_token", {"hmac": b"x", "expiry_time_period_ms": -1}),
            ("find_coordinator", {"key": "k", "key_type": self.pick(2, 3), "coordinator_keys": [self.prefix + self.pick("g", "g:x", "")]}),
        )
        return self.one(api, values) if api in self.versions else (lambda side: [])

    def markers(self):
        """WriteTxnMarkers for what is not there, or for a producer that has no transaction in the partition: not a transaction's end."""
        topic = self.pick(self.there(), self.prefix + "none")
        return self.one("write_txn_markers", {"markers": [{"producer_id": NOBODY, "producer_epoch": 0, "transaction_result": self.pick(True, False), "coordinator_epoch": 0,
                                                           "topics": [{"name": topic, "partition_indexes": [self.pick(7, 9)]}]}]})

    def missing(self):
        raise NotImplementedError

    def subscription(self):
        raise NotImplementedError


WEIGHTS = {"static_member": 3, "consumer_heartbeat": 8, "consumer_describe": 2, "consumer_others": 4, "share_others": 3, "acls": 4, "quotas": 3, "scram": 2, "other_configs": 3,
           "features": 1, "whole": 5, "markers": 1}
