"""What observe says, against a real broker that was brought into a known state."""

import importlib
import json
import os
import signal
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError, LeaderNotAvailableError
from kafka.net.manager import KafkaConnectionManager
from kafka.structs import OffsetAndMetadata

from helpers import observe
from helpers.broker import embedded, stop
from helpers.lab import Lab, LabError, open_lab, wait_until
from helpers.observe import ask
from tests.unit import SOON


@pytest.fixture(scope="module")
def lab(module_home):
    """One broker for the whole file."""
    lab = open_lab("observing")
    yield lab
    lab.close()


@contextmanager
def own_brokers(tmp_path, monkeypatch, brokers):
    """A lab whose brokers may be killed; the lab of the other tests stays open."""
    monkeypatch.setenv("KAFKA_COURSE_HOME", str(tmp_path / "home"))
    client = {"bootstrap_servers": embedded.start(brokers, say=lambda text: None).bootstrap}
    lab = Lab("embedded", client, "mine-", admin=None)
    wait_until(lambda: len(ask.ask(lab, KafkaAdminClient.describe_cluster)["brokers"]) == brokers, "the brokers")
    lab.admin = KafkaAdminClient(**client)
    try:
        yield lab
    finally:
        lab.close()
        for node in [node for cluster in embedded.clusters() for node in cluster.running()]:
            os.kill(node.pid, signal.SIGKILL)
        stop(wipe=True)


@contextmanager
def refused(words):
    """One LabError with these words, within SOON."""
    start = time.monotonic()
    with pytest.raises(LabError, match=words):
        yield
    assert time.monotonic() - start < SOON


def is_said(question):
    """Whether observe answers, within SOON either way."""
    start = time.monotonic()
    try:
        question()
    except LabError:
        assert time.monotonic() - start < SOON
        return False
    return True


def send(lab, topic, *records, **settings):
    """Sends (partition, key, value) in this order, and returns the producer."""
    with KafkaProducer(**lab.client, **settings) as producer:
        for partition, key, value in records:
            producer.send(topic, key=key, value=value, partition=partition).get(10)


@contextmanager
def transactions(lab, name):
    producer = KafkaProducer(**lab.client, transactional_id=lab.name(name))
    try:
        producer.init_transactions()
        yield producer
    finally:
        producer.close()


@contextmanager
def member(lab, topic, group, name):
    with KafkaConsumer(topic, group_id=group, client_id=name, enable_auto_commit=False, **lab.client) as consumer:
        consumer.partitions_for_topic(topic)  # a leader that does not know them yet assigns nobody anything
        yield consumer


# ---- records -------------------------------------------------------------------------------------------------------


def test_records_come_by_partition_and_offset(lab):
    topic = lab.topic("orders", partitions=3)
    send(lab, topic, (2, b"ben", b"1"), (0, b"ann", b"2"), (2, b"ben", b"3"))
    frame = observe.records(lab, topic)
    assert frame[["partition", "offset", "key", "value"]].values.tolist() == [
        [0, 0, "ann", "2"],
        [2, 0, "ben", "1"],
        [2, 1, "ben", "3"],
    ]
    assert list(frame) == ["partition", "offset", "timestamp", "key", "value", "headers"]


def test_an_empty_topic_gives_an_empty_frame_with_the_same_types(lab):
    topic = lab.topic("orders", partitions=2)
    empty = observe.records(lab, topic)
    send(lab, topic, (1, b"k", b"v"))
    filled = observe.records(lab, topic)
    assert len(empty) == 0
    assert len(filled) == 1
    assert empty.dtypes.to_dict() == filled.dtypes.to_dict()


def test_timestamps_are_utc_to_the_millisecond(lab):
    topic = lab.topic("orders", retention_ms=-1)  # else a record of 2023 is deleted within a second
    with KafkaProducer(**lab.client) as producer:
        producer.send(topic, b"x", timestamp_ms=1_700_000_000_123).get(10)
    frame = observe.records(lab, topic)
    assert frame.timestamp.dtype == "datetime64[ms, UTC]"
    assert frame.timestamp[0] == pd.Timestamp("2023-11-14 22:13:20.123", tz="UTC")


def test_text_is_decoded_bytes_stay_and_null_is_none(lab):
    topic = lab.topic("orders")
    send(lab, topic, (0, "지우".encode(), "김치".encode()), (0, b"\xff", b"\xfe\xff"), (0, b"k", None), (0, None, b""))
    frame = observe.records(lab, topic)
    assert frame.key.tolist() == ["지우", b"\xff", "k", None]
    assert frame.value.tolist() == ["김치", b"\xfe\xff", None, ""]


def test_headers_are_a_dict(lab):
    topic = lab.topic("orders")
    with KafkaProducer(**lab.client) as producer:
        producer.send(topic, b"x", headers=[("trace", b"7"), ("raw", b"\xff")])
        producer.send(topic, b"y")
    assert observe.records(lab, topic).headers.tolist() == [{"trace": "7", "raw": b"\xff"}, {}]


def test_a_value_may_be_decoded_by_a_function_and_a_tombstone_stays_none(lab):
    topic = lab.topic("orders")
    send(lab, topic, (0, b"1", b'{"user": "ann"}'), (0, b"2", b"[1, 2]"), (0, b"3", None))
    frame = observe.records(lab, topic, key=int, value=json.loads)
    assert frame.key.tolist() == [1, 2, 3]
    assert frame.value.tolist() == [{"user": "ann"}, [1, 2], None]


def test_a_value_that_cannot_be_decoded_is_named(lab):
    topic = lab.topic("orders", partitions=2)
    send(lab, topic, (1, None, b"{}"), (1, None, b"no json"))
    with refused(r"The value of offset 1 in partition 1 of observing-orders cannot be decoded(.|\n)*JSONDecodeError"):
        observe.records(lab, topic, value=json.loads)


def test_aborted_records_are_left_out_when_only_committed_ones_are_asked_for(lab):
    topic = lab.topic("orders")
    with transactions(lab, "shop") as producer:
        for value, end in ((b"paid", producer.commit_transaction), (b"refused", producer.abort_transaction)):
            producer.begin_transaction()
            producer.send(topic, value, partition=0).get(10)
            end()
        assert observe.offsets(lab, topic).end[0] == 4  # the log ends with a marker
        assert observe.records(lab, topic)[["offset", "value"]].values.tolist() == [[0, "paid"], [2, "refused"]]
        assert observe.records(lab, topic, committed_only=True)[["offset", "value"]].values.tolist() == [[0, "paid"]]


def test_reading_committed_records_ends_before_an_open_transaction(lab):
    topic = lab.topic("orders")
    send(lab, topic, (0, None, b"before"))
    with transactions(lab, "shop") as producer:
        producer.begin_transaction()
        producer.send(topic, b"open", partition=0).get(10)
        send(lab, topic, (0, None, b"after"))
        assert observe.records(lab, topic).value.tolist() == ["before", "open", "after"]
        assert observe.records(lab, topic, committed_only=True).value.tolist() == ["before"]
        producer.abort_transaction()


def test_a_partition_of_markers_only_ends_too(lab):
    topic = lab.topic("orders", partitions=2)
    with transactions(lab, "shop") as producer:
        producer.begin_transaction()
        producer.send(topic, b"x", partition=1).get(10)
        producer.abort_transaction()
    lab.admin.delete_records({TopicPartition(topic, 1): 1})
    assert observe.offsets(lab, topic)[["beginning", "end"]].values.tolist() == [[0, 0], [1, 2]]
    assert len(observe.records(lab, topic)) == 0


def test_compacted_records_leave_gaps(lab):
    topic = lab.topic("latest", cleanup_policy="compact", segment_ms=100, min_cleanable_dirty_ratio=0.01)
    for value in (b"1", b"2", b"3"):
        send(lab, topic, (0, b"ann", value), (0, b"ben", value))
        time.sleep(0.11)  # a segment is rolled once it is older than segment.ms
    send(lab, topic, (0, b"cid", b"4"))
    wait_until(lambda: len(observe.records(lab, topic)) < 7, "the cleaner")
    frame = observe.records(lab, topic)
    assert frame.offset.tolist()[-1] == 6
    assert frame.drop_duplicates("key", keep="last").value.tolist() == ["3", "3", "4"]


def test_records_sent_after_the_call_are_not_read(lab, monkeypatch):
    topic = lab.topic("orders")
    send(lab, topic, (0, None, b"in time"))
    reader = importlib.import_module("helpers.observe.records")
    read = reader._read

    def too_late(*arguments):
        send(lab, topic, (0, None, b"too late"))
        return read(*arguments)

    monkeypatch.setattr(reader, "_read", too_late)
    assert observe.records(lab, topic).value.tolist() == ["in time"]
    monkeypatch.undo()
    assert observe.records(lab, topic).value.tolist() == ["in time", "too late"]


def test_a_topic_deleted_while_it_is_read_is_said(lab, monkeypatch):
    topic = lab.topic("orders")
    send(lab, topic, (0, None, b"x"))
    reader = importlib.import_module("helpers.observe.records")
    read = reader._read

    def deleted(*arguments):
        lab.admin.delete_topics([topic])
        wait_until(lambda: topic not in lab.admin.list_topics(), "the deletion")
        return read(*arguments)

    monkeypatch.setattr(reader, "_read", deleted)
    with refused("without a record from partition"):
        observe.records(lab, topic)


def test_big_records_are_read(lab):
    topic = lab.topic("orders", partitions=2, max_message_bytes=5_000_000)
    big = b"x" * 1_500_000
    send(lab, topic, (0, None, big), (0, None, b"small"), (1, None, big), max_request_size=5_000_000)
    assert [len(value) for value in observe.records(lab, topic).value] == [1_500_000, 5, 1_500_000]


def test_reading_leaves_no_group_behind(lab):
    topic = lab.topic("orders")
    send(lab, topic, (0, None, b"x"))
    before = lab.admin.list_groups()
    observe.records(lab, topic)
    assert lab.admin.list_groups() == before


def test_a_topic_of_another_chapter_can_be_read(lab):
    lab.admin.create_topics({"elsewhere-orders": {"num_partitions": 1, "replication_factor": 1}})
    send(lab, "elsewhere-orders", (0, None, b"x"))
    assert len(observe.records(lab, "elsewhere-orders")) == 1
    assert "elsewhere-orders" not in observe.topics(lab).topic.tolist()


# ---- offsets -------------------------------------------------------------------------------------------------------


def rows(frame):
    return frame.astype(object).where(frame.notna(), None).values.tolist()


def test_offsets_of_a_group_and_of_a_consumer(lab):
    topic, group, none = lab.topic("orders", partitions=3), lab.group("billing"), None
    send(lab, topic, *[(0, None, b"x")] * 5, (1, None, b"y"))
    lab.admin.delete_records({TopicPartition(topic, 0): 1})
    settings = {"group_id": group, "enable_auto_commit": False, "auto_offset_reset": "earliest"}
    with KafkaConsumer(**settings, **lab.client) as consumer:
        consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
        consumer.seek(TopicPartition(topic, 0), 4)
        consumer.commit({TopicPartition(topic, 0): OffsetAndMetadata(2, "", -1)})
        plain = observe.offsets(lab, topic)
        of_group = observe.offsets(lab, topic, group=group)
        of_consumer = observe.offsets(lab, topic, consumer=consumer)
        of_both = observe.offsets(lab, topic, group, consumer)
    assert list(plain) == ["partition", "beginning", "committed", "position", "end", "lag"]
    assert {str(dtype) for frame in (plain, of_both) for dtype in frame.dtypes} == {"Int64"}
    assert rows(plain) == [[0, 1, none, none, 5, none], [1, 0, none, none, 1, none], [2, 0, none, none, 0, none]]
    assert rows(of_group) == [[0, 1, 2, none, 5, 3], [1, 0, none, none, 1, none], [2, 0, none, none, 0, none]]
    assert rows(of_consumer) == [[0, 1, none, 4, 5, 1], [1, 0, none, 0, 1, 1], [2, 0, none, none, 0, none]]
    assert rows(of_both) == [[0, 1, 2, 4, 5, 3], [1, 0, none, 0, 1, none], [2, 0, none, none, 0, none]]


def test_a_consumer_closed_too_early(lab):
    topic = lab.topic("orders")
    with KafkaConsumer(**lab.client) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
    with refused("The consumer is closed"):
        observe.offsets(lab, topic, consumer=consumer)


def test_a_thousand_partitions_cost_no_more_requests_than_ten(lab, monkeypatch):
    wide, narrow, group = lab.topic("wide", partitions=1000), lab.topic("narrow", partitions=10), lab.group("billing")
    sent, send_request = [], KafkaConnectionManager.send

    def counted(manager, request, *arguments, **settings):
        if manager.config["client_id"] == "observe":
            sent.append(type(request).__name__)
        return send_request(manager, request, *arguments, **settings)

    requests, times = {}, {}
    for topic in (narrow, wide):
        places = [
            TopicPartition(topic, number) for number in range(len(lab.admin.describe_topics([topic])[0]["partitions"]))
        ]
        with (
            KafkaConsumer(group_id=group, enable_auto_commit=False, **lab.client) as consumer,
            monkeypatch.context() as patch,
        ):
            consumer.assign(places)
            consumer.commit(dict.fromkeys(places, OffsetAndMetadata(0, "", -1)))
            patch.setattr(KafkaConnectionManager, "send", counted)
            sent.clear()
            start = time.perf_counter()
            frame = observe.offsets(lab, topic, group, consumer)
            times[topic] = time.perf_counter() - start
        requests[topic] = sorted(sent)
        assert len(frame) == len(places)
        assert frame.notna().all(axis=None)
    assert requests[wide] == requests[narrow]
    assert len(requests[wide]) < 15
    assert times[wide] < 3
    start = time.perf_counter()
    assert len(observe.records(lab, wide)) == 0
    assert time.perf_counter() - start < 3


# ---- topics and replicas -------------------------------------------------------------------------------------------


def test_topics_of_this_chapter(lab):
    lab.reset()
    assert observe.topics(lab).empty
    plain, compacted = lab.topic("b", partitions=3), lab.topic("a", cleanup_policy="compact", segment_ms=1000)
    send(lab, plain, (0, None, b"x"), (2, None, b"y"))
    frame = observe.topics(lab)
    assert frame.values.tolist() == [
        [compacted, 1, 1, 0, {"cleanup.policy": "compact", "segment.ms": "1000"}],
        [plain, 3, 1, 2, {}],
    ]
    assert list(frame) == ["topic", "partitions", "replication", "records", "configs"]


def test_what_a_broker_said_is_told_and_not_that_the_time_ran_out(lab, monkeypatch):
    monkeypatch.setattr(ask, "DEADLINE", 2)
    answers = iter([LeaderNotAvailableError("no leader")])

    def question(admin):
        raise next(answers, KafkaTimeoutError("too late"))

    with refused("no leader"):
        ask.ask(lab, question)


def test_a_first_question_that_took_all_the_time_is_asked_again(lab, monkeypatch):
    asked, slept = [], []
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(slept), sleep=time.sleep)
    monkeypatch.setattr(ask, "time", clock)

    def question(admin):
        asked.append(admin)
        if len(asked) == 1:
            slept.append(3600)
            raise KafkaTimeoutError("the laptop was shut")
        return admin.describe_cluster()

    assert ask.ask(lab, question)["brokers"]


def of_broker_1(replicas):
    """What the metadata still say of broker 1: leader and in_sync of each of its replicas."""
    return replicas[replicas.broker == 1][["leader", "in_sync"]].to_numpy()


def test_replicas_and_offsets_while_a_broker_of_three_is_dead(tmp_path, monkeypatch):
    with own_brokers(tmp_path, monkeypatch, brokers=3) as lab:
        topic = "mine-orders"
        assignments = {0: [1, 2, 3], 1: [2, 3, 1]}
        topics = {topic: {"assignments": assignments}, "mine-alone": {"assignments": {0: [1]}}}
        ask.ask(lab, lambda admin: admin.create_topics(topics, wait_for_metadata=True))
        send(lab, topic, (0, None, b"x"), (1, None, b"y"), acks="all")
        frame = observe.replicas(lab, topic)
        assert list(frame) == ["partition", "broker", "leader", "in_sync"]
        assert frame[frame.leader].broker.tolist() == [1, 2]
        assert frame.in_sync.all()
        assert frame[["partition", "broker"]].values.tolist() == [[p, b] for p in (0, 1) for b in (1, 2, 3)]
        embedded.kill(1, brokers=3)
        wait_until(lambda: is_said(lambda: observe.offsets(lab, topic)), "a new leader of partition 0")
        assert observe.offsets(lab, topic).end.tolist() == [1, 1]
        assert len(observe.records(lab, topic)) == 2
        wait_until(lambda: not of_broker_1(observe.replicas(lab, topic)).any(), "every broker knows that 1 is dead")
        assert observe.replicas(lab, topic).leader.sum() == 2
        with refused(r"no leader for partition \[0\] of mine-alone"):
            observe.records(lab, "mine-alone")
        wait_until(lambda: not of_broker_1(observe.replicas(lab, "mine-alone"))[0, 0], "no leader of mine-alone")


# ---- groups --------------------------------------------------------------------------------------------------------


def test_members_and_state_of_a_group(lab):
    topic, group = lab.topic("orders", partitions=2), lab.group("billing")
    with member(lab, topic, group, "ben") as ben:
        wait_until(lambda: ben.poll(100) == {} and ben.assignment(), "the assignment")
        frame = observe.members(lab, group)
        assert frame.values.tolist() == [["ben", topic, [0, 1]]]
        assert list(frame) == ["member", "topic", "partitions"]
        assert frame.attrs["state"] == "Stable"
        assert observe.group_state(lab, group) == {"state": "Stable", "coordinator": 1, "protocol": "classic"}
    left = observe.members(lab, group)
    assert left.empty
    assert list(left) == ["member", "topic", "partitions"]
    assert observe.group_state(lab, group)["state"] == "Empty"


def test_a_group_is_asked_for_again_while_the_only_broker_is_fenced(lab, monkeypatch):
    topic, group = lab.topic("orders"), lab.group("billing")
    with member(lab, topic, group, "ben") as ben:
        wait_until(lambda: ben.poll(100) == {} and ben.assignment(), "the assignment")
        describe, looks = KafkaAdminClient.describe_cluster, []

        def busy(admin):
            looks.append(describe(admin))
            return {"brokers": [{"broker_id": 1, "is_fenced": len(looks) < 3}]}

        monkeypatch.setattr(KafkaAdminClient, "describe_cluster", busy)
        assert observe.group_state(lab, group)["state"] == "Stable"
        assert len(looks) == 3


def test_an_idle_member_is_seen(lab):
    topic, group = lab.topic("orders"), lab.group("billing")
    with member(lab, topic, group, "zoe") as zoe, member(lab, topic, group, "ann") as ann:

        def shared():
            for consumer in (zoe, ann):
                consumer.poll(50)
            frame = observe.members(lab, group) if group in [g["group_id"] for g in lab.admin.list_groups()] else []
            return len(frame) == 2 and frame.attrs["state"] == "Stable"

        wait_until(shared, "both members")
        frame = observe.members(lab, group)
    assert frame.member.tolist() == ["ann", "zoe"]
    assert sorted(frame.partitions.tolist()) == [[], [0]]
    assert frame.topic.isna().sum() == 1


def test_a_group_is_watched_while_members_come_and_go(lab):
    topic, group, began = lab.topic("orders", partitions=2), lab.group("billing"), time.monotonic()
    send(lab, topic, *[(0, None, b"x")] * 3, (1, None, b"y"))
    watch = observe.watch(lab, group, topic, since=began, every=0.02)

    def seen(state, lag):
        return any(row[1] == state and row[3] == lag for row in watch.rows)

    wait_until(lambda: seen("Dead", 4), "a look at the group that is not there")
    settings = {"group_id": group, "auto_offset_reset": "earliest", "enable_auto_commit": False}
    with KafkaConsumer(topic, **settings, **lab.client) as consumer:
        consumer.partitions_for_topic(topic)  # once in sixty times a consumer joins without, and gets nothing
        wait_until(lambda: consumer.poll(200), "records")
        wait_until(lambda: seen("Stable", 4), "a look at the member")
        consumer.commit({TopicPartition(topic, 0): OffsetAndMetadata(2, "", -1)})
        wait_until(lambda: seen("Stable", 2), "a look at the commit")
    wait_until(lambda: seen("Empty", 2), "a look after the member has left")
    frame = watch.stop()
    assert list(frame) == ["t", "state", "members", "lag"]
    assert frame.t.is_monotonic_increasing
    assert 0 < frame.t.iloc[0] < frame.t.iloc[-1] < time.monotonic() - began
    assert frame[frame.state == "Stable"].members.eq(1).all()
    assert frame[frame.state == "Empty"].members.eq(0).all()
    assert len(watch.stop()) == len(frame)
    assert not watch.thread.is_alive()


def test_a_watch_of_one_partition_sees_its_lag_alone_and_looks_a_last_time(lab):
    topic, group = lab.topic("orders", partitions=2), lab.group("billing")
    send(lab, topic, *[(0, None, b"x")] * 3, (1, None, b"y"))
    with KafkaConsumer(group_id=group, enable_auto_commit=False, **lab.client) as consumer:
        consumer.commit({TopicPartition(topic, 1): OffsetAndMetadata(0, "", -1)})
    watch = observe.watch(lab, group, topic, every=60, partition=1)
    wait_until(lambda: watch.rows, "a look")
    send(lab, topic, (1, None, b"z"))
    assert watch.stop().lag.tolist() == [1, 2]


def test_a_watch_ends_with_the_lab_and_outlives_a_broker_that_is_away(tmp_path, monkeypatch):
    with own_brokers(tmp_path, monkeypatch, brokers=1) as lab:
        topic = lab.topic("orders")
        watch = observe.watch(lab, lab.group("billing"), topic, every=0.02)
        wait_until(lambda: watch.rows, "a look")
        broker = psutil.Process(embedded.find().nodes[0].pid)
        broker.suspend()
        wait_until(lambda: watch.rows[-1][1] is None, "a look in vain")
        broker.resume()
        wait_until(lambda: watch.rows[-1][1] == "Dead", "a look again")
        for end in lab.at_close:
            end()
        watch.thread.join(5)
        assert not watch.thread.is_alive()
        frame = watch.stop()
    assert frame.lag.isna().any()
    assert frame.lag.notna().any()


@pytest.mark.parametrize(
    ("group", "topic", "words"),
    [
        ("billing", "nowhere", "There is no topic 'nowhere'"),
        ("billing", None, "is no name of a topic"),
        (7, "orders", "is no name of a group"),
    ],
)
def test_a_watch_that_cannot_begin(lab, group, topic, words):
    with refused(words):
        observe.watch(lab, group, topic)


# ---- errors --------------------------------------------------------------------------------------------------------

OF_A_TOPIC = [observe.records, observe.offsets, observe.replicas]
OF_A_GROUP = [observe.members, observe.group_state, lambda lab, group: observe.offsets(lab, "observing-any", group)]
LOOKS = [observe.topics, *(lambda lab, look=look: look(lab, "any") for look in OF_A_TOPIC + OF_A_GROUP)]


@pytest.mark.parametrize("look", OF_A_TOPIC)
def test_a_topic_that_does_not_exist(lab, look):
    with refused("There is no topic 'nowhere'"):
        look(lab, "nowhere")


@pytest.mark.parametrize("look", OF_A_TOPIC)
def test_a_deleted_topic(lab, look):
    topic = lab.topic("orders")
    lab.admin.delete_topics([topic])
    wait_until(lambda: topic not in lab.admin.list_topics(), "the deletion")
    with refused("There is no topic 'observing-orders'"):
        look(lab, topic)


@pytest.mark.parametrize("look", OF_A_TOPIC)
@pytest.mark.parametrize(
    "topic", [None, 7, "", b"orders", ["orders"], "no name", "\ud800", "x" * 250], ids=lambda topic: ascii(topic)[:9]
)
def test_a_topic_that_is_no_name(lab, look, topic):
    with refused("is no name of a topic"):
        look(lab, topic)


@pytest.mark.parametrize("look", OF_A_GROUP)
def test_a_group_that_does_not_exist(lab, look):
    lab.topic("any")
    with refused("There is no consumer group 'nobody'"):
        look(lab, "nobody")


@pytest.mark.parametrize("look", OF_A_GROUP)
@pytest.mark.parametrize("group", [b"billing", 7, ""], ids=repr)
def test_a_group_that_is_no_name(lab, look, group):
    with refused("is no name of a group"):
        look(lab, group)


@pytest.mark.parametrize(
    "look", [observe.topics, *(lambda lab, f=f: f(lab, "orders") for f in OF_A_TOPIC + OF_A_GROUP)]
)
def test_something_else_than_the_lab(look):
    with refused("The first argument is 'orders', and not the lab"):
        look("orders")


def test_something_else_than_a_consumer(lab):
    with refused("consumer is 'ben', and not a KafkaConsumer"):
        observe.offsets(lab, lab.topic("orders"), consumer="ben")


def test_a_frozen_and_a_dead_broker(tmp_path, monkeypatch, pause):
    with own_brokers(tmp_path, monkeypatch, brokers=1) as lab:
        topic = lab.topic("orders")
        send(lab, topic, (0, None, b"x"))
        broker = psutil.Process(embedded.find().nodes[0].pid)
        pause(broker.pid)
        with refused("did not answer"):
            observe.records(lab, topic)
        broker.resume()
        assert len(observe.records(lab, topic)) == 1
        broker.kill()
        broker.wait()
        for look in LOOKS:
            with refused("No broker listens on 127.0.0.1:"):
                look(lab)


def test_a_broker_that_dies_while_records_are_read(tmp_path, monkeypatch):
    with own_brokers(tmp_path, monkeypatch, brokers=1) as lab:
        topic = lab.topic("orders")
        send(lab, topic, (0, None, b"x"))
        reader = importlib.import_module("helpers.observe.records")
        read = reader._read

        def killed(*arguments):
            embedded.kill(1, brokers=1)
            return read(*arguments)

        monkeypatch.setattr(reader, "_read", killed)
        with refused("did not answer|does not answer"):
            observe.records(lab, topic)


def test_a_question_is_asked_again_while_a_leader_is_elected(lab):
    asked = []

    def question(admin):
        asked.append(admin)
        if len(asked) < 3:
            raise ask.LeaderNotAvailableError("not yet")
        return "an answer"

    assert ask.ask(lab, question) == "an answer"
    assert len(asked) == 3
