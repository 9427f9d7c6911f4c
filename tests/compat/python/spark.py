"""Spark 3.5 with its Kafka connector against a broker. Arguments: JARS BOOTSTRAP PREFIX.
With the words `stream NAME FOLDER` after them it is the program that the feature `checkpoint` kills: a query that copies a topic."""
import glob
import os
import signal
import subprocess
import sys
import tempfile

JARS = sys.argv.pop(1)

import pyspark  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402
from pyspark.sql import functions as F  # noqa: E402

from check import BOOTSTRAP, PREFIX, equal, feature, until, version  # noqa: E402


def session():
    return (SparkSession.builder.master("local[2]").appName("compat").config("spark.ui.enabled", "false")
            .config("spark.jars", ",".join(sorted(glob.glob(JARS)))).config("spark.sql.shuffle.partitions", "2")
            .config("spark.driver.memory", "1g").config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
            .getOrCreate())


def read(spark, name, **options):
    """A batch read; options as Spark names them."""
    made = spark.read.format("kafka").option("kafka.bootstrap.servers", BOOTSTRAP).option("subscribe", name)
    for option, value in options.items():
        made = made.option(option.replace("__", "."), value)
    return made.load()


def write(frame, name):
    frame.write.format("kafka").option("kafka.bootstrap.servers", BOOTSTRAP).option("topic", name).save()


def numbers(spark, begin, end):
    return spark.range(begin, end).select(F.col("id").cast("string").alias("key"), F.concat(F.lit("value "), F.col("id")).alias("value"))


def values(frame):
    return sorted(r[0] for r in frame.select(F.col("value").cast("string")).collect())


def expected(begin, end):
    return sorted("value %d" % i for i in range(begin, end))


def batch():
    name = PREFIX + "-batch"
    headers = F.array(F.struct(F.lit("a").alias("key"), F.lit("1").cast("binary").alias("value")))
    write(numbers(spark, 0, 1000).withColumn("headers", headers).withColumn("partition", (F.col("key") % 4).cast("int")), name)
    frame = read(spark, name, includeHeaders="true")
    equal("values", values(frame), expected(0, 1000))
    first = frame.where("CAST(key AS STRING) = '7'").collect()[0]
    equal("a record", (bytes(first["key"]), bytes(first["value"]), first["topic"], first["partition"], first["timestampType"],
                       [(h["key"], bytes(h["value"])) for h in first["headers"]]), (b"7", b"value 7", name, 3, 0, [("a", b"1")]))
    equal("offsets", frame.groupBy("partition").agg(F.min("offset"), F.max("offset"), F.count("*")).orderBy("partition").collect(),
          [(p, 0, 249, 250) for p in range(4)])
    some = read(spark, name, startingOffsets='{"%s":{"0":240,"1":250,"2":250,"3":-2}}' % name, endingOffsets='{"%s":{"0":-1,"1":-1,"2":-1,"3":5}}' % name)
    equal("from offsets to offsets", [tuple(r) for r in some.groupBy("partition").count().orderBy("partition").collect()], [(0, 10), (3, 5)])
    middle = frame.agg(F.max("timestamp")).collect()[0][0]
    later = read(spark, name, startingTimestamp=str(int(middle.timestamp() * 1000) + 3350000), startingOffsetsByTimestampStrategy="latest")
    equal("from a time that nobody reached", later.count(), 0)
    equal("from a time", read(spark, name, startingTimestamp="1").count(), 1000)
    split = read(spark, name, minPartitions="8")
    equal("in eight parts", (split.rdd.getNumPartitions() >= 8, split.count()), (True, 1000))
    pattern = spark.read.format("kafka").option("kafka.bootstrap.servers", BOOTSTRAP).option("subscribePattern", PREFIX + "-bat.*").load()
    equal("by a pattern", pattern.count(), 1000)
    nothing = frame.limit(0).select("key", "value")
    write(nothing, name)
    write(spark.createDataFrame([("k", None)], "key string, value string"), name)
    equal("null", read(spark, name).where("value is null").count(), 1)


def copy(spark, name, folder):
    """The query of the features streaming and checkpoint: NAME to NAME-out, 500 records a batch."""
    source = (spark.readStream.format("kafka").option("kafka.bootstrap.servers", BOOTSTRAP).option("subscribe", name)
              .option("startingOffsets", "earliest").option("maxOffsetsPerTrigger", "500").load())
    return (source.select("key", F.concat(F.lit("copy of "), F.col("value").cast("string")).alias("value"), "partition")
            .writeStream.format("kafka").option("kafka.bootstrap.servers", BOOTSTRAP).option("topic", name + "-out")
            .option("checkpointLocation", folder).start())


def streaming():
    name = PREFIX + "-streaming"
    write(numbers(spark, 0, 1500), name)
    with tempfile.TemporaryDirectory() as folder:
        query = copy(spark, name, folder)
        query.processAllAvailable()
        write(numbers(spark, 1500, 2000), name)
        query.processAllAvailable()
        equal("copied", values(read(spark, name + "-out")), sorted("copy of " + v for v in expected(0, 2000)))
        assert len(query.recentProgress) >= 4, "%d batches" % len(query.recentProgress)
        query.stop()
        query = copy(spark, name, folder)
        write(numbers(spark, 2000, 2100), name)
        query.processAllAvailable()
        query.stop()
        equal("copied after a restart", values(read(spark, name + "-out")), sorted("copy of " + v for v in expected(0, 2100)))
    with tempfile.TemporaryDirectory() as folder:
        source = (spark.readStream.format("kafka").option("kafka.bootstrap.servers", BOOTSTRAP).option("subscribe", name)
                  .option("startingOffsets", "earliest").load())
        counts = (source.groupBy((F.col("key").cast("string").cast("int") % 10).alias("digit")).count().writeStream.outputMode("complete")
                  .format("memory").queryName("counts").option("checkpointLocation", folder).start())
        counts.processAllAvailable()
        equal("counted", [tuple(r) for r in spark.sql("SELECT * FROM counts ORDER BY digit").collect()], [(d, 210) for d in range(10)])
        counts.stop()
    once = (spark.readStream.format("kafka").option("kafka.bootstrap.servers", BOOTSTRAP).option("subscribe", name)
            .option("startingOffsets", "latest").load())
    with tempfile.TemporaryDirectory() as folder:
        query = once.writeStream.format("noop").trigger(availableNow=True).option("checkpointLocation", folder).start()
        assert query.awaitTermination(60), "availableNow does not end"


def stream_for_ever(name, folder):
    """What checkpoint() kills."""
    query = copy(session(), name, folder)
    print("streams", flush=True)
    query.awaitTermination()


def checkpoint():
    """kill -9 in the middle, twice. Spark's sink for Kafka promises at least once: all is there, and after the end each value."""
    name = PREFIX + "-checkpoint"
    write(numbers(spark, 0, 3500), name)
    write(numbers(spark, 0, 0), name + "-out")
    with tempfile.TemporaryDirectory() as folder:
        seen = 0
        for _ in range(2):
            program = subprocess.Popen([sys.executable, __file__, JARS, BOOTSTRAP, PREFIX, "stream", name, folder], stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, start_new_session=True)
            try:
                while program.stdout.readline().strip() != b"streams":
                    assert program.poll() is None, "the program of the query ended"
                # Some batches are written, and not all: 500 records each.
                until("batches", lambda: len(glob.glob(folder + "/commits/[0-9]*")) > seen, 300)
            finally:
                os.killpg(program.pid, signal.SIGKILL)
                program.wait()
                program.stdout.close()
            seen = len(glob.glob(folder + "/commits/[0-9]*"))
        write(numbers(spark, 3500, 3600), name)
        query = copy(spark, name, folder)
        query.processAllAvailable()
        query.stop()
        got = [r[0] for r in read(spark, name + "-out").select(F.col("value").cast("string")).collect()]
        equal("each record", sorted(set(got)), sorted("copy of " + v for v in expected(0, 3600)))
        # What a killed batch had written comes again, and no more: two kills, 500 records a batch.
        assert len(got) <= 3600 + 2 * 500, "%d records" % len(got)
        print("note killed twice: %d records for 3600, Spark's sink is at least once" % len(got))


if sys.argv[3:4] == ["stream"]:
    stream_for_ever(*sys.argv[4:6])
spark = session()
spark.sparkContext.setLogLevel("ERROR")
version("%s, kafka-clients %s" % (pyspark.__version__, spark.sparkContext._jvm.org.apache.kafka.common.utils.AppInfoParser.getVersion()))
feature("batch", batch)
feature("streaming", streaming)
feature("checkpoint", checkpoint)
spark.stop()
