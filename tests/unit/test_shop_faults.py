"""The shop's processes killed at each point, and its guards taken away, on a real broker."""

import itertools
import re
import sqlite3
from collections import Counter
from functools import partial
from types import SimpleNamespace

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, MemberToRemove

from helpers import shop
from helpers.lab import LabError, open_lab, wait_until
from helpers.shop import events, relay, retry, settings, steps, store, topics
from helpers.shop.story import PARTICIPANTS
from tests.unit.test_shop_run import broken

SERVICES = ["order", "coupon", "stock", "balance", "payment", "shipping", "data-platform", "projection", "sales-rank"]
PUBLISHING = {"order", "coupon", "stock", "balance", "payment"}  # the others send records only when a call has failed


@pytest.fixture
def lab(module_home):
    lab = open_lab("shopfaults")
    yield lab
    lab.close()


def proof(run, name):
    """What the checker says of an invariant."""
    checked = shop.invariants(run).set_index("invariant")["proof"]
    return next(text for invariant, text in checked.items() if invariant.startswith(f"{name} "))


@pytest.mark.parametrize(
    ("point", "dying"),
    [("before_db_commit", set(SERVICES)), ("after_db_commit", set(SERVICES)), ("after_ack", PUBLISHING)],
)
def test_every_service_is_killed_once_and_nothing_is_lost(lab, point, dying):
    crash = [{"service": name, "point": point} for name in SERVICES if name in dying]
    if point == "after_ack":  # not the charge, whose answer we wait for
        crash[:1] = [crash[0] | {"type": name} for name in ("balance.deduct", "order.completed")]
    run = shop.start(lab, crash=crash)
    run.charge("ann", 10_000)
    run.settle(40, restart=True)
    run.order("ann", "p-3", coupon="c-1")
    run.settle(90, restart=True)
    run.order("ann", "p-9")
    run.settle(40, restart=True)
    assert {line["service"] for line in steps.read(run.folder) if line["step"] == "crashed"} == dying
    assert run.statuses() == {"CANCELLED": 1, "COMPLETED": 1}
    assert run.sql("balance", "SELECT amount FROM balance") == [{"amount": 7_500}]
    assert broken(run) == []
    for order, clock in itertools.product(["o-0001", "o-0002"], [True, False]):
        story = shop.story(run, order, clock)
        assert shop.cross_check(run, order, story) == []
        assert story.loc[0, "source"] == "Customer"


def test_an_order_whose_answer_was_lost_is_placed_once(lab):
    run = shop.start(lab, crash={"service": "order", "point": "before_answer", "order": "o-0001"})
    run.charge("ann", 10_000)
    with pytest.raises(LabError, match=r"(?s)order-api does not answer: .*run.restart\('order'\).*with key='key-2'"):
        run.order("ann", "p-3")
    run.restart("order")
    assert run.order("ann", "p-3", key="key-2") == (202, {"orderId": "o-0001", "amount": 3_000})
    run.settle(40)
    assert run.statuses() == {"COMPLETED": 1}
    story = shop.story(run, "o-0001")
    assert "crash" in set(story["kind"])
    assert shop.cross_check(run, "o-0001", story) == []
    assert broken(run) == []
    send_once_more(run, "shop.balance.command", "o-0001")
    for clock in (True, False):
        story = shop.story(run, "o-0001", clock)
        assert shop.cross_check(run, "o-0001", story) == []
        [by_hand] = story.index[story["source"] == "Operator"]
        later = story.loc[by_hand + 1 :]
        assert later["label"].tolist()[0] == "again: deduct 3,000"
        assert set(later["target"]) == {"Balance"}


def send_once_more(run, topic, order):
    """Sends a record of the order once more, as it is, and waits until it is handled."""
    [one] = [record for record in topics.read(run.lab, topic) if events.is_of(record, order)]
    with KafkaProducer(**run.lab.client) as producer:
        producer.send(one.topic, one.value, one.key, one.headers).get(timeout=10)
    run.settle(30)


def test_what_is_dead_or_parked_is_accounted(lab):
    run = shop.start(lab, patience=4)
    for user in ("ann", "ben"):
        run.charge(user, 10_000)
    run.settle(30)
    change(
        run,
        """CREATE TRIGGER trap BEFORE INSERT ON ledger WHEN NEW.user = 'ann'
        BEGIN SELECT RAISE(ABORT, 'torn'); END""",
    )
    run.order("ann", "p-1")
    run.order("ben", "p-2")
    run.settle(60)
    assert run.statuses() == {"COMPLETED": 1, "NEEDS_OPERATOR": 1}
    assert broken(run) == []
    change(run, "UPDATE orders SET status = 'CANCELLED' WHERE status = 'NEEDS_OPERATOR'", "order")
    assert "o-0001 is CANCELLED, and balance.deduct (order-" in proof(run, "I6")
    change(run, "UPDATE orders SET status = 'RUNNING' WHERE id = 'o-0001'", "order")
    assert "I6 every" in shop.invariants(run).query("not holds")["invariant"].str[:8].tolist()
    change(run, "UPDATE orders SET placed = placed - 1000 WHERE id = 'o-0002'", "order")
    assert re.search(r"o-0002 took 10\d\d s, and not 45 s at most", proof(run, "I6"))
    change(run, "DELETE FROM orders WHERE id = 'o-0002'", "order")
    assert "o-0002 was accepted, and is gone" in proof(run, "I6")


def test_what_no_retry_mends_goes_to_the_dlq_and_is_accounted(lab):
    run = shop.start(lab)
    run.charge("ann", 10_000)
    for number, server in enumerate(["provider", "carrier", "data-platform-server"], 1):
        run.behave(server, {"do": "fail", "orderId": f"o-{number:04}", "times": 4})
        run.order("ann", "p-1")
    run.settle(90)  # the retries alone take 36 s
    assert run.statuses() == {"COMPLETED": 2, "NEEDS_OPERATOR": 1}
    for group in topics.RETRYING:
        [dead] = topics.read(lab, f"{group}.dlq")
        assert dict(dead.headers)["attempt"] == b"4"
        assert dict(dead.headers)["original-topic"] in (b"shop.order.event", b"shop.payment.command")
    assert broken(run) == []
    records = [row.place.partition("[")[0] for row in records_of(run, "o-0002")]
    assert records.index("product.sold") < records.index("shipping.dlq")
    for _ in range(2):  # an operator who is not sure that it worked
        replay_dead_letters(lab)
        run.settle(30)
    done = {"payment": "payment", "provider": "paid", "shipping": "shipment", "carrier": "parcel"}
    for service, table in (done | {"data-platform-server": "fact"}).items():
        there = [row["orders"] for row in run.sql(service, f"SELECT orders FROM {table} ORDER BY orders")]
        assert there == ["o-0001", "o-0002", "o-0003"][service not in ("payment", "provider") :], table
    assert run.statuses() == {"COMPLETED": 2, "NEEDS_OPERATOR": 1}
    assert broken(run) == ["L2"]  # what the operator sends is in no step log
    dead = [("o-0001", "payment", 0), ("o-0002", "shipping", 3), ("o-0003", "data-platform", 3)]
    for (order, group, sales), clock in itertools.product(dead, [True, False]):
        records = records_of(run, order, clock)
        by_hand = [number for number, row in enumerate(records) if row.source == "Operator"]
        [letter] = [number for number, row in enumerate(records) if row.place.startswith(f"{group}.dlq")]
        assert len(by_hand) == 2
        assert by_hand[0] > letter
        assert sum(row.place.startswith("product.sold") for row in records) == sales
    for _, group, _ in dead:
        for letter in topics.read(lab, f"{group}.dlq"):
            lab.admin.delete_records({TopicPartition(letter.topic, letter.partition): letter.offset + 1})
    for (order, group, _), clock in itertools.product(dead, [True, False]):
        rows = list(shop.story(run, order, clock).itertuples())
        sent = [row for row in records_of(run, order, clock) if ".retry." in row.place or row.source == "Operator"]
        assert [row.source for row in sent[-2:]] == ["Operator"] * 2
        assert [row.place.partition("[")[0] for row in sent[:-2]] == retry.topics(group)
        asked = [number for number, row in enumerate(rows) if row.kind == "call" and row.source == PARTICIPANTS[group]]
        assert asked[3] < min(number for number, row in enumerate(rows) if row.source == "Operator") < asked[4]


def test_more_retries_than_a_batch_wait_and_all_come_again(lab):
    run = shop.start(lab, batch=20)
    run.charge("ann", 10_000_000)
    run.behave("data-platform-server", {"do": "fail", "times": 200})
    for _ in range(200):
        run.order("ann", "p-1")
    run.settle(60)
    assert run.statuses() == {"COMPLETED": 200}
    assert run.sql("data-platform-server", "SELECT count(*) AS n FROM fact") == [{"n": 200}]
    assert broken(run) == []


def test_a_member_that_was_removed_gives_back_what_it_has_not_handled(lab):
    run = shop.start(lab, batch=1, cost=0.1)
    for _ in range(30):
        run.charge("ann", 100)
    wait_until(lambda: len(received_by(run, "balance")) > 5, "some charges to be received")
    lab.admin.remove_group_members(lab.name("balance"), [MemberToRemove(group_instance_id="balance")])
    run.settle(40)
    times = Counter(received_by(run, "balance"))
    assert [count for count in times.values() if count > 1] == [2]  # the one whose commit was refused
    assert len(times) == 30
    assert run.sql("balance", "SELECT amount FROM balance") == [{"amount": 3_000}]
    assert broken(run) == []


def received_by(run, service):
    """The offsets that a service has received, in order."""
    lines = [line for line in steps.read(run.folder) if line["service"] == service]
    return [line["offset"] for line in lines if line["step"] == "received"]


def test_what_is_given_back_comes_again_where_the_partition_stays(lab):
    lab.topic("back")
    with KafkaProducer(**lab.client) as producer:
        for value in (b"a", b"b", b"c", b"d", b"e"):
            producer.send(lab.name("back"), value).get(timeout=10)
    with KafkaConsumer(**lab.client, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(lab.name("back"), 0)])
        waiting, taken = retry.Waiting(consumer), []
        wait_until(lambda: taken.extend(waiting.take(200, 2)) or taken, "the first records")
        waiting.give_back()
        wait_until(lambda: taken.extend(waiting.take(200, 2)) or len(taken) > 4, "the others")
    assert [record.value for record in taken] == [b"a", b"b", b"c", b"d", b"e"]


def records_of(run, order, clock=True):
    """The records of an order's story, which must be true."""
    told = shop.story(run, order, clock)
    assert shop.cross_check(run, order, told) == []
    return list(told[told.target == "Kafka"].itertuples())


def replay_dead_letters(lab):
    """Sends what is in the DLQs back to where it came from, as a first attempt."""
    with KafkaProducer(**lab.client) as producer:
        for group in topics.RETRYING:
            for record in topics.read(lab, f"{group}.dlq"):
                target = lab.name(retry.header(record, "original-topic", ""))
                kept = [(name, value) for name, value in record.headers if name.startswith(("ce_", "content"))]
                producer.send(target, record.value, record.key, kept).get(timeout=10)


def test_a_record_that_the_broker_refuses_waits_in_the_outbox(lab):
    run = shop.start(lab)
    refuse_records(lab, "shop.balance.command")
    ones = charge_until_refused(run)
    assert run.charge("ann", 2)[0] == 202
    refuse_records(lab, "shop.balance.command", longest=1_000_000)
    run.settle(40)
    assert [row["amount"] for row in run.sql("balance", "SELECT amount FROM ledger ORDER BY id")] == [1] * ones + [2]
    assert broken(run) == []


def test_a_batch_that_the_broker_refuses_comes_again_in_order(lab, tmp_path):
    """The client splits a batch that is too large, and its flush() raises over the halves (kafka-python 3.0.12)."""
    lab.topic("shop.balance.command", partitions=6, max_message_bytes=100)
    chosen = settings.Settings(tmp_path, lab.prefix)
    me = SimpleNamespace(client=lab.client, name="order", log=lambda *event, **more: None)
    one = relay.Relay(me, chosen, "order", steps.Steps(tmp_path, "order", "order"))
    one.db, one.producer = store.connect(chosen.database("order")), one._producer()
    with store.transaction(one.db):
        for amount in (1, 2, 3):
            charge = events.new("balance.charge", request="r", userId="ann", chargeId=f"c-{amount}", amount=amount)
            store.add_to_outbox(one.db, "order", charge)
    assert one.publish() == 0
    refuse_records(lab, "shop.balance.command", longest=1_000_000)
    wait_until(lambda: one.publish() == 3, "all three to be acknowledged")  # the setting takes a moment
    amounts = [events.from_record(record).get_data()["amount"] for record in topics.read(lab, "shop.balance.command")]
    assert amounts == [1, 2, 3]
    one.producer.close()


def refuse_records(lab, topic, longest=100):
    """The broker takes no record longer than that into the topic."""
    wanted = {"max.message.bytes": str(longest)}
    lab.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, lab.name(topic), configs=wanted)])


def charge_until_refused(run):
    """Charges ann 1 until the broker refuses one, for a new setting takes a moment; returns the number of charges."""
    for number in itertools.count(1):
        run.charge("ann", 1)
        wait_until(partial(outcome, run, f"order-{number}"), "the send to be answered")
        if "fail" in outcome(run, f"order-{number}"):
            return number


def outcome(run, ce_id):
    """What has become of an event's sends, as a set of ok and fail."""
    sent = shop.sends(run)
    return set(sent[sent["ce_id"] == ce_id]["outcome"]) - {"unknown"}


# Guards taken away: the checker must see it, and name the record


def test_without_an_outbox_an_event_is_lost(lab):
    crash = {"service": "order", "point": "after_db_commit", "type": "stock.confirmed"}
    run = shop.start(lab, outbox=False, crash=crash)
    run.charge("ann", 10_000)
    run.order("ann", "p-3")
    run.restart("order")
    run.settle(40)
    assert run.statuses() == {"COMPLETED": 1}  # says the order service, and nobody else has heard of it
    assert broken(run) == ["I8", "I9"]
    [lost] = run.sql("order", "SELECT ce_id FROM outbox WHERE event LIKE '%order.completed%'")
    assert proof(run, "I8") == f"{lost['ce_id']} is in an outbox, and not in shop.order.event"
    assert "o-0001 is completed only" in proof(run, "I9")


def test_without_an_outbox_a_send_that_fails_is_only_logged(lab):
    run = shop.start(lab, outbox=False)
    refuse_records(lab, "shop.balance.command")
    refused = charge_until_refused(run)
    run.settle(40)
    assert broken(run) == ["I8"]
    assert proof(run, "I8") == f"order-{refused} is in an outbox, and not in shop.balance.command"


def test_with_the_offset_committed_before_the_work_a_command_is_lost(lab):
    crash = {"service": "balance", "point": "before_db_commit", "type": "balance.charge"}
    run = shop.start(lab, commit_first=True, crash=crash)
    run.charge("ann", 10_000)
    run.restart("balance")
    run.charge("ann", 500)
    run.settle(40)  # which looks at the offsets, and they run ahead of the work
    wait_until(lambda: run.sql("balance", "SELECT amount FROM balance") == [{"amount": 500}], "the second charge")
    run.settle(40)  # what balance has said of it
    assert broken(run) == ["I5"]
    [charge, _] = topics.read(lab, "shop.balance.command")
    place = f"shop.balance.command[{charge.partition}]@{charge.offset}"
    assert proof(run, "I5") == f"order-1 at {place} is neither in the ledger nor set aside"


def test_with_retry_topics_a_balance_loses_its_order(lab):
    run = shop.start(lab, retry_topics=("balance",))
    assert topics.drift(lab).empty
    run.charge("ann", 10_000)
    run.settle(30)
    torn = "BEGIN SELECT RAISE(ABORT, 'torn'); END"
    change(run, f"CREATE TRIGGER trap BEFORE INSERT ON ledger WHEN NEW.amount = 1 {torn}")
    run.charge("ann", 1)
    wait_until(lambda: list(topics.read(lab, "balance.retry.1s")), "the charge to be in a retry topic")
    run.charge("ann", 2)

    def amounts():
        return [row["amount"] for row in run.sql("balance", "SELECT amount FROM ledger ORDER BY id")]

    wait_until(lambda: amounts() == [10_000, 2], "the second charge")
    change(run, "DROP TRIGGER trap")
    run.settle(30)
    assert amounts() == [10_000, 2, 1]
    assert broken(run) == ["I5"]
    assert proof(run, "I5").startswith("ann: order-2 at shop.balance.command[")


def change(run, query, service="balance"):
    db = sqlite3.connect(run.settings.database(service))
    db.execute(query)
    db.commit()
    db.close()
