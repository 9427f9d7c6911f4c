// sarama (IBM) against a broker. Arguments: BOOTSTRAP PREFIX; one line of output per feature.
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

	"github.com/IBM/sarama"
)

var brokers []string
var prefix string

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	return c
}

func admin() sarama.ClusterAdmin {
	a, err := sarama.NewClusterAdmin(brokers, config())
	check.Must(err)
	return a
}

func topic(name string, partitions int32) {
	a := admin()
	defer a.Close()
	check.Must(a.CreateTopic(name, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false))
}

func producer(c *sarama.Config) sarama.SyncProducer {
	p, err := sarama.NewSyncProducer(brokers, c)
	check.Must(err)
	return p
}

// read takes count records of partition 0, or what came in the seconds.
func read(c *sarama.Config, t string, offset int64, count, seconds int) []*sarama.ConsumerMessage {
	consumer, err := sarama.NewConsumer(brokers, c)
	check.Must(err)
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(t, 0, offset)
	check.Must(err)
	defer partition.Close()
	var out []*sarama.ConsumerMessage
	late := time.After(time.Duration(seconds) * time.Second)
	for len(out) < count {
		select {
		case m := <-partition.Messages():
			out = append(out, m)
		case <-late:
			return out
		}
	}
	return out
}

func records() {
	t := prefix + "-records"
	topic(t, 1)
	p := producer(config())
	defer p.Close()
	sent := &sarama.ProducerMessage{Topic: t, Key: sarama.StringEncoder("key"), Value: sarama.StringEncoder("value"), Timestamp: time.UnixMilli(1234567890123),
		Headers: []sarama.RecordHeader{{Key: []byte("a"), Value: []byte("1")}}}
	_, offset, err := p.SendMessage(sent)
	check.Must(err)
	check.Equal("offset", offset, int64(0))
	_, _, err = p.SendMessage(&sarama.ProducerMessage{Topic: t})
	check.Must(err)
	got := read(config(), t, 0, 2, 20)
	check.Equal("records", len(got), 2)
	check.Equal("key, value", string(got[0].Key)+string(got[0].Value), "keyvalue")
	check.Equal("timestamp", got[0].Timestamp.UnixMilli(), int64(1234567890123))
	check.Equal("header", string(got[0].Headers[0].Key)+string(got[0].Headers[0].Value), "a1")
	check.That("null key and value", got[1].Key == nil && got[1].Value == nil)
}

func codecs() {
	for _, codec := range []sarama.CompressionCodec{sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD} {
		t := prefix + "-codec-" + codec.String()
		topic(t, 1)
		c := config()
		c.Producer.Compression = codec
		p := producer(c)
		var all []*sarama.ProducerMessage
		for i := 0; i < 500; i++ {
			all = append(all, &sarama.ProducerMessage{Topic: t, Value: sarama.StringEncoder("value of the record " + strconv.Itoa(i))})
		}
		check.Must(p.SendMessages(all))
		check.Must(p.Close())
		check.Equal(codec.String(), len(read(config(), t, 0, 500, 20)), 500)
	}
}

// versions: the protocol as clients of older brokers were configured to speak it.
func versions() {
	for _, version := range []sarama.KafkaVersion{sarama.V2_1_0_0, sarama.V2_8_0_0, sarama.V3_6_0_0, sarama.V4_0_0_0} {
		t := prefix + "-version-" + version.String()
		topic(t, 1)
		c := config()
		c.Version = version
		p := producer(c)
		_, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: t, Value: sarama.StringEncoder("v")})
		check.Must(err)
		check.Must(p.Close())
		check.Equal(version.String(), len(read(c, t, 0, 1, 20)), 1)
	}
}

func offsets() {
	t := prefix + "-offsets"
	topic(t, 1)
	p := producer(config())
	defer p.Close()
	for i := 0; i < 100; i++ {
		_, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: t, Value: sarama.StringEncoder(strconv.Itoa(i)), Timestamp: time.UnixMilli(int64(1000 + i))})
		check.Must(err)
	}
	c, err := sarama.NewClient(brokers, config())
	check.Must(err)
	defer c.Close()
	for at, want := range map[int64]int64{sarama.OffsetOldest: 0, sarama.OffsetNewest: 100, 1042: 42} {
		got, err := c.GetOffset(t, 0, at)
		check.Must(err)
		check.Equal(fmt.Sprint("offset at ", at), got, want)
	}
	check.Equal("from an offset", string(read(config(), t, 90, 10, 20)[9].Value), "99")
}

// member collects what a group member reads.
type member struct {
	lock   sync.Mutex
	seen   map[string]int
	claims int
	mark   bool
}

func (m *member) Setup(s sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.claims = 0
	for _, partitions := range s.Claims() {
		m.claims += len(partitions)
	}
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		m.lock.Lock()
		m.seen[string(message.Value)]++
		m.lock.Unlock()
		s.MarkMessage(message, "")
	}
	return nil
}

func (m *member) state() (int, int) {
	m.lock.Lock()
	defer m.lock.Unlock()
	return m.claims, len(m.seen)
}

// join runs a member until the returned function is called.
func join(group, t string) (*member, func()) {
	m := &member{seen: map[string]int{}}
	g, err := sarama.NewConsumerGroup(brokers, group, config())
	check.Must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := g.Consume(ctx, []string{t}, m); errors.Is(err, sarama.ErrClosedConsumerGroup) {
				return
			}
		}
	}()
	return m, func() { cancel(); <-done; g.Close() }
}

func until(what string, condition func() bool) {
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if condition() {
			return
		}
	}
	panic("not in time: " + what)
}

func groups() {
	t, group := prefix+"-groups", prefix+"-group"
	topic(t, 4)
	one, leaveOne := join(group, t)
	two, leaveTwo := join(group, t)
	until("two partitions each", func() bool { a, _ := one.state(); b, _ := two.state(); return a == 2 && b == 2 })
	c := config()
	c.Producer.Partitioner = sarama.NewManualPartitioner
	p := producer(c)
	defer p.Close()
	for i := 0; i < 200; i++ {
		_, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: t, Partition: int32(i % 4), Value: sarama.StringEncoder(strconv.Itoa(i))})
		check.Must(err)
	}
	until("all records", func() bool { _, a := one.state(); _, b := two.state(); return a+b == 200 })
	leaveTwo()
	until("all partitions for who stays", func() bool { a, _ := one.state(); return a == 4 })
	leaveOne()
	for value, count := range one.seen {
		check.That("read once: "+value, count == 1 && two.seen[value] == 0)
	}
	a := admin()
	defer a.Close()
	committed, err := a.ListConsumerGroupOffsets(group, nil)
	check.Must(err)
	for partition := int32(0); partition < 4; partition++ {
		check.Equal("committed", committed.GetBlock(t, partition).Offset, int64(50))
	}
}

func idempotence() {
	t := prefix + "-idempotence"
	topic(t, 1)
	c := config()
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
	p := producer(c)
	defer p.Close()
	for i := 0; i < 300; i++ {
		_, offset, err := p.SendMessage(&sarama.ProducerMessage{Topic: t, Value: sarama.StringEncoder("v")})
		check.Must(err)
		check.Equal("offset", offset, int64(i))
	}
}

func transactions() {
	t, group := prefix+"-txn", prefix+"-txn-group"
	topic(t, 1)
	c := config()
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
	c.Producer.Transaction.ID = prefix + "-txn-id"
	p := producer(c)
	defer p.Close()
	for round := 0; round < 6; round++ {
		check.Must(p.BeginTxn())
		for i := 0; i < 5; i++ {
			_, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: t, Value: sarama.StringEncoder("v")})
			check.Must(err)
		}
		check.Must(p.AddOffsetsToTxn(map[string][]*sarama.PartitionOffsetMetadata{t: {{Partition: 0, Offset: int64(round + 1)}}}, group))
		if round%2 == 0 {
			check.Must(p.CommitTxn())
		} else {
			check.Must(p.AbortTxn())
		}
	}
	committed := config()
	committed.Consumer.IsolationLevel = sarama.ReadCommitted
	check.Equal("read_committed", len(read(committed, t, 0, 16, 4)), 15)
	check.Equal("read_uncommitted", len(read(config(), t, 0, 31, 4)), 30)
	a := admin()
	defer a.Close()
	listed, err := a.ListConsumerGroupOffsets(group, map[string][]int32{t: {0}})
	check.Must(err)
	check.Equal("offset of the last commit", listed.GetBlock(t, 0).Offset, int64(5))
}

func administration() {
	a := admin()
	defer a.Close()
	t, group := prefix+"-admin", prefix+"-admin-group"
	retention := "3600000"
	check.Must(a.CreateTopic(t, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &retention}}, false))
	check.That("exists", errors.Is(a.CreateTopic(t, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}, false), sarama.ErrTopicAlreadyExists))
	check.Must(a.CreatePartitions(t, 4, nil, false))
	described, err := a.DescribeTopics([]string{t})
	check.Must(err)
	check.Equal("partitions", len(described[0].Partitions), 4)
	longer := "7200000"
	check.Must(a.IncrementalAlterConfig(sarama.TopicResource, t, map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &longer}}, false))
	entries, err := a.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: t, ConfigNames: []string{"retention.ms"}})
	check.Must(err)
	check.Equal("retention.ms", entries[0].Value, longer)
	check.Must(a.AlterConfig(sarama.TopicResource, t, map[string]*string{"retention.ms": &retention}, false))
	topics, err := a.ListTopics()
	check.Must(err)
	check.Equal("config in the list", *topics[t].ConfigEntries["retention.ms"], retention)
	p := producer(config())
	defer p.Close()
	for i := 0; i < 40; i++ {
		_, _, err = p.SendMessage(&sarama.ProducerMessage{Topic: t, Value: sarama.StringEncoder("v")})
		check.Must(err)
	}
	check.Must(a.DeleteRecords(t, map[int32]int64{0: 1}))
	nodes, controller, err := a.DescribeCluster()
	check.Must(err)
	check.That("controller", len(nodes) == 1 && nodes[0].ID() == controller)
	dirs, err := a.DescribeLogDirs([]int32{controller})
	check.Must(err)
	check.That("log dirs", len(dirs[controller]) == 1)
	m, leave := join(group, t)
	until("reads", func() bool { _, n := m.state(); return n > 0 })
	listed, err := a.ListConsumerGroups()
	check.Must(err)
	check.Equal("protocol type", listed[group], "consumer")
	groups, err := a.DescribeConsumerGroups([]string{group})
	check.Must(err)
	check.Equal("group", fmt.Sprint(groups[0].State, len(groups[0].Members)), "Stable1")
	leave()
	_, err = a.ListPartitionReassignments(t, []int32{0})
	check.Must(err)
	_, err = a.ElectLeaders(sarama.PreferredElection, map[string][]int32{t: {0}})
	check.Must(err)
	_, err = a.Coordinator(group)
	check.Must(err)
	check.Must(a.DeleteConsumerGroupOffset(group, t, 0))
	check.Must(a.DeleteConsumerGroup(group))
	user := prefix + "-user"
	upserted, err := a.UpsertUserScramCredentials([]sarama.AlterUserScramCredentialsUpsert{{Name: user, Mechanism: sarama.SCRAM_MECHANISM_SHA_256, Iterations: 4096, Salt: []byte("salt"), Password: []byte("password")}})
	check.Must(err)
	check.Equal("upsert", upserted[0].ErrorCode, sarama.ErrNoError)
	users, err := a.DescribeUserScramCredentials([]string{user})
	check.Must(err)
	check.Equal("iterations", users[0].CredentialInfos[0].Iterations, int32(4096))
	_, err = a.DeleteUserScramCredentials([]sarama.AlterUserScramCredentialsDelete{{Name: user, Mechanism: sarama.SCRAM_MECHANISM_SHA_256}})
	check.Must(err)
	check.Must(a.DeleteTopic(t))
}

func main() {
	brokers, prefix = []string{os.Args[1]}, os.Args[2]
	check.Version("github.com/IBM/sarama")
	check.Feature("records", records)
	check.Feature("codecs", codecs)
	check.Feature("versions", versions)
	check.Feature("offsets", offsets)
	check.Feature("groups", groups)
	check.Feature("idempotence", idempotence)
	check.Feature("transactions", transactions)
	check.Feature("admin", administration)
}
