// segmentio's kafka-go against a broker. Arguments: BOOTSTRAP PREFIX; one line of output per feature.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"compat/check"

	"github.com/segmentio/kafka-go"
)

var bootstrap, prefix string
var client *kafka.Client
var ctx context.Context

func must[T any](value T, err error) T {
	check.Must(err)
	return value
}

func topic(name string, partitions int, configs ...kafka.ConfigEntry) {
	answer := must(client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: name, NumPartitions: partitions,
		ReplicationFactor: 1, ConfigEntries: configs}}}))
	check.Must(answer.Errors[name])
}

// fixed is a balancer that leaves the choice to the message.
func fixed(m kafka.Message, partitions ...int) int {
	for _, header := range m.Headers {
		if header.Key == "partition" {
			return must(strconv.Atoi(string(header.Value)))
		}
	}
	return partitions[0]
}

func write(name string, codec kafka.Compression, messages ...kafka.Message) {
	w := &kafka.Writer{Addr: kafka.TCP(bootstrap), Topic: name, RequiredAcks: kafka.RequireAll, Compression: codec,
		BatchTimeout: 10 * time.Millisecond, BatchBytes: 10 << 20, Balancer: kafka.BalancerFunc(fixed)}
	defer w.Close()
	check.Must(w.WriteMessages(ctx, messages...))
}

func numbered(count int) []kafka.Message {
	var out []kafka.Message
	for i := 0; i < count; i++ {
		out = append(out, kafka.Message{Value: []byte("value of the record " + strconv.Itoa(i))})
	}
	return out
}

func partitionReader(name string, more func(*kafka.ReaderConfig)) *kafka.Reader {
	conf := kafka.ReaderConfig{Brokers: []string{bootstrap}, Topic: name, MaxBytes: 20 << 20, MaxWait: 200 * time.Millisecond}
	if more != nil {
		more(&conf)
	}
	return kafka.NewReader(conf)
}

// read takes count messages, or what came in the seconds.
func read(r *kafka.Reader, count, seconds int) []kafka.Message {
	limited, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	defer cancel()
	var out []kafka.Message
	for len(out) < count {
		m, err := r.FetchMessage(limited)
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		check.Must(err)
		out = append(out, m)
	}
	return out
}

func records() {
	name := prefix + "-records"
	topic(name, 1)
	write(name, 0, kafka.Message{Key: []byte("key"), Value: []byte("value"), Time: time.UnixMilli(1234567890123),
		Headers: []kafka.Header{{Key: "a", Value: []byte("1")}, {Key: "e", Value: []byte("")}}}, kafka.Message{Key: []byte("tombstone")})
	r := partitionReader(name, nil)
	defer r.Close()
	got := read(r, 2, 20)
	check.Equal("records", len(got), 2)
	check.Equal("key, value, time, offset", fmt.Sprint(string(got[0].Key), string(got[0].Value), got[0].Time.UnixMilli(), got[0].Offset), "keyvalue1234567890123 0")
	check.Equal("headers", fmt.Sprint(got[0].Headers), "[{a [49]} {e []}]")
	check.That("tombstone", string(got[1].Key) == "tombstone" && got[1].Value == nil)
}

func codecs() {
	for _, codec := range []kafka.Compression{kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		name := prefix + "-codec-" + codec.String()
		topic(name, 1)
		write(name, codec, numbered(500)...)
		r := partitionReader(name, nil)
		got := read(r, 500, 20)
		check.Equal(codec.String(), len(got), 500)
		check.Equal(codec.String(), string(got[499].Value), "value of the record 499")
		r.Close()
	}
}

func large() {
	name := prefix + "-large"
	topic(name, 1, kafka.ConfigEntry{ConfigName: "max.message.bytes", ConfigValue: "6000000"})
	value := bytes.Repeat([]byte("0123456789"), 500000)
	write(name, 0, kafka.Message{Value: value})
	w := &kafka.Writer{Addr: kafka.TCP(bootstrap), Topic: name, RequiredAcks: kafka.RequireAll, BatchBytes: 20 << 20, MaxAttempts: 1, BatchTimeout: 10 * time.Millisecond}
	defer w.Close()
	err := w.WriteMessages(ctx, kafka.Message{Value: append(value, value...)})
	check.That(fmt.Sprint("too large: ", err), strings.Contains(fmt.Sprint(err), kafka.MessageSizeTooLarge.Title()))
	r := partitionReader(name, nil)
	defer r.Close()
	check.That("5 MB", bytes.Equal(read(r, 1, 20)[0].Value, value))
}

func offsets() {
	name := prefix + "-offsets"
	topic(name, 1)
	var all []kafka.Message
	for i := 0; i < 100; i++ {
		all = append(all, kafka.Message{Value: []byte(strconv.Itoa(i)), Time: time.UnixMilli(int64(1000 + i))})
	}
	write(name, 0, all...)
	listed := must(client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{name: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0),
		kafka.TimeOffsetOf(0, time.UnixMilli(1042))}}}))
	got := listed.Topics[name][0]
	check.Must(got.Error)
	_, has := got.Offsets[42]
	check.Equal("ends and by time", fmt.Sprint(got.FirstOffset, got.LastOffset, has), "0 100 true")
	r := partitionReader(name, nil)
	defer r.Close()
	check.Must(r.SetOffset(90))
	check.Equal("seek", string(read(r, 1, 20)[0].Value), "90")
	check.Must(r.SetOffsetAt(ctx, time.UnixMilli(1033)))
	check.Equal("seek to a time", string(read(r, 1, 20)[0].Value), "33")
	conn := must(kafka.DialLeader(ctx, "tcp", bootstrap, name, 0))
	defer conn.Close()
	first, last, err := conn.ReadOffsets()
	check.Must(err)
	check.Equal("by the connection", fmt.Sprint(first, last), "0 100")
	out := partitionReader(name, func(c *kafka.ReaderConfig) { c.OffsetOutOfRangeError = true })
	defer out.Close()
	check.Must(out.SetOffset(1000))
	limited, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	_, err = out.FetchMessage(limited)
	check.That(fmt.Sprint("out of range: ", err), errors.Is(err, kafka.OffsetOutOfRange))
}

// member reads in a group until it is closed; what it read is sent to values, after its commit.
func member(group, name string, values chan<- string) *kafka.Reader {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{bootstrap}, GroupID: group, Topic: name, MaxWait: 200 * time.Millisecond,
		StartOffset: kafka.FirstOffset, HeartbeatInterval: 300 * time.Millisecond, SessionTimeout: 10 * time.Second})
	go func() {
		for {
			m, err := r.FetchMessage(ctx)
			if err != nil {
				return
			}
			if r.CommitMessages(ctx, m) == nil {
				values <- string(m.Value)
			}
		}
	}()
	return r
}

// until waits for the group's members to have these numbers of partitions, in ascending order.
func until(group string, shares string) {
	var last string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		described := must(client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})).Groups[0]
		var counts []int
		for _, m := range described.Members {
			count := 0
			for _, assigned := range m.MemberAssignments.Topics {
				count += len(assigned.Partitions)
			}
			counts = append(counts, count)
		}
		sort.Ints(counts)
		last = fmt.Sprint(described.GroupState, counts)
		if last == "Stable"+shares {
			return
		}
	}
	panic("not in time: shares " + shares + ", last " + last)
}

func groups() {
	name, group := prefix+"-groups", prefix+"-group"
	topic(name, 4)
	values := make(chan string, 1000)
	one := member(group, name, values)
	two := member(group, name, values)
	until(group, "[2 2]")
	var all []kafka.Message
	for i := 0; i < 200; i++ {
		all = append(all, kafka.Message{Value: []byte(strconv.Itoa(i)), Headers: []kafka.Header{{Key: "partition", Value: []byte(strconv.Itoa(i % 4))}}})
	}
	write(name, 0, all...)
	seen := map[string]int{}
	late := time.After(time.Minute)
	for all := 0; all < 200; all++ {
		select {
		case value := <-values:
			seen[value]++
		case <-late:
			panic(fmt.Sprintf("not in time: %d of 200 records", len(seen)))
		}
	}
	check.Equal("each once", len(seen), 200)
	check.Must(two.Close())
	until(group, "[4]")
	check.Must(one.Close())
	committed := must(client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{name: {0, 1, 2, 3}}}))
	for _, p := range committed.Topics[name] {
		check.Equal("committed", p.CommittedOffset, int64(50))
	}
}

func transactions() {
	name, group, id := prefix+"-txn", prefix+"-txn-group", prefix+"-txn-id"
	topic(name, 1)
	made := must(client.InitProducerID(ctx, &kafka.InitProducerIDRequest{TransactionalID: id, TransactionTimeoutMs: 30000, ProducerID: -1, ProducerEpoch: -1}))
	check.Must(made.Error)
	p := made.Producer
	for round := 0; round < 4; round++ {
		added := must(client.AddPartitionsToTxn(ctx, &kafka.AddPartitionsToTxnRequest{TransactionalID: id, ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch,
			Topics: map[string][]kafka.AddPartitionToTxn{name: {{Partition: 0}}}}))
		check.Must(added.Topics[name][0].Error)
		check.Must(must(client.AddOffsetsToTxn(ctx, &kafka.AddOffsetsToTxnRequest{TransactionalID: id, ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch,
			GroupID: group})).Error)
		committed := must(client.TxnOffsetCommit(ctx, &kafka.TxnOffsetCommitRequest{TransactionalID: id, GroupID: group, ProducerID: p.ProducerID,
			ProducerEpoch: p.ProducerEpoch, GenerationID: -1, Topics: map[string][]kafka.TxnOffsetCommit{name: {{Partition: 0, Offset: int64(round + 1)}}}}))
		check.Must(committed.Topics[name][0].Error)
		check.Must(must(client.EndTxn(ctx, &kafka.EndTxnRequest{TransactionalID: id, ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch,
			Committed: round%2 == 0})).Error)
	}
	fetched := must(client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{name: {0}}}))
	check.Equal("offset of the last commit", fetched.Topics[name][0].CommittedOffset, int64(3))
}

func admin() {
	name, group := prefix+"-admin", prefix+"-admin-group"
	topic(name, 2, kafka.ConfigEntry{ConfigName: "retention.ms", ConfigValue: "3600000"})
	again := must(client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: name, NumPartitions: 1, ReplicationFactor: 1}}}))
	check.That("exists", errors.Is(again.Errors[name], kafka.TopicAlreadyExists))
	check.Must(must(client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: name, Count: 4}}})).Errors[name])
	// The client answers from its own memory for some seconds.
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		metadata := must(client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{name}}))
		if len(metadata.Topics[0].Partitions) == 4 {
			break
		}
		check.That("four partitions in time", time.Now().Before(end))
	}
	versions := must(client.ApiVersions(ctx, &kafka.ApiVersionsRequest{}))
	check.Must(versions.Error)
	check.Must(must(client.AlterConfigs(ctx, &kafka.AlterConfigsRequest{Resources: []kafka.AlterConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic,
		ResourceName: name, Configs: []kafka.AlterConfigRequestConfig{{Name: "retention.ms", Value: "7200000"}}}}})).
		Errors[kafka.AlterConfigsResponseResource{Type: int8(kafka.ResourceTypeTopic), Name: name}])
	incremental := must(client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: name, Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "cleanup.policy",
			Value: "compact", ConfigOperation: kafka.ConfigOperationSet}}}}}))
	check.Must(incremental.Resources[0].Error)
	described := must(client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic,
		ResourceName: name, ConfigNames: []string{"retention.ms", "cleanup.policy"}}}, IncludeSynonyms: true, IncludeDocumentation: true}))
	values := map[string]string{}
	for _, entry := range described.Resources[0].ConfigEntries {
		values[entry.ConfigName] = entry.ConfigValue
	}
	check.Equal("configs", values["retention.ms"]+values["cleanup.policy"], "7200000compact")
	committed := must(client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{
		name: {{Partition: 0, Offset: 7, Metadata: "why"}}}}))
	check.Must(committed.Topics[name][0].Error)
	fetched := must(client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{name: {0}}})).Topics[name][0]
	check.Equal("committed", fmt.Sprint(fetched.CommittedOffset, fetched.Metadata), "7why")
	coordinator := must(client.FindCoordinator(ctx, &kafka.FindCoordinatorRequest{Key: group, KeyType: kafka.CoordinatorKeyTypeConsumer}))
	check.Must(coordinator.Error)
	listed := must(client.ListGroups(ctx, &kafka.ListGroupsRequest{}))
	found := false
	for _, g := range listed.Groups {
		found = found || g.GroupID == group
	}
	check.That("group is listed", found)
	removed := must(client.OffsetDelete(ctx, &kafka.OffsetDeleteRequest{GroupID: group, Topics: map[string][]int{name: {0}}}))
	check.Must(removed.Topics[name][0].Error)
	check.Must(must(client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})).Errors[group])
	elected := must(client.ElectLeaders(ctx, &kafka.ElectLeadersRequest{Topic: name, Partitions: []int{0}}))
	check.That("elect", errors.Is(elected.PartitionResults[0].Error, kafka.ElectionNotNeeded))
	must(client.ListPartitionReassignments(ctx, &kafka.ListPartitionReassignmentsRequest{Topics: map[string]kafka.ListPartitionReassignmentsRequestTopic{
		name: {PartitionIndexes: []int{0}}}}))
	rule := kafka.ACLEntry{ResourceType: kafka.ResourceTypeTopic, ResourceName: name, ResourcePatternType: kafka.PatternTypeLiteral, Principal: "User:someone",
		Host: "*", Operation: kafka.ACLOperationTypeRead, PermissionType: kafka.ACLPermissionTypeAllow}
	check.Must(must(client.CreateACLs(ctx, &kafka.CreateACLsRequest{ACLs: []kafka.ACLEntry{rule}})).Errors[0])
	rules := must(client.DescribeACLs(ctx, &kafka.DescribeACLsRequest{Filter: kafka.ACLFilter{ResourceTypeFilter: kafka.ResourceTypeTopic, ResourceNameFilter: name,
		ResourcePatternTypeFilter: kafka.PatternTypeLiteral, Operation: kafka.ACLOperationTypeAny, PermissionType: kafka.ACLPermissionTypeAny}}))
	check.Equal("rules", len(rules.Resources[0].ACLs), 1)
	gone := must(client.DeleteACLs(ctx, &kafka.DeleteACLsRequest{Filters: []kafka.DeleteACLsFilter{{ResourceTypeFilter: kafka.ResourceTypeTopic, ResourceNameFilter: name,
		ResourcePatternTypeFilter: kafka.PatternTypeLiteral, Operation: kafka.ACLOperationTypeAny, PermissionType: kafka.ACLPermissionTypeAny}}}))
	check.Equal("deleted rules", len(gone.Results[0].MatchingACLs), 1)
	user := prefix + "-user"
	upserted := must(client.AlterUserScramCredentials(ctx, &kafka.AlterUserScramCredentialsRequest{Upsertions: []kafka.UserScramCredentialsUpsertion{{Name: user,
		Mechanism: kafka.ScramMechanismSha512, Iterations: 4096, Salt: []byte("salt"), SaltedPassword: bytes.Repeat([]byte("p"), 64)}}}))
	check.Must(upserted.Results[0].Error)
	users := must(client.DescribeUserScramCredentials(ctx, &kafka.DescribeUserScramCredentialsRequest{Users: []kafka.UserScramCredentialsUser{{Name: user}}}))
	check.Equal("iterations", users.Results[0].CredentialInfos[0].Iterations, 4096)
	quota := must(client.AlterClientQuotas(ctx, &kafka.AlterClientQuotasRequest{Entries: []kafka.AlterClientQuotaEntry{{Entities: []kafka.AlterClientQuotaEntity{{
		EntityType: "client-id", EntityName: user}}, Ops: []kafka.AlterClientQuotaOps{{Key: "producer_byte_rate", Value: 1e6}}}}}))
	check.Must(quota.Entries[0].Error)
	quotas := must(client.DescribeClientQuotas(ctx, &kafka.DescribeClientQuotasRequest{Components: []kafka.DescribeClientQuotasRequestComponent{{
		EntityType: "client-id", MatchType: 0, Match: user}}}))
	check.Equal("quota", quotas.Entries[0].Values[0].Value, 1e6)
	check.Must(must(client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{name}})).Errors[name])
}

func main() {
	bootstrap, prefix = os.Args[1], os.Args[2]
	check.Version("github.com/segmentio/kafka-go")
	limited, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	ctx = limited
	client = &kafka.Client{Addr: kafka.TCP(bootstrap), Timeout: 20 * time.Second}
	check.Feature("records", records)
	check.Feature("codecs", codecs)
	check.Feature("large", large)
	check.Feature("offsets", offsets)
	check.Feature("groups", groups)
	check.Feature("transactions", transactions)
	check.Feature("admin", admin)
}
