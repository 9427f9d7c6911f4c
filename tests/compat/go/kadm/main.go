// kadm, franz-go's administration, against a broker: every call that it has. Arguments: BOOTSTRAP PREFIX; one line of output per feature.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"compat/check"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var bootstrap, prefix string
var client *kgo.Client
var a *kadm.Client
var ctx context.Context
var broker int32

func must[T any](value T, err error) T {
	check.Must(err)
	return value
}

func text(s string) *string { return &s }

// refused holds when the error is Kafka's error of that name.
func refused(what string, err error, want *kerr.Error) {
	if !errors.Is(err, want) {
		panic(fmt.Sprintf("%s: got %v, want %s", what, err, want.Message))
	}
}

func fill(t string, count int) {
	for i := 0; i < count; i++ {
		check.Must(client.ProduceSync(ctx, &kgo.Record{Topic: t, Partition: 0, Value: []byte("v"), Timestamp: time.UnixMilli(int64(1000 + i))}).FirstErr())
	}
}

func topics() {
	t := prefix + "-topics"
	check.Must(must(a.ValidateCreateTopics(ctx, 2, 1, nil, t)).Error())
	check.That("validated only", !must(a.ListTopics(ctx)).Has(t))
	must(a.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": text("3600000")}, t))
	_, err := a.CreateTopic(ctx, 2, 1, nil, t)
	refused("exists", err, kerr.TopicAlreadyExists)
	check.Must(must(a.CreateTopics(ctx, -1, -1, nil, t+"-default")).Error())
	check.Must(must(a.ValidateCreatePartitions(ctx, 1, t)).Error())
	check.Must(must(a.CreatePartitions(ctx, 1, t)).Error())
	check.Must(must(a.ValidateUpdatePartitions(ctx, 5, t)).Error())
	check.Must(must(a.UpdatePartitions(ctx, 4, t)).Error())
	refused("fewer", must(a.UpdatePartitions(ctx, 3, t)).Error(), kerr.InvalidPartitions)
	check.Equal("partitions", len(must(a.ListTopics(ctx, t))[t].Partitions), 4)
	check.That("internal ones too", len(must(a.ListTopicsWithInternal(ctx))) >= 2)
	check.Equal("brokers", len(must(a.ListBrokers(ctx))), 1)
	check.Equal("controller", must(a.BrokerMetadata(ctx)).Controller, broker)
	check.That("cluster id", must(a.Metadata(ctx, t)).Cluster != "")
	versions := must(a.ApiVersions(ctx))
	check.That("versions", len(versions) == 1 && versions[broker].Err == nil)
	fill(t, 10)
	for what, listed := range map[string]kadm.ListedOffsets{"start 0": must(a.ListStartOffsets(ctx, t)), "end 10": must(a.ListEndOffsets(ctx, t)),
		"committed 10": must(a.ListCommittedOffsets(ctx, t)), "time 4": must(a.ListOffsetsAfterMilli(ctx, 1004, t)),
		"latest 9": must(a.ListMaxTimestampOffsets(ctx, t)), "local 0": must(a.ListLocalLogStartOffsets(ctx, t)),
		"remote -1": must(a.ListLatestRemoteOffsets(ctx, t))} {
		check.Must(listed.Error())
		var word string
		var want int64
		fmt.Sscan(what, &word, &want)
		check.Equal("offset: "+word, listed[t][0].Offset, want)
	}
	var epochs kadm.OffsetForLeaderEpochRequest
	epochs.Add(t, 0, 0)
	ends := must(a.OffsetForLeaderEpoch(ctx, epochs))
	check.Equal("end of the epoch", ends[t][0].EndOffset, int64(10))
	var at kadm.Offsets
	at.Add(kadm.Offset{Topic: t, Partition: 0, At: 4, LeaderEpoch: -1})
	check.Equal("low watermark", must(a.DeleteRecords(ctx, at))[t][0].LowWatermark, int64(4))
	must(a.DeleteTopic(ctx, t))
	_, err = a.DeleteTopic(ctx, t)
	refused("gone", err, kerr.UnknownTopicOrPartition)
	check.Must(must(a.DeleteTopics(ctx, t+"-default")).Error())
}

func valueOf(configs kadm.ResourceConfigs, key string) string {
	for _, config := range configs[0].Configs {
		if config.Key == key && config.Value != nil {
			return *config.Value
		}
	}
	return ""
}

func configs() {
	t := prefix + "-configs"
	must(a.CreateTopic(ctx, 1, 1, nil, t))
	name := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: text("7200000")}}
	check.Must(must(a.ValidateAlterTopicConfigs(ctx, name, t))[0].Err)
	check.Equal("validated only", valueOf(must(a.DescribeTopicConfigs(ctx, t)), "retention.ms"), "604800000")
	check.Must(must(a.AlterTopicConfigs(ctx, name, t))[0].Err)
	check.Must(must(a.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: text("compact")}}, t))[0].Err)
	described := must(a.DescribeTopicConfigs(ctx, t))
	check.Equal("retention.ms", valueOf(described, "retention.ms"), "7200000")
	check.Equal("cleanup.policy", valueOf(described, "cleanup.policy"), "delete,compact")
	refused("a bad value", must(a.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: text("soon")}}, t))[0].Err, kerr.InvalidConfig)
	state := []kadm.AlterConfig{{Name: "max.message.bytes", Value: text("2000000")}}
	check.Must(must(a.ValidateAlterTopicConfigsState(ctx, state, t))[0].Err)
	check.Must(must(a.AlterTopicConfigsState(ctx, state, t))[0].Err)
	described = must(a.DescribeTopicConfigs(ctx, t))
	check.Equal("only what the state names", valueOf(described, "max.message.bytes")+" "+valueOf(described, "retention.ms"), "2000000 604800000")
	ofBroker := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "log.cleaner.threads", Value: text("2")}}
	check.Must(must(a.ValidateAlterBrokerConfigs(ctx, ofBroker, broker))[0].Err)
	check.Must(must(a.AlterBrokerConfigs(ctx, ofBroker, broker))[0].Err)
	check.Equal("of the broker", valueOf(must(a.DescribeBrokerConfigs(ctx, broker)), "log.cleaner.threads"), "2")
	check.Must(must(a.ValidateAlterBrokerConfigsState(ctx, ofBroker, broker))[0].Err)
	check.Must(must(a.AlterBrokerConfigsState(ctx, nil, broker))[0].Err)
	check.Must(must(a.DescribeBrokerConfigs(ctx))[0].Err)
	resources := must(a.ListConfigResources(ctx))
	check.Must(resources.Err)
	check.That("resources", len(resources.Resources) > 0)
}

func groups() {
	t, group := prefix+"-groups", prefix+"-group"
	must(a.CreateTopic(ctx, 1, 1, nil, t))
	fill(t, 10)
	var at kadm.Offsets
	at.Add(kadm.Offset{Topic: t, Partition: 0, At: 4, LeaderEpoch: -1, Metadata: "why"})
	check.Must(must(a.CommitOffsets(ctx, group, at)).Error())
	check.Must(a.CommitAllOffsets(ctx, group, at))
	fetched := must(a.FetchOffsets(ctx, group))[t][0]
	check.Equal("committed", fmt.Sprint(fetched.At, fetched.Metadata), "4why")
	check.Equal("of a topic", must(a.FetchOffsetsForTopics(ctx, group, t))[t][0].At, int64(4))
	many := a.FetchManyOffsets(ctx, group, group+"-none")
	check.Must(many[group].Err)
	check.Equal("of many", many[group].Fetched[t][0].At, int64(4))
	check.Equal("lag", must(a.Lag(ctx, group))[group].Lag.Total(), int64(6))
	check.Equal("listed", must(a.ListGroups(ctx))[group].State, "Empty")
	check.That("by state", len(must(a.ListGroups(ctx, "Stable"))) == 0)
	check.That("by type", len(must(a.ListGroupsByType(ctx, []string{"classic"}))) == 1)
	coordinators := a.FindGroupCoordinators(ctx, group)
	check.Must(coordinators.Error())
	check.Equal("coordinator", coordinators[group].NodeID, broker)
	member := must(kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group), kgo.ConsumeTopics(t), kgo.InstanceID("instance"),
		kgo.DisableAutoCommit(), kgo.Balancers(kgo.RangeBalancer())))
	check.Equal("from what was committed", len(member.PollFetches(ctx).Records()), 6)
	described := must(a.DescribeGroups(ctx, group))[group]
	check.Equal("described", fmt.Sprint(described.State, described.Protocol, len(described.Members), *described.Members[0].InstanceID), "Stablerange1instance")
	refused("not empty", must(a.DeleteGroups(ctx, group)).Error(), kerr.NonEmptyGroup)
	refused("offsets in use", must(a.DeleteOffsets(ctx, group, at.TopicsSet()))[t][0], kerr.GroupSubscribedToTopic)
	member.Close() // a static member does not leave
	left := must(a.LeaveGroup(ctx, kadm.LeaveGroup(group).Reason("removed by hand").InstanceIDs("instance")))
	check.Must(left.Error())
	check.Equal("after it left", must(a.DescribeGroups(ctx, group))[group].State, "Empty")
	check.Must(must(a.DeleteOffsets(ctx, group, at.TopicsSet()))[t][0])
	_, err := a.DeleteGroup(ctx, group)
	check.Must(err)
	refused("gone", must(a.DeleteGroups(ctx, group)).Error(), kerr.GroupIDNotFound)
	none := must(a.DescribeConsumerGroups(ctx, group))[group]
	refused("no such group", none.Err, kerr.GroupIDNotFound)
}

// shareGroups: the feature is raised, a group reads, and its offsets are administered.
func shareGroups() {
	t, group := prefix+"-share", prefix+"-share-group"
	must(a.CreateTopic(ctx, 1, 1, nil, t))
	check.Must(must(a.UpdateFeatures(ctx, true, kadm.FeatureUpdate{Feature: "share.version", MaxVersionLevel: 1, UpgradeType: 1})).Error())
	check.Must(must(a.UpdateFeatures(ctx, false, kadm.FeatureUpdate{Feature: "share.version", MaxVersionLevel: 1, UpgradeType: 1})).Error())
	refused("no such feature", must(a.UpdateFeatures(ctx, false, kadm.FeatureUpdate{Feature: "no.such.feature", MaxVersionLevel: 1,
		UpgradeType: 1})).Error(), kerr.InvalidUpdateVersion)
	refused("no such group", must(a.DescribeShareGroups(ctx, group))[group].Err, kerr.GroupIDNotFound)
	member := must(kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ShareGroup(group), kgo.ConsumeTopics(t)))
	closed := false
	defer func() {
		if !closed {
			member.Close()
		}
	}()
	// The group begins at the end of the topic: records are sent until one comes.
	sent, got := 0, 0
	for end := time.Now().Add(time.Minute); got == 0 || got < sent; {
		check.That(fmt.Sprintf("in time: %d of %d records", got, sent), time.Now().Before(end))
		if got == 0 {
			fill(t, 1)
			sent++
		}
		short, stop := context.WithTimeout(ctx, 500*time.Millisecond)
		for _, record := range member.PollFetches(short).Records() {
			if got == 0 {
				sent -= int(record.Offset) // those before it came before the group's begin
			}
			record.Ack(kgo.AckAccept)
			got++
		}
		stop()
	}
	described := must(a.DescribeShareGroups(ctx, group))[group]
	check.Must(described.Err)
	check.Equal("described", fmt.Sprint(described.GroupState, len(described.Members)), "Stable1")
	check.Equal("listed", len(must(a.ListGroupsByType(ctx, []string{"share"}))), 1)
	member.Close()
	closed = true
	check.Must(must(a.DescribeShareGroupOffsets(ctx, group))[group].Err)
	var to kadm.Offsets
	to.Add(kadm.Offset{Topic: t, Partition: 0, At: 0})
	check.Must(must(a.AlterShareGroupOffsets(ctx, group, to)).Error())
	check.Equal("altered", must(a.DescribeShareGroupOffsets(ctx, group))[group].Offsets[t][0].StartOffset, int64(0))
	check.Must(must(a.DeleteShareGroupOffsets(ctx, group, t)).Error())
	must(a.DeleteGroup(ctx, group))
	// kadm asks with a group's name; Kafka's key is group, topic id and partition, and brokers alone ask for it.
	refused("coordinator", a.FindShareCoordinators(ctx, group).Error(), kerr.InvalidRequest)
}

func cluster() {
	t := prefix + "-cluster"
	must(a.CreateTopic(ctx, 1, 1, nil, t))
	set := must(a.ListTopics(ctx, t)).TopicsSet()
	dirs := must(a.DescribeAllLogDirs(ctx, set))
	check.Must(dirs[broker].Error())
	check.Equal("log dirs", len(dirs[broker]), 1)
	check.Equal("log dirs of a broker", len(must(a.DescribeBrokerLogDirs(ctx, broker, set))), 1)
	var where string
	for dir := range dirs[broker] {
		where = dir
	}
	var move kadm.AlterReplicaLogDirsReq
	move.Add(where, set)
	moved := must(a.AlterAllReplicaLogDirs(ctx, move))
	check.Must(moved[broker][t][0].Err)
	check.Must(must(a.AlterBrokerReplicaLogDirs(ctx, broker, move))[t][0].Err)
	elected := must(a.ElectLeaders(ctx, kadm.ElectPreferredReplica, set))
	refused("elect", elected[t][0].Err, kerr.ElectionNotNeeded)
	var assign kadm.AlterPartitionAssignmentsReq
	assign.Assign(t, 0, []int32{broker})
	check.Must(must(a.AlterPartitionAssignments(ctx, assign)).Error())
	check.That("none moves", len(must(a.ListPartitionReassignments(ctx, set))) == 0)
	var cancel kadm.AlterPartitionAssignmentsReq
	cancel.CancelAssign(t, 0)
	refused("cancel", must(a.AlterPartitionAssignments(ctx, cancel)).Error(), kerr.NoReassignmentInProgress)
}

func access() {
	t, user := prefix+"-access", prefix+"-user"
	rules := func() *kadm.ACLBuilder {
		return kadm.NewACLs().Topics(t).Allow("User:" + user).AllowHosts("*").Operations(kadm.OpRead).ResourcePatternType(kadm.ACLPatternLiteral)
	}
	created := must(a.CreateACLs(ctx, rules()))
	check.Must(created[0].Err)
	check.Equal("described", len(must(a.DescribeACLs(ctx, rules()))[0].Described), 1)
	check.Equal("deleted", len(must(a.DeleteACLs(ctx, rules()))[0].Deleted), 1)
	check.Equal("none left", len(must(a.DescribeACLs(ctx, rules()))[0].Described), 0)
	altered := must(a.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: user, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: "password"}}))
	check.Must(altered.Error())
	check.Equal("iterations", must(a.DescribeUserSCRAMs(ctx, user))[user].CredInfos[0].Iterations, int32(4096))
	check.Must(must(a.AlterUserSCRAMs(ctx, []kadm.DeleteSCRAM{{User: user, Mechanism: kadm.ScramSha512}}, nil)).Error())
	refused("gone", must(a.DescribeUserSCRAMs(ctx, user)).Error(), kerr.ResourceNotFound)
	quota := []kadm.AlterClientQuotaEntry{{Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: text(user)}},
		Ops: []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Value: 1000000}}}}
	check.Must(must(a.ValidateAlterClientQuotas(ctx, quota))[0].Err)
	filter := []kadm.DescribeClientQuotaComponent{{Type: "client-id", MatchName: text(user), MatchType: 0}}
	check.Equal("validated only", len(must(a.DescribeClientQuotas(ctx, true, filter))), 0)
	check.Must(must(a.AlterClientQuotas(ctx, quota))[0].Err)
	check.Equal("quota", must(a.DescribeClientQuotas(ctx, true, filter))[0].Values[0].Value, float64(1000000))
	quota[0].Ops[0].Remove = true
	check.Must(must(a.AlterClientQuotas(ctx, quota))[0].Err)
	check.Equal("removed", len(must(a.DescribeClientQuotas(ctx, true, filter))), 0)
}

func transactions() {
	t, id := prefix+"-txn", prefix+"-txn-id"
	must(a.CreateTopic(ctx, 1, 1, nil, t))
	p := must(kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.TransactionalID(id)))
	defer p.Close()
	check.Must(p.BeginTransaction())
	check.Must(p.ProduceSync(ctx, &kgo.Record{Topic: t, Value: []byte("v")}).FirstErr())
	check.Equal("coordinator", a.FindTxnCoordinators(ctx, id)[id].NodeID, broker)
	check.Equal("listed", must(a.ListTransactions(ctx, nil, nil))[id].State, "Ongoing")
	check.Equal("by state", len(must(a.ListTransactions(ctx, nil, []string{"Empty"}))), 0)
	check.Equal("by pattern", len(must(a.ListTransactionsByTxPattern(ctx, nil, nil, prefix+"-txn-.*"))), 1)
	described := must(a.DescribeTransactions(ctx, id))[id]
	check.Must(described.Err)
	check.Equal("described", fmt.Sprint(described.State, described.Topics.Lookup(t, 0)), "Ongoingtrue")
	producers := must(a.DescribeProducers(ctx, described.Topics))
	check.Must(producers[t].Partitions[0].Err)
	var found int
	for _, producer := range producers[t].Partitions[0].ActiveProducers {
		check.Equal("producer", producer.ProducerID, described.ProducerID)
		found++
	}
	check.Equal("producers", found, 1)
	marked := must(a.WriteTxnMarkers(ctx, kadm.TxnMarkers{ProducerID: described.ProducerID, ProducerEpoch: described.ProducerEpoch, Commit: false,
		CoordinatorEpoch: 0, Topics: described.Topics}))
	check.Must(marked[described.ProducerID].Topics[t].Partitions[0].Err)
	check.Equal("end of what is decided", must(a.ListCommittedOffsets(ctx, t))[t][0].Offset, int64(2))
}

func tokens() {
	// On a listener without authentication Kafka gives none, and describing them is refused alike.
	_, err := a.CreateDelegationToken(ctx, kadm.CreateDelegationToken{MaxLifetime: time.Hour})
	refused("create", err, kerr.DelegationTokenRequestNotAllowed)
	_, err = a.DescribeDelegationTokens(ctx)
	refused("describe", err, kerr.DelegationTokenRequestNotAllowed)
	_, err = a.RenewDelegationToken(ctx, []byte("hmac"), time.Hour)
	refused("renew", err, kerr.DelegationTokenRequestNotAllowed)
	_, err = a.ExpireDelegationToken(ctx, []byte("hmac"), time.Hour)
	refused("expire", err, kerr.DelegationTokenRequestNotAllowed)
}

func main() {
	bootstrap, prefix = os.Args[1], os.Args[2]
	check.Version("github.com/twmb/franz-go/pkg/kadm")
	client = must(kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner())))
	a = kadm.NewClient(client)
	limited, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	ctx = limited
	broker = must(a.ListBrokers(ctx))[0].NodeID
	check.Feature("topics", topics)
	check.Feature("configs", configs)
	check.Feature("group_admin", groups)
	check.Feature("share_groups", shareGroups)
	check.Feature("cluster", cluster)
	check.Feature("access", access)
	check.Feature("transaction_admin", transactions)
	check.Feature("delegation_tokens", tokens)
}
