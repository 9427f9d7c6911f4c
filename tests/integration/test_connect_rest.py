"""Connect's REST API over a real broker and a real PostgreSQL: every endpoint, status and body that clients know from Kafka
Connect 4.3; what differs stands in docs/connect-rest.md."""
import json
import os
import socket
import subprocess
import threading

import pytest
from confluent_kafka.admin import AdminClient

from lib import postgres as pg
from lib.ottla import Ottla, program, wait_streaming
from lib.ports import free_port
from lib.rest import Rest
from lib.wait import until

CLASS = "io.debezium.connector.postgresql.PostgresConnector"
VERSION = "3.7.0.Final"
INVALID = "Connector configuration is invalid and contains the following %d error(s):\n%s\n" \
    "You can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`"


@pytest.fixture
def ottla(fresh_ottla):
    return fresh_ottla()


@pytest.fixture(scope="module")
def shared_ottla():
    with Ottla() as running:
        yield running


@pytest.fixture
def rest(ottla):
    return Rest(ottla.connect_port)


def error(code, message):
    return {"error_code": code, "message": message}


def make_table(postgres, database):
    postgres.psql("create table activity (id serial primary key, name varchar(255) not null, email varchar(255)); "
                  "insert into activity (name) values ('Alice')", database)


def running(ottla, rest, postgres, name, config):
    answer = rest.call("POST", "/connectors", {"name": name, "config": config})
    assert answer.status == 201, answer
    assert wait_streaming(ottla, postgres, name, config["slot.name"]) == "RUNNING", rest.call("GET", "/connectors/%s/status" % name)


def test_an_empty_worker(ottla, rest):
    status, root = rest.json("GET", "/")
    assert status == 200 and list(root) == ["version", "commit", "kafka_cluster_id"] and len(root["kafka_cluster_id"]) == 22
    assert rest.call("GET", "/").headers["Content-Type"] == "application/json"
    head = rest.call("HEAD", "/")
    assert head.status == 200 and head.text == ""
    assert rest.json("GET", "/health") == (200, {
        "status": "healthy", "message": "Worker has completed startup and is ready to handle requests."})
    for path in "/connectors", "/connectors/":
        assert rest.json("GET", path) == (200, [])
    assert rest.json("GET", "/connectors?expand=status") == (200, {})
    assert rest.json("GET", "/connector-plugins") == (200, [{"class": CLASS, "type": "source", "version": VERSION}])
    kinds = {p["type"] for p in rest.json("GET", "/connector-plugins?connectorsOnly=false")[1]}
    assert kinds == {"source", "transformation", "converter", "header_converter"}
    # Connect's three topics are there from the start, with its numbers of partitions.
    topics = AdminClient({"bootstrap.servers": ottla.bootstrap}).list_topics(timeout=10).topics
    assert {name: len(topic.partitions) for name, topic in topics.items()} == {
        "connect-configs": 1, "connect-offsets": 25, "connect-statuses": 5}


def test_the_seed_s_post(ottla, rest, postgres):
    """Seed 000: its very request, and its very answer (456 bytes there, with its host and port)."""
    postgres.psql("create database activity")
    make_table(postgres, "activity")
    body = """{
  "name": "activity-connector",
  "config": {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "tasks.max": "1",
    "database.hostname": "HOST",
    "database.port": "PORT",
    "database.user": "postgres",
    "database.password": "postgrespw",
    "database.dbname": "activity",
    "slot.name": "activityslot",
    "topic.prefix": "dbserver1",
    "plugin.name": "pgoutput",
    "database.replication.slot.name": "debeziumactivity"
  }
}""".replace("HOST", postgres.host).replace("PORT", str(postgres.port))
    answer = rest.call("POST", "/connectors/", body, {"Host": "localhost:8083"})
    assert answer.status == 201
    assert answer.headers["Location"] == "http://localhost:8083/connectors/activity-connector"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.text == (
        '{"name":"activity-connector","config":{"connector.class":"io.debezium.connector.postgresql.PostgresConnector",'
        '"tasks.max":"1","database.hostname":"%s","database.port":"%d","database.user":"postgres",'
        '"database.password":"postgrespw","database.dbname":"activity","slot.name":"activityslot","topic.prefix":"dbserver1",'
        '"plugin.name":"pgoutput","database.replication.slot.name":"debeziumactivity","name":"activity-connector"},'
        '"tasks":[],"type":"source"}' % (postgres.host, postgres.port))
    assert wait_streaming(ottla, postgres, "activity-connector", "activityslot") == "RUNNING"
    worker = "127.0.0.1:%d" % ottla.connect_port
    state = '"state":"RUNNING","worker_id":"%s","version":"%s"' % (worker, VERSION)
    assert rest.call("GET", "/connectors/activity-connector/status").text == \
        '{"name":"activity-connector","connector":{%s},"tasks":[{"id":0,%s}],"type":"source"}' % (state, state)
    assert "postgrespw" not in ottla.log(), "passwords are not logged"


def test_the_life_of_a_connector(ottla, rest, postgres, database, connector):
    make_table(postgres, database)
    config = connector("life")
    running(ottla, rest, postgres, "c", config)
    full = dict(config, name="c")
    task = {"connector": "c", "task": 0}
    worker = "127.0.0.1:%d" % ottla.connect_port

    def state(word):
        return {"state": word, "worker_id": worker, "version": VERSION}

    def status(word):
        return {"name": "c", "connector": state(word), "tasks": [dict(id=0, **state(word))], "type": "source"}

    info = {"name": "c", "config": full, "tasks": [task], "type": "source"}
    assert rest.json("POST", "/connectors", {"name": "c", "config": config}) == (409, error(409, "Connector c already exists"))
    assert rest.json("GET", "/connectors") == (200, ["c"])
    assert rest.json("GET", "/connectors?expand=info&expand=status") == (200, {"c": {"info": info, "status": status("RUNNING")}})
    assert rest.json("GET", "/connectors/?expand=status") == (200, {"c": {"status": status("RUNNING")}})
    assert rest.json("GET", "/connectors/?expand=info") == (200, {"c": {"info": info}})
    assert rest.json("GET", "/connectors?expand=bogus") == (200, {"c": {}})
    assert rest.json("GET", "/connectors/c") == (200, info)
    assert rest.json("GET", "/connectors/c/config") == (200, full)
    assert rest.json("GET", "/connectors/c/status") == (200, status("RUNNING"))
    with_class = dict(full, **{"task.class": CLASS + "Task"})
    assert rest.json("GET", "/connectors/c/tasks") == (200, [{"id": task, "config": with_class}])
    assert rest.json("GET", "/connectors/c/tasks-config") == (200, {"c-0": with_class})
    assert rest.json("GET", "/connectors/c/tasks/0/status") == (200, dict(id=0, **state("RUNNING")))
    assert rest.json("GET", "/connectors/c/tasks/9/status") == (404, error(404, "No status found for task c-9"))

    topics = {"c": {"topics": ["life.public.activity"]}}
    until("the topic is known", lambda: rest.json("GET", "/connectors/c/topics") == (200, topics))
    assert rest.call("PUT", "/connectors/c/topics/reset").status == 202
    assert rest.json("GET", "/connectors/c/topics") == (200, {"c": {"topics": []}})
    offsets = until("a position is stored", lambda: rest.json("GET", "/connectors/c/offsets")[1]["offsets"])
    assert offsets[0]["partition"] == {"server": "life"} and offsets[0]["offset"]["lsn"] > 0

    # pause keeps the slot; resume
    answer = rest.call("PUT", "/connectors/c/pause")
    assert (answer.status, answer.text, answer.headers["Content-Length"]) == (202, "", "0")
    rest.wait_states("c", "PAUSED/PAUSED")
    assert postgres.psql("select count(*) from pg_replication_slots where slot_name = '%s'" % database) == "1"
    assert rest.call("PUT", "/connectors/c/resume").status == 202
    rest.wait_states("c", "RUNNING/RUNNING")

    # restarts
    answer = rest.call("POST", "/connectors/c/restart")
    assert (answer.status, answer.text) == (204, "")
    assert rest.json("POST", "/connectors/c/restart?includeTasks=true") == (202, status("RESTARTING"))
    rest.wait_states("c", "RUNNING/RUNNING")
    assert rest.json("POST", "/connectors/c/restart?includeTasks=true&onlyFailed=true") == (202, status("RUNNING"))
    assert rest.call("POST", "/connectors/c/tasks/0/restart").status == 204
    rest.wait_states("c", "RUNNING/RUNNING")
    assert rest.json("POST", "/connectors/c/tasks/9/restart") == (404, error(404, "Unknown task: c-9"))

    # configuration
    changed = dict(full, **{"heartbeat.interval.ms": "0"})
    assert rest.json("PUT", "/connectors/c/config", changed) == (200, dict(info, config=changed))
    rest.wait_states("c", "RUNNING/RUNNING")
    assert rest.json("PATCH", "/connectors/c/config", {"heartbeat.interval.ms": None, "max.batch.size": 100}) == \
        (200, dict(info, config=dict(full, **{"max.batch.size": "100"})))
    assert rest.json("PUT", "/connectors/c/config", dict(full, name="d")) == \
        (400, error(400, "Connector name configuration (d) doesn't match connector name in the URL (c)"))
    rest.wait_states("c", "RUNNING/RUNNING")

    # offsets: only when stopped
    refused = rest.json("DELETE", "/connectors/c/offsets")
    assert refused[0] == 400
    assert refused[1]["message"].startswith("Connectors must be in the STOPPED state before their offsets can be modified.")
    answer = rest.call("PUT", "/connectors/c/stop")
    assert (answer.status, answer.text) == (204, "")
    rest.wait_states("c", "STOPPED/-")
    assert postgres.psql("select active from pg_replication_slots where slot_name = '%s'" % database) == "f"
    assert rest.json("GET", "/connectors/c/tasks") == (200, [])
    assert rest.json("PATCH", "/connectors/c/offsets", {}) == \
        (400, error(400, "Partitions / offsets need to be provided for an alter offsets request"))
    offsets = rest.json("GET", "/connectors/c/offsets")[1]
    altered = rest.json("PATCH", "/connectors/c/offsets", offsets)
    assert altered[0] == 200 and "altered successfully" in altered[1]["message"]
    reset = rest.json("DELETE", "/connectors/c/offsets")
    assert reset[0] == 200 and "reset successfully" in reset[1]["message"]
    assert rest.json("GET", "/connectors/c/offsets") == (200, {"offsets": []})
    assert rest.call("PUT", "/connectors/c/resume").status == 202
    assert wait_streaming(ottla, postgres, "c", database) == "RUNNING"

    answer = rest.call("DELETE", "/connectors/c")
    assert (answer.status, answer.text) == (204, "")
    assert rest.json("GET", "/connectors") == (200, [])
    assert rest.json("GET", "/connectors/c/status") == (404, error(404, "No status found for connector c"))
    until("the slot is released", lambda: postgres.psql(
        "select active from pg_replication_slots where slot_name = '%s'" % database) == "f")


@pytest.mark.parametrize("method, path, message", [
    ("GET", "/connectors/x", "Connector x not found"),
    ("GET", "/connectors/x/config", "Connector x not found"),
    ("PATCH", "/connectors/x/config", "Connector x not found"),
    ("GET", "/connectors/x/status", "No status found for connector x"),
    ("GET", "/connectors/x/tasks", "Connector x not found"),
    ("GET", "/connectors/x/tasks/0/status", "No status found for task x-0"),
    ("POST", "/connectors/x/tasks/0/restart", "Unknown connector: x"),
    ("POST", "/connectors/x/restart", "Unknown connector: x"),
    ("POST", "/connectors/x/restart?includeTasks=true", "Unknown connector: x"),
    ("PUT", "/connectors/x/pause", "Unknown connector x"),
    ("PUT", "/connectors/x/resume", "Unknown connector x"),
    ("PUT", "/connectors/x/stop", "Unknown connector x"),
    ("GET", "/connectors/x/offsets", "Connector x not found"),
    ("DELETE", "/connectors/x/offsets", "Connector x not found"),
    ("DELETE", "/connectors/x", "Connector x not found"),
    ("GET", "/connector-plugins/x/config", "Unknown plugin x."),
    ("GET", "/admin/loggers/x", "Logger x not found."),
    ("PUT", "/admin/loggers/root", "invalid log level 'LOUD'."),
    ("GET", "/nowhere", "HTTP 404 Not Found"),
])
def test_what_is_not_there_is_a_404(shared_ottla, method, path, message):
    body = {"level": "LOUD"} if method in ("PUT", "PATCH") else None
    assert Rest(shared_ottla.connect_port).json(method, path, body) == (404, error(404, message))


def test_requests_of_the_wrong_form(shared_ottla):
    rest = Rest(shared_ottla.connect_port)
    assert rest.json("PUT", "/connectors", {}) == (405, error(405, "HTTP 405 Method Not Allowed"))
    # curl -d without a Content-Type sends a form
    answer = rest.call("POST", "/connectors", "{}", {"Content-Type": "application/x-www-form-urlencoded"})
    assert (answer.status, json.loads(answer.text)) == (415, error(415, "HTTP 415 Unsupported Media Type"))
    for body in '{"name":', "[]", "", '{"name":"c","config":{},"more":1}', '{"name":"c","config":{"a":{}}}', '{"name":"c"}', \
            '{"name":"c","config":{"connector.class":"%s"},"initial_state":"LOUD"}' % CLASS, "[" * 100000:
        status, answer = rest.json("POST", "/connectors", body)
        assert status == 400 and answer["error_code"] == 400, (body[:100], answer)
    assert rest.json("GET", "/connectors/a%2Fb")[0] == 400
    assert rest.json("GET", "/connectors/x/topics") == (200, {"x": {"topics": []}})
    assert rest.call("PUT", "/connectors/x/topics/reset").status == 202
    assert rest.json("GET", "/connectors") == (200, [])
    refused = rest.call("GET", "/connectors", headers={"Host": "example.com"})
    assert refused.status == 403, "a web page must not get in by rebinding its name"
    assert rest.call("PUT", "/connectors/x/stop", headers={"Origin": "http://example.com"}).status == 403
    log = shared_ottla.log(100000)
    assert "method=POST path=/connectors status=415" in log and "client=127.0.0.1:" in log


def test_configurations_that_are_refused(ottla, rest, postgres, database, connector):
    def refused(config, message, name="c"):
        assert rest.json("POST", "/connectors", {"name": name, "config": config}) == (400, error(400, message))
        assert rest.json("GET", "/connectors") == (200, [])

    good = connector("refused")
    required = "database.hostname", "database.user", "database.dbname", "topic.prefix"
    for missing in required:
        refused({k: v for k, v in good.items() if k != missing},
                INVALID % (1, "The '%s' value is invalid: A value is required" % missing))
    status, answer = rest.json("POST", "/connectors", {"name": "c", "config": {"connector.class": CLASS}})
    assert status == 400 and "contains the following 4 error(s)" in answer["message"]
    for missing in required:
        assert "\nThe '%s' value is invalid: A value is required\n" % missing in answer["message"]
    refused(dict(good, **{"snapshot.mode": "sometimes"}), INVALID % (
        1, "The 'snapshot.mode' value is invalid: Value must be one of always, initial_only, configuration_based, "
           "when_needed, initial, custom, no_data"))
    refused(dict(good, **{"slot.name": "Bad-Slot"}), INVALID % (
        1, "The 'slot.name' value is invalid: Valid replication slot name must contain only digits, lowercase characters and "
           "underscores with length <= 63"))
    refused(good, INVALID % (1, "Invalid value  for configuration name: String may not be empty"), name="")
    refused({"a": "b", "database.password": "hidden!"}, "Connector config {a=b, database.password=****, name=c} contains no connector type")
    status, answer = rest.json("POST", "/connectors", {"name": "c", "config": {"connector.class": "no.such.Class"}})
    assert status == 400 and answer["message"].startswith(
        "Failed to find any class that implements Connector and which name matches no.such.Class, available connectors are: ")

    # what only the database knows
    prefix = "Error while validating connector config: "
    status, answer = rest.json("POST", "/connectors", {"name": "c", "config": dict(good, **{"database.port": str(free_port())})})
    assert status == 400 and prefix in answer["message"] and "refused" in answer["message"]
    refused(dict(good, **{"database.dbname": "nodb"}), INVALID % (1, prefix + 'FATAL: database "nodb" does not exist'))
    status, answer = rest.json("POST", "/connectors", {"name": "c", "config": dict(good, **{"database.user": "nobody"})})
    assert status == 400 and 'FATAL: role "nobody" does not exist' in answer["message"]
    assert postgres.psql("select count(*) from pg_replication_slots where slot_name = '%s'" % database) == "0"
    assert "hidden!" not in ottla.log(100000) and "postgrespw" not in ottla.log(100000)


def test_a_database_without_logical_wal_is_refused(ottla, rest):
    with pg.Postgres(settings={"wal_level": "replica"}) as server:
        config = {"connector.class": CLASS, "database.hostname": server.host, "database.port": server.port,
                  "database.user": "postgres", "database.dbname": "postgres", "topic.prefix": "p", "plugin.name": "pgoutput"}
        status, answer = rest.json("POST", "/connectors", {"name": "c", "config": config})
        assert status == 400 and "wal_level" in answer["message"]
    assert rest.json("GET", "/connectors") == (200, [])


def test_definitions_and_validation(ottla, rest, connector):
    status, definitions = rest.json("GET", "/connector-plugins/%s/config" % CLASS)
    assert status == 200 and rest.json("GET", "/connector-plugins/PostgresConnector/config")[1] == definitions
    by_name = {d["name"]: d for d in definitions}
    assert list(definitions[0]) == ["name", "type", "required", "default_value", "importance", "documentation", "group", "width",
                                    "display_name", "dependents", "order"]
    assert by_name["database.hostname"]["required"] is True and by_name["database.hostname"]["default_value"] is None
    assert by_name["database.port"]["default_value"] == "5432" and by_name["database.port"]["type"] == "INT"
    assert by_name["database.password"]["type"] == "PASSWORD"
    assert len(by_name) == len(definitions) > 100
    # The same for everything that connectorsOnly=false lists.
    names = {p["class"].rsplit(".", 1)[1]: [d["name"] for d in rest.json("GET", "/connector-plugins/%s/config" % p["class"])[1]]
             for p in rest.json("GET", "/connector-plugins?connectorsOnly=false")[1]}
    assert names["RegexRouter"] == ["regex", "replacement"] and names["SimpleHeaderConverter"] == []
    assert names["JsonConverter"][:2] == ["converter.type", "schemas.enable"]
    assert names["ExtractNewRecordState"][0] == "delete.tombstone.handling.mode"
    assert rest.call("GET", "/connector-plugins/RegexRouter/config").status == 200

    validate = "/connector-plugins/PostgresConnector/config/validate"
    status, result = rest.json("PUT", validate, dict(connector("v"), name="c"))
    assert status == 200 and result["name"] == CLASS and result["error_count"] == 0, [
        c for c in result["configs"] if c["value"]["errors"]]
    values = {c["value"]["name"]: c["value"] for c in result["configs"]}
    assert values["topic.prefix"]["value"] == "v" and values["database.password"]["value"] == "[hidden]"
    assert values["snapshot.mode"]["value"] == "initial" and "no_data" in values["snapshot.mode"]["recommended_values"]
    bad = dict(connector("v"), name="c", **{"snapshot.mode": "sometimes", "max.batch.size": "x"})
    del bad["topic.prefix"]
    status, result = rest.json("PUT", validate, bad)
    wrong = {c["value"]["name"] for c in result["configs"] if c["value"]["errors"]}
    assert status == 200 and {"snapshot.mode", "max.batch.size", "topic.prefix"} <= wrong
    assert result["error_count"] == sum(len(c["value"]["errors"]) for c in result["configs"])
    assert rest.json("PUT", "/connector-plugins/Other/config/validate", bad) == \
        (400, error(400, "Included connector type %s does not match request type Other" % CLASS))
    assert rest.json("GET", "/connectors") == (200, [])


def test_initial_states_put_and_values(ottla, rest, postgres, database, connector):
    make_table(postgres, database)
    config = dict(connector("q"), **{"tasks.max": 1, "tombstones.on.delete": True, "heartbeat.interval.ms": None})
    status, answer = rest.json("POST", "/connectors", {"name": "stopped one", "config": config, "initial_state": "STOPPED"})
    assert status == 201 and answer["config"]["tasks.max"] == "1" and answer["config"]["tombstones.on.delete"] == "true"
    assert "heartbeat.interval.ms" not in answer["config"]
    rest.wait_states("stopped%20one", "STOPPED/-")
    assert postgres.psql("select count(*) from pg_replication_slots where slot_name = '%s'" % database) == "0"
    answer = rest.call("PUT", "/connectors/put/config", connector("put", slot__name=database[:50] + "_put"))
    assert answer.status == 201 and answer.headers["Location"].endswith("/connectors/put")
    assert rest.wait_states("put", "RUNNING/RUNNING")
    assert rest.call("DELETE", "/connectors/stopped%20one").status == 204
    status, answer = rest.json("POST", "/connectors", {
        "name": "old", "config": connector("old", connector__plugin__version="2.2.1.Final", slot__name=database[:50] + "_old")})
    assert status == 201
    rest.wait_states("old", "RUNNING/RUNNING")
    assert rest.json("GET", "/connectors/old/status")[1]["tasks"][0]["version"] == "2.2.1.Final"


@pytest.mark.parametrize("end", ["SIGTERM", "SIGKILL"])
def test_connectors_run_again_by_themselves(ottla, rest, postgres, database, connector, end):
    make_table(postgres, database)
    running(ottla, rest, postgres, "runs", connector("r"))
    for name, state in ("paused", "PAUSED"), ("stopped", "STOPPED"):
        assert rest.json("POST", "/connectors", {"name": name, "config": connector(name, slot__name=database[:50] + "_" + name),
                                                 "initial_state": state})[0] == 201
    rest.wait_states("paused", "PAUSED/PAUSED")
    rest.wait_states("stopped", "STOPPED/-")
    assert rest.json("POST", "/connectors", {"name": "gone", "config": connector("gone"), "initial_state": "STOPPED"})[0] == 201
    assert rest.call("DELETE", "/connectors/gone").status == 204
    before = rest.json("GET", "/connectors?expand=info")
    # answered is durable: the last change stands right before the end
    assert rest.json("PUT", "/connectors/stopped/config", connector("changed"))[0] == 200
    if end == "SIGTERM":
        assert ottla.stop() == 0
    else:
        ottla.kill()
    ottla.start()
    assert sorted(rest.json("GET", "/connectors")[1]) == ["paused", "runs", "stopped"]
    assert wait_streaming(ottla, postgres, "runs", database) == "RUNNING"
    rest.wait_states("paused", "PAUSED/PAUSED")
    rest.wait_states("stopped", "STOPPED/-")
    after = rest.json("GET", "/connectors?expand=info")
    assert after[1]["runs"] == before[1]["runs"] and after[1]["paused"] == before[1]["paused"]
    assert after[1]["stopped"]["info"]["config"]["topic.prefix"] == "changed"


def test_a_failed_task_is_told(ottla, rest, postgres, database, connector):
    make_table(postgres, database)
    config = connector("f", publication__autocreate__mode="disabled")
    assert rest.json("POST", "/connectors", {"name": "c", "config": config})[0] == 201
    rest.wait_states("c", "RUNNING/FAILED")
    task = rest.json("GET", "/connectors/c/status")[1]["tasks"][0]
    assert list(task) == ["id", "state", "worker_id", "version", "trace"]
    assert task["trace"].splitlines()[0] == "org.apache.kafka.connect.errors.ConnectException: " \
        "Publication autocreation is disabled, please create one and restart the connector."
    postgres.psql("create publication dbz_publication for all tables", database)
    status, answer = rest.json("POST", "/connectors/c/restart?includeTasks=true&onlyFailed=true")
    assert status == 202 and answer["connector"]["state"] == "RUNNING" and answer["tasks"][0]["state"] == "RESTARTING"
    assert wait_streaming(ottla, postgres, "c", database) == "RUNNING"


def test_a_database_that_does_not_answer_blocks_nobody_else(ottla, rest, connector):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", free_port()))
        silent.listen()
        port = silent.getsockname()[1]
        answers = []

        def post(n):
            answers.append(rest.json("POST", "/connectors", {
                "name": "c%d" % n, "config": connector("s", database__port=str(port), connect__timeout="1")}))
        threads = [threading.Thread(target=post, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        accepted = [silent.accept()[0] for _ in threads]       # all four are waiting for the database
        assert rest.call("GET", "/connectors", timeout_s=5).text == "[]"
        assert rest.call("PUT", "/connectors/x/stop", timeout_s=5).status == 404
        for one in accepted:
            one.close()
        for thread in threads:
            thread.join(60)
        assert len(answers) == 4 and all(status == 400 for status, _ in answers), answers


def test_connect_s_own_records(ottla, rest, postgres, database, connector):
    """The internal topics hold what a worker of Kafka Connect would have written, readable with `ottla dump`."""
    make_table(postgres, database)
    running(ottla, rest, postgres, "c", connector("own"))
    assert rest.call("PUT", "/connectors/c/stop").status == 204
    rest.wait_states("c", "STOPPED/-")
    ottla.stop()
    text = ""
    for folder in sorted(os.listdir(ottla.data)):
        if folder.startswith("connect-"):
            text += subprocess.run([program(), "dump", os.path.join(ottla.data, folder)], capture_output=True, text=True).stdout
    for key in 'connector-c value={"properties":{"connector.class"', 'task-c-0 value={"properties":{', 'commit-c value={"tasks":1}', \
            'commit-c value={"tasks":0}', 'target-state-c value={"state":"STARTED","state.v2":"STARTED"}', \
            'target-state-c value={"state":"PAUSED","state.v2":"STOPPED"}', '["c",{"server":"own"}] value={', \
            'status-connector-c value={"state":"STOPPED","trace":null,"worker_id":"127.0.0.1:', \
            'status-topic-own.public.activity:connector-c value={"topic":{"name":"own.public.activity","connector":"c","task":0,':
        assert "key=" + key in text, (key, text)


def test_loggers(ottla, rest):
    assert rest.json("GET", "/admin/loggers") == (200, {"root": {"level": "INFO", "last_modified": None}})
    assert rest.json("PUT", "/admin/loggers/io.debezium", {"level": "DEBUG"}) == (200, ["io.debezium"])
    assert rest.json("GET", "/admin/loggers/io.debezium")[1]["level"] == "DEBUG"
    assert rest.call("PUT", "/admin/loggers/root?scope=cluster", {"level": "WARN"}).status == 204


def test_listeners(tmp_path):
    with Ottla({"connect.listeners": "http://127.0.0.1:0"}, start=False) as free:
        free.start()
    with Ottla({"connect.listeners": ""}) as without:
        assert without.process.poll() is None
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        for listener, told in ("http://127.0.0.1:%d" % taken.getsockname()[1], "the port is in use"), \
                ("https://127.0.0.1:1", "http://HOST:PORT"), ("127.0.0.1:8083", "http://HOST:PORT"), ("http://127.0.0.1", "no port"):
            done = subprocess.run([program(), "serve", "--override", "connect.listeners=" + listener, "--override",
                                   "listeners=PLAINTEXT://127.0.0.1:0"], cwd=tmp_path, capture_output=True, text=True, timeout=20)
            lines = [line for line in done.stderr.splitlines() if line.startswith("ottla: ")]
            assert done.returncode == 1 and done.stdout == "" and len(lines) == 1, done
            assert listener in lines[0] and told in lines[0] and "connect.listeners" in lines[0], lines[0]
            assert os.listdir(tmp_path) == [], "nothing is touched"
