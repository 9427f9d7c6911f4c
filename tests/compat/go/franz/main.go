// franz-go and its kadm against a broker. Arguments: BOOTSTRAP PREFIX; one line of output per feature.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"compat/check"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var bootstrap, prefix string

func client(more ...kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap)}, more...)...)
	check.Must(err)
	return c
}

func limited(seconds int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second)
}

func topic(name string, partitions int32) {
	c := client()
	defer c.Close()
	ctx, cancel := limited(20)
	defer cancel()
	_, err := kadm.NewClient(c).CreateTopic(ctx, partitions, 1, nil, name)
	check.Must(err)
}

// read polls until count records came or the time is over.
func read(c *kgo.Client, count, seconds int) []*kgo.Record {
	ctx, cancel := limited(seconds)
	defer cancel()
	var out []*kgo.Record
	for len(out) < count && ctx.Err() == nil {
		fetches := c.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) {
				check.Must(e.Err)
			}
		}
		out = append(out, fetches.Records()...)
	}
	return out
}

func records() {
	t := prefix + "-records"
	topic(t, 2)
	c := client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer c.Close()
	ctx, cancel := limited(20)
	defer cancel()
	sent := &kgo.Record{Topic: t, Partition: 1, Key: []byte("key"), Value: []byte("value"), Timestamp: time.UnixMilli(1234567890123),
		Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "n", Value: nil}}}
	check.Must(c.ProduceSync(ctx, sent, &kgo.Record{Topic: t, Partition: 1}).FirstErr())
	r := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{t: {1: kgo.NewOffset().AtStart()}}))
	defer r.Close()
	got := read(r, 2, 20)
	check.Equal("records", len(got), 2)
	check.Equal("key, value", string(got[0].Key)+string(got[0].Value), "keyvalue")
	check.Equal("timestamp", got[0].Timestamp.UnixMilli(), int64(1234567890123))
	check.Equal("headers", fmt.Sprint(got[0].Headers), fmt.Sprint(sent.Headers))
	check.That("null key and value", got[1].Key == nil && got[1].Value == nil)
}

func codecs() {
	for name, codec := range map[string]kgo.CompressionCodec{"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()} {
		t := prefix + "-codec-" + name
		topic(t, 1)
		c := client(kgo.ProducerBatchCompression(codec), kgo.ConsumeTopics(t))
		ctx, cancel := limited(20)
		for i := 0; i < 500; i++ {
			c.Produce(ctx, &kgo.Record{Topic: t, Value: []byte("value of the record " + strconv.Itoa(i))}, nil)
		}
		check.Must(c.Flush(ctx))
		check.Equal(name, len(read(c, 500, 20)), 500)
		cancel()
		c.Close()
	}
}

func offsets() {
	t := prefix + "-offsets"
	topic(t, 1)
	c := client()
	defer c.Close()
	ctx, cancel := limited(20)
	defer cancel()
	for i := 0; i < 100; i++ {
		check.Must(c.ProduceSync(ctx, &kgo.Record{Topic: t, Value: []byte(strconv.Itoa(i)), Timestamp: time.UnixMilli(int64(1000 + i))}).FirstErr())
	}
	a := kadm.NewClient(c)
	start, err := a.ListStartOffsets(ctx, t)
	check.Must(err)
	end, err := a.ListEndOffsets(ctx, t)
	check.Must(err)
	at, err := a.ListOffsetsAfterMilli(ctx, 1042, t)
	check.Must(err)
	latest, err := a.ListMaxTimestampOffsets(ctx, t)
	check.Must(err)
	for _, listed := range []kadm.ListedOffsets{start, end, at, latest} {
		check.Must(listed.Error())
	}
	check.Equal("start, end, by time, largest time", fmt.Sprint(start[t][0].Offset, end[t][0].Offset, at[t][0].Offset, latest[t][0].Offset), "0 100 42 99")
	r := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{t: {0: kgo.NewOffset().AfterMilli(1090)}}))
	defer r.Close()
	check.Equal("from a time", string(read(r, 10, 20)[0].Value), "90")
}

// groups: two members share four partitions; who stays gets all; a new one finds what was committed.
func groups(name string, balancer kgo.GroupBalancer, more ...kgo.Opt) func() {
	return func() {
		t, group := prefix+"-"+name, prefix+"-group-"+name
		topic(t, 4)
		var lock sync.Mutex
		owned := map[*kgo.Client]int{}
		count := func(sign int) func(context.Context, *kgo.Client, map[string][]int32) {
			return func(_ context.Context, c *kgo.Client, changed map[string][]int32) {
				lock.Lock()
				defer lock.Unlock()
				owned[c] += sign * len(changed[t])
			}
		}
		shares := func(c *kgo.Client) int {
			lock.Lock()
			defer lock.Unlock()
			return owned[c]
		}
		member := func() *kgo.Client {
			return client(append([]kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(t), kgo.DisableAutoCommit(), kgo.Balancers(balancer),
				kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
				kgo.OnPartitionsAssigned(count(1)), kgo.OnPartitionsRevoked(count(-1)), kgo.OnPartitionsLost(count(-1))}, more...)...)
		}
		one, two := member(), member()
		ctx, cancel := limited(60)
		defer cancel()
		for ctx.Err() == nil {
			for _, c := range []*kgo.Client{one, two} {
				short, stop := context.WithTimeout(ctx, 100*time.Millisecond)
				c.PollFetches(short)
				stop()
			}
			if shares(one) == 2 && shares(two) == 2 {
				break
			}
		}
		check.Equal("shares", fmt.Sprint(shares(one), "+", shares(two)), "2+2")
		for i := 0; i < 200; i++ {
			check.Must(one.ProduceSync(ctx, &kgo.Record{Topic: t, Partition: int32(i % 4), Value: []byte(strconv.Itoa(i))}).FirstErr())
		}
		seen, all := map[string]bool{}, 0
		for len(seen) < 200 && ctx.Err() == nil {
			for _, c := range []*kgo.Client{one, two} {
				short, stop := context.WithTimeout(ctx, 100*time.Millisecond)
				for _, r := range c.PollFetches(short).Records() {
					seen[string(r.Value)] = true
					all++
				}
				stop()
			}
		}
		check.Equal("records, distinct and all", fmt.Sprint(len(seen), all), "200 200")
		check.Must(one.CommitUncommittedOffsets(ctx))
		check.Must(two.CommitUncommittedOffsets(ctx))
		two.Close()
		for ctx.Err() == nil && shares(one) != 4 {
			short, stop := context.WithTimeout(ctx, 100*time.Millisecond)
			one.PollFetches(short)
			stop()
		}
		check.Equal("all partitions for who stays", shares(one), 4)
		one.Close()
		three := member()
		defer three.Close()
		check.Equal("nothing is read again", len(read(three, 1, 4)), 0)
	}
}

func transactions() {
	in, out, group := prefix+"-txn-in", prefix+"-txn-out", prefix+"-txn-group"
	topic(in, 1)
	topic(out, 1)
	p := client()
	defer p.Close()
	ctx, cancel := limited(60)
	defer cancel()
	for i := 0; i < 20; i++ {
		check.Must(p.ProduceSync(ctx, &kgo.Record{Topic: in, Value: []byte(strconv.Itoa(i))}).FirstErr())
	}
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(bootstrap), kgo.TransactionalID(prefix+"-txn"), kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(in), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RequireStableFetchOffsets())
	check.Must(err)
	seen := 0
	for seen < 20 && ctx.Err() == nil {
		fetches := session.PollFetches(ctx)
		check.Must(session.Begin())
		for _, r := range fetches.Records() {
			session.Produce(ctx, &kgo.Record{Topic: out, Value: r.Value}, nil)
			seen++
		}
		committed, err := session.End(ctx, kgo.TryCommit)
		check.Must(err)
		check.That("committed", committed)
	}
	check.Must(session.Begin())
	session.Produce(ctx, &kgo.Record{Topic: out, Value: []byte("aborted")}, nil)
	_, err = session.End(ctx, kgo.TryAbort)
	check.Must(err)
	session.Close()
	r := client(kgo.ConsumeTopics(out), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer r.Close()
	check.Equal("read_committed", len(read(r, 21, 4)), 20)
	committed, err := kadm.NewClient(p).FetchOffsets(ctx, group)
	check.Must(err)
	check.Equal("offset committed in the transaction", committed[in][0].At, int64(20))
}

func admin() {
	c := client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer c.Close()
	a := kadm.NewClient(c)
	ctx, cancel := limited(60)
	defer cancel()
	t, group := prefix+"-admin", prefix+"-admin-group"
	retention := "3600000"
	_, err := a.ValidateCreateTopics(ctx, 2, 1, nil, t)
	check.Must(err)
	_, err = a.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": &retention}, t)
	check.Must(err)
	_, err = a.CreateTopic(ctx, 2, 1, nil, t)
	check.That("exists", errors.Is(err, kerr.TopicAlreadyExists))
	grown, err := a.UpdatePartitions(ctx, 4, t)
	check.Must(err)
	check.Must(grown.Error())
	longer := "7200000"
	altered, err := a.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &longer}}, t)
	check.Must(err)
	check.Must(altered[0].Err)
	configs, err := a.DescribeTopicConfigs(ctx, t)
	check.Must(err)
	for _, config := range configs[0].Configs {
		if config.Key == "retention.ms" {
			check.Equal("retention.ms", *config.Value, longer)
		}
	}
	brokers, err := a.ListBrokers(ctx)
	check.Must(err)
	check.Equal("brokers", len(brokers), 1)
	brokerConfigs, err := a.DescribeBrokerConfigs(ctx, brokers[0].NodeID)
	check.Must(err)
	check.Must(brokerConfigs[0].Err)
	topics, err := a.ListTopics(ctx, t)
	check.Must(err)
	check.Equal("partitions", len(topics[t].Partitions), 4)
	for i := 0; i < 10; i++ {
		check.Must(c.ProduceSync(ctx, &kgo.Record{Topic: t, Value: []byte("v")}).FirstErr())
	}
	var at kadm.Offsets
	at.Add(kadm.Offset{Topic: t, Partition: 0, At: 4, LeaderEpoch: -1})
	deleted, err := a.DeleteRecords(ctx, at)
	check.Must(err)
	check.Equal("low watermark", deleted[t][0].LowWatermark, int64(4))
	check.Must(a.CommitAllOffsets(ctx, group, at))
	fetched, err := a.FetchOffsets(ctx, group)
	check.Must(err)
	check.Equal("committed", fetched[t][0].At, int64(4))
	lags, err := a.Lag(ctx, group)
	check.Must(err)
	check.Equal("lag", lags[group].Lag.Total(), int64(6))
	listed, err := a.ListGroups(ctx)
	check.Must(err)
	check.Equal("state", listed[group].State, "Empty")
	removed, err := a.DeleteOffsets(ctx, group, at.TopicsSet())
	check.Must(err)
	check.Must(removed[t][0])
	groups, err := a.DeleteGroups(ctx, group)
	check.Must(err)
	check.Must(groups.Error())
	dirs, err := a.DescribeAllLogDirs(ctx, nil)
	check.Must(err)
	check.That("log dirs", len(dirs) == 1)
	producers, err := a.DescribeProducers(ctx, topics.TopicsSet())
	check.Must(err)
	check.That("producers", len(producers) == 1)
	_, err = a.ListTransactions(ctx, nil, nil)
	check.Must(err)
	_, err = a.ListPartitionReassignments(ctx, topics.TopicsSet())
	check.Must(err)
	_, err = a.ElectLeaders(ctx, kadm.ElectPreferredReplica, topics.TopicsSet())
	check.Must(err)
	versions, err := a.ApiVersions(ctx)
	check.Must(err)
	check.That("versions", len(versions) == 1)
	_, err = a.OffsetForLeaderEpoch(ctx, leaderEpochs(t))
	check.Must(err)
	gone, err := a.DeleteTopics(ctx, t)
	check.Must(err)
	check.Must(gone.Error())
}

func leaderEpochs(t string) kadm.OffsetForLeaderEpochRequest {
	var r kadm.OffsetForLeaderEpochRequest
	r.Add(t, 0, 0)
	return r
}

func main() {
	bootstrap, prefix = os.Args[1], os.Args[2]
	check.Version("github.com/twmb/franz-go")
	check.Feature("records", records)
	check.Feature("codecs", codecs)
	check.Feature("offsets", offsets)
	check.Feature("groups", groups("eager", kgo.RangeBalancer()))
	check.Feature("cooperative", groups("cooperative", kgo.CooperativeStickyBalancer()))
	check.Feature("consumer_protocol", groups("consumer", kgo.RangeBalancer(), kgo.ServerSideBalancer()))
	check.Feature("transactions", transactions)
	check.Feature("admin", admin)
}
