"""Stops in the middle of a large transaction: nothing lost, nothing twice. A stop that comes before the stream is back at where
it was matters most: then the position must not move."""
import subprocess

import confluent_kafka
from lib.ottla import wait_streaming
from lib.wait import until

ROWS = 30000
STOPS = 8


def end_offset(ottla, topic):
    c = confluent_kafka.Consumer({"bootstrap.servers": ottla.bootstrap, "group.id": "r"})
    try:
        return c.get_watermark_offsets(confluent_kafka.TopicPartition(topic, 0), timeout=10)[1]
    finally:
        c.close()


def log_bytes(ottla, topic):
    """What was appended, seen by readers or not."""
    done = subprocess.run("cat %s/%s-0/*.log | wc -c" % (ottla.data, topic), shell=True, text=True, stdout=subprocess.PIPE)
    return int(done.stdout)


def test_stops_inside_a_transaction(fresh_ottla, postgres, connector, database):
    ottla = fresh_ottla()
    postgres.psql("create table t(id int primary key, a text); insert into t values (0, 'x')", database)
    status, body = ottla.rest("POST", "/connectors", {"name": "stopped", "config": connector("stopped")})
    assert status == 201, body
    topic = "stopped.public.t"
    assert wait_streaming(ottla, postgres, "stopped", database) == "RUNNING"
    until("the snapshot", lambda: end_offset(ottla, topic) == 1)

    before = log_bytes(ottla, topic)
    postgres.psql("insert into t select g, repeat('x', 200) from generate_series(1, %d) g" % ROWS, database)
    until("a part of the transaction", lambda: log_bytes(ottla, topic) > before, 30, 0.001)
    ottla.stop()
    for i in range(STOPS):
        began = ottla.log(1 << 20).count("streaming connector=")
        ottla.start()
        until("the stream begins", lambda: ottla.log(1 << 20).count("streaming connector=") > began, 30, 0.001)
        ottla.stop()
    ottla.start()
    postgres.psql("insert into t values (-1, 'last')", database)
    until("all rows", lambda: end_offset(ottla, topic) >= ROWS + 2, 60)
    assert end_offset(ottla, topic) == ROWS + 2
