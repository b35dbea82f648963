"""The shop as it runs, on a real broker: orders, stories, invariants, faults, and guards taken away."""

import itertools
import re
import signal
import socket
import sqlite3
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock
from kafka import KafkaProducer, TopicPartition

from helpers import shop
from helpers.lab import LabError, open_lab, wait_until
from helpers.shop import __main__ as command_line
from helpers.shop import events, steps, topics
from helpers.shop.story import text
from tests.unit import SOON


@pytest.fixture
def lab(module_home):
    lab = open_lab("shoptest")
    yield lab
    lab.close()


def broken(run):
    """The invariants and the checks of the logs that do not hold, by their short names."""
    checked = [shop.invariants(run), shop.log_checks(run).rename(columns={"check": "invariant"})]
    return [name.split()[0] for table in checked for name in table[~table["holds"]]["invariant"]]


def told(run, order):
    """The story's records, replies to the saga and what became of deliveries, in order."""
    story = shop.story(run, order)
    return story[story["kind"].isin(["record", "reply"]) & (story["target"] == "Kafka")]["label"].tolist()


def kinds(run, order, who):
    story = shop.story(run, order)
    return story[(story["source"] == who) | (story["target"] == who)]["kind"].tolist()


def test_orders_and_their_stories(lab, monkeypatch):
    run = shop.start(lab)
    assert topics.drift(lab).empty
    run.charge("ann", 10_000)
    run.order("ann", "p-3", coupon="c-1")
    run.settle(30)
    assert told(run, "o-0001") == [
        "placed 2,500",
        "hold c-1",
        "held",
        "reserve 1 × p-3",
        "reserved",
        "deduct 2,500",
        "deducted",
        "balance is 7,500",
        "pay 2,500",
        "paid",
        "confirm",
        "confirmed",
        "confirm",
        "confirmed",
        "completed 2,500",
        "sold 1 × p-3",
    ]
    run.order("ann", "p-9")
    run.settle(30)
    assert told(run, "o-0002")[-1] == "cancelled: not enough balance"
    wrong_rules = [("provider", "decline"), ("provider", {"do": "refuse"}), ("carrier", {"do": "decline"})]
    for wrong in [("payment", {"do": "fail"}), *wrong_rules]:
        with pytest.raises(LabError, match="is no rule of a server"):
            run.behave(*wrong)
    run.behave("provider", {"do": "decline"})
    run.behave("data-platform-server", {"do": "fail", "times": 1})
    run.behave("carrier", {"do": "lie", "times": 1})  # fetches the parcel, and says that it has not
    run.order("ann", "p-2")
    run.settle(30)
    assert "refund 2,000" in told(run, "o-0003")
    run.behave("provider", {"do": "slow", "seconds": 2.5, "times": 1})  # a time-out: the outcome is unknown
    run.order("ann", "p-2")
    run.settle(30)
    assert run.statuses() == {"CANCELLED": 2, "COMPLETED": 2}
    places = " ".join(shop.story(run, "o-0004")["place"].dropna())
    assert "data-platform.retry.1s" in places
    assert "shipping.retry.1s" in places
    assert len(run.sql("carrier", "SELECT * FROM parcel")) == 2
    calls = shop.story(run, "o-0001").query("target == 'Carrier'")
    assert calls[["source", "label"]].values.tolist() == [["Shipping", "POST /parcels"]]
    assert set(shop.sends(run)["outcome"]) == {"ok"}
    assert run.sql("provider", "SELECT count(*) AS n FROM paid WHERE orders = 'o-0004'") == [{"n": 1}]
    assert broken(run) == []
    for order in ("o-0001", "o-0002", "o-0003", "o-0004"):
        assert shop.cross_check(run, order, shop.story(run, order)) == []
    stories_can_be_wrong(run)
    with pytest.raises(LabError, match="no record of an order"):
        shop.story(run, "o-9999")
    lose_a_step(run, "o-0001")
    with pytest.raises(LabError, match=r"(?s)no cause on record.*no log says that.*mend: .*run.settle\(30\)"):
        shop.story(run, "o-0001")
    damage(run)
    assert broken(run) == ["I1", "I3", "I6", "I8", "I9", "I10"]
    commands = lab.name("shop.payment.command")
    lab.admin.delete_records({TopicPartition(commands, number): -1 for number in range(6)})
    with pytest.raises(LabError, match="is not in its topic"):
        shop.story(run, "o-0003")
    monkeypatch.setattr(topics, "create", after_the_end_of(run))
    shop.start(lab)
    with pytest.raises(LabError, match="another shop was started since"):
        shop.story(run, "o-0001")


def after_the_end_of(run):
    """topics.create, for a shop after this one: a service that still runs would write into the new topics."""
    create = topics.create

    def create_alone(*arguments):
        assert run.running() == []
        create(*arguments)

    return create_alone


def stories_can_be_wrong(run):
    """The cross-check names what is left out, and what is invented; each kind of row counts."""
    whole = shop.story(run, "o-0004", clock=False)
    assert whole.equals(shop.story(run, "o-0004", clock=False))
    assert whole["t"].isna().all()
    assert shop.cross_check(run, "o-0004", whole) == []
    for kind in ("call", "record", "deliver", "reply", "note", "commit"):
        [number, *_] = whole.index[whole["kind"] == kind]
        [wrong] = shop.cross_check(run, "o-0004", whole.drop(number))
        assert wrong.startswith("on record and not drawn: ")
        [wrong] = shop.cross_check(run, "o-0004", whole.loc[[*whole.index, number]])
        assert wrong.startswith("drawn and not on record: ")
    replies = whole.index[(whole["target"] == "Kafka") & whole["place"].str.startswith("saga.reply")]
    swapped = {replies[0]: replies[1], replies[1]: replies[0]}
    [wrong, *_] = shop.cross_check(run, "o-0004", whole.loc[[swapped.get(number, number) for number in whole.index]])
    assert wrong.startswith("drawn out of order: record saga.reply[")
    [first, *_] = whole.index[(whole["target"] == "Stock") & (whole["kind"] == "deliver")]
    [wrong, *_] = shop.cross_check(run, "o-0004", whole.loc[[first, *whole.index.drop(first)]])
    assert wrong.startswith("drawn out of order: Stock reserve")
    assert wrong.endswith("before the record")
    [first, second, *_] = whole.index[whole["target"] == "Balance"]
    swapped = {first: second, second: first}
    [wrong] = shop.cross_check(run, "o-0004", whole.loc[[swapped.get(number, number) for number in whole.index]])
    assert wrong.startswith("drawn out of order: Balance tx committed balance.command[")


def lose_a_step(run, order):
    """As if the stock's log were lost."""
    (run.folder / "stock.steps").write_text("")


def damage(run):
    """Breaks what the invariants stand on, each in its own way."""
    for service, change in {
        "balance": "UPDATE balance SET amount = amount + 1",
        "stock": "UPDATE stock SET free = free - 1 WHERE product = 'p-1'",
        "order": "UPDATE orders SET status = 'RUNNING' WHERE id = 'o-0001'",
        "coupon": "UPDATE outbox SET ce_id = 'lost-1' WHERE id = 1",
        "projection": "DELETE FROM page WHERE orders = 'o-0002'",
    }.items():
        with sqlite3.connect(run.settings.database(service)) as db:
            db.execute(change)
        db.close()


CRASH = {"service": "balance", "point": "after_db_commit", "type": "balance.deduct"}


@pytest.mark.parametrize(
    ("options", "red", "delivery"),
    [({}, [], "refused"), ({"inbox": False}, ["I2", "I5"], "redeliver")],
    ids=["inbox", "no inbox"],
)
def test_a_crash_between_database_and_offset(lab, options, red, delivery):
    run = shop.start(lab, crash=CRASH, **options)
    run.charge("ann", 10_000)
    run.order("ann", "p-3")
    run.restart("balance")
    run.settle(40)
    assert shop.cross_check(run, "o-0001", shop.story(run, "o-0001", clock=False)) == []
    story = shop.story(run, "o-0001")
    assert shop.cross_check(run, "o-0001", story) == []
    first_reply = story.index[(story["source"] == "Balance") & (story["label"] == "deducted")][0]
    again = story.index[story["label"].str.startswith("again: deduct ")][0]
    assert (first_reply < again) == answered_before_it_came_again(run, story.loc[first_reply, "place"])
    assert broken(run) == red
    assert [kind for kind in kinds(run, "o-0001", "Balance") if kind in ("crash", "refused", "redeliver")] == [
        "crash",
        delivery,
    ]
    proofs = "; ".join(shop.invariants(run)["proof"])
    assert ("o-0001 was deducted 2 times, by shop.balance.command[" in proofs) == bool(red)


def answered_before_it_came_again(run, place):
    """Whether a record was there, by the step logs, before balance received the command for the second time."""
    lines = [line for line in steps.read(run.folder) if line["step"] in ("published", "received")]
    there = min(line["t"] for line in lines if text(steps.where(line)) == place)
    commands = [line for line in lines if (line["service"], line["type"]) == ("balance", "balance.deduct")]
    return there < commands[1]["t"]


def test_an_order_given_up_before_the_restart_is_drawn_in_the_order_of_the_log(lab):
    run = shop.start(lab, crash=CRASH, patience=4)
    run.charge("ann", 10_000)
    run.order("ann", "p-3")
    wait_until(lambda: run.sql("order", "SELECT status FROM orders")[0]["status"] == "NEEDS_OPERATOR", "the end")
    run.restart("balance")
    run.settle(40)
    for clock in (True, False):
        story = shop.story(run, "o-0001", clock)
        said = story[story["source"] == "Relay"]["label"].str.partition(" ")[0].str.strip(":").tolist()
        assert said == ["placed", "reserve", "deduct", "refund", "stuck"]
        found = story[story["target"] == "Balance"]["kind"]
        assert found[~found.isin(["note", "commit"])].tolist() == ["deliver", "crash", "refused", "deliver"]
        swapped = {found.index[0]: (again := found[found == "refused"].index[0]), again: found.index[0]}
        [wrong] = shop.cross_check(run, "o-0001", story.loc[[swapped.get(number, number) for number in story.index]])
        assert wrong.startswith("drawn out of order: Balance refused balance.command[")
        assert shop.cross_check(run, "o-0001", story) == []


@pytest.mark.parametrize("point", ["before_db_commit", "after_ack"])
def test_other_crashes_have_one_effect(lab, point):
    run = shop.start(lab, crash=CRASH | {"point": point, "type": None})
    run.charge("ann", 10_000)
    run.restart("balance")
    run.order("ann", "p-3")
    run.settle(40)
    assert broken(run) == []
    assert run.sql("balance", "SELECT amount FROM balance") == [{"amount": 7_000}]


def test_without_keys_the_order_of_a_user_is_lost(lab):
    run = shop.start(lab, members=["balance-2"], without_key=("shop.balance.command",))
    shop.place_orders(run, shop.plan(60, 3, seed=3), seed=3)
    run.settle(40)
    assert broken(run) == ["I5"]
    proof = shop.invariants(run).set_index("holds").loc[False, "proof"]
    assert re.search(r"u-00\d: order-\d+ at shop.balance.command\[\d\]@\d+ was handled after order-", proof)


def test_a_plan_has_one_outcome_if_customers_wait_for_their_orders(lab):
    actions = shop.plan(40, 4, seed=4)
    expected = shop.baseline(actions)
    run = shop.start(lab)
    shop.place_orders(run, actions, seed=4, wait=True)
    run.settle(40)
    assert run.statuses() == {"CANCELLED": expected["cancelled"], "COMPLETED": expected["completed"]}
    assert broken(run) == []


def test_coupons_go_to_those_who_came_first(lab):
    run = shop.start(lab, coupons={"c-1": (500, 3)})
    wanted = {f"u-{n}": [("/coupons", {"userId": f"u-{n}", "couponId": "c-1"})] * 2 for n in range(6)}
    assert set(shop.place_orders(run, wanted)) == {202}
    run.settle(30)
    commands = [events.from_record(record).get_data() for record in topics.read(lab, "shop.coupon.command")]
    first = list(dict.fromkeys(command["userId"] for command in commands))[:3]
    assert {row["user"] for row in run.sql("order", "SELECT user FROM claim WHERE status = 'ISSUED'")} == set(first)
    assert run.claim("ben", "c-9") == (422, {"error": "no coupon c-9"})
    late = run.claim("ben", "c-1")[1]["claimId"]
    run.charge(first[0], 5_000)
    run.settle(30)
    assert run.claimed(late)[1]["reason"] == "no coupon left"
    run.order(first[0], "p-1", coupon="c-1")
    run.order("ben", "p-1", coupon="c-1")
    run.settle(30)
    assert run.statuses() == {"CANCELLED": 1, "COMPLETED": 1}
    assert broken(run) == []
    change(run, "UPDATE issued SET user = user || '-2'", "coupon")
    assert broken(run) == ["I4"]


def test_bad_input(lab):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(LabError, match="cannot listen on port"):
            shop.start(lab, port=taken.getsockname()[1])
    run = shop.start(lab)
    run.charge("ann", 10_000)
    for bad in ({"product": "p-99"}, {"quantity": 0}, {"quantity": -1}, {"quantity": 10**12}, {"coupon": "c-9"}):
        assert run.order("ann", **{"product": "p-1"} | bad)[0] == 422
    assert run.order("ann", "p-1", key="k") == run.order("ann", "p-1", key="k")
    assert run.order("ann", "p-2", key="k")[0] == 422
    with KafkaProducer(**lab.client) as producer:
        producer.send(lab.name("shop.balance.command"), b"\xff\x00", b"ann")
    locked = sqlite3.connect(run.settings.database("balance"), isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")  # another program writes, for longer than a service waits
    run.order("ann", "p-1")
    wait_until(lambda: "waits" in set(run.team.timeline()["event"]), "the balance service to wait", 15)
    locked.execute("ROLLBACK")
    locked.close()
    run.settle(40)
    assert run.statuses() == {"COMPLETED": 2}
    assert [(r.key, r.value) for r in topics.read(lab, "balance.dlq")] == [(b"ann", b"\xff\x00")]
    assert broken(run) == []


def test_an_event_that_does_not_fit_its_schema_is_set_aside_by_each_reader(lab):
    run = shop.start(lab)
    run.charge("ann", 10_000)
    _, placed = run.order("ann", "p-1", coupon="c-1")
    order = placed["orderId"]
    readers = {"shop.order.event": ["projection", "sales-rank", "shipping", "data-platform"]}
    readers |= {"shop.stock.command": ["stock"], "shop.saga.reply": ["order-saga"], "shop.coupon.command": ["coupon"]}
    with KafkaProducer(**lab.client) as producer:
        for topic in readers:
            misfit = next(name for name, (where, _, _) in events.TYPES.items() if where == topic)
            headers = [("ce_specversion", b"1.0"), ("ce_id", b"x-1"), ("ce_source", b"/x")]
            headers += [("ce_type", f"shop.{misfit}.v1".encode()), ("content-type", b"application/json")]
            headers += [("ce_correlationid", order.encode())]
            producer.send(lab.name(topic), b'{"orderId": 7}', b"o-1", headers)
    run.settle(40)
    assert run.statuses() == {"COMPLETED": 1}
    for reader in itertools.chain(*readers.values()):
        [dead] = topics.read(lab, f"{reader}.dlq")
        assert dead.value == b'{"orderId": 7}'
        assert dict(dead.headers)["error"]
    assert shop.cross_check(run, order, shop.story(run, order)) == []
    assert broken(run) == ["I8"]  # nobody's outbox has them
    assert "(x-1) is in no outbox" in shop.invariants(run).set_index("holds").loc[False, "proof"]


def test_an_event_that_cannot_be_handled_parks_its_key(lab):
    run = shop.start(lab)
    run.charge("ann", 10_000)
    run.settle(20)
    trap = """CREATE TRIGGER trap BEFORE INSERT ON ledger WHEN NEW.user = 'ann'
        BEGIN SELECT RAISE(ABORT, 'the page of ann is torn'); END"""
    change(run, trap)
    run.charge("ann", 1)
    run.charge("ben", 10_000)
    wait_until(lambda: parked(run) == ["the page of ann is torn"], "the first charge to be parked")
    change(run, "DROP TRIGGER trap")
    run.charge("ann", 2)
    wait_until(lambda: len(parked(run)) == 2, "the second charge to be parked behind it")
    assert parked(run)[1] == "behind one that is parked"
    run.settle(20)
    assert run.sql("balance", "SELECT user, amount FROM balance ORDER BY user") == [
        {"user": "ann", "amount": 10_000},
        {"user": "ben", "amount": 10_000},
    ]
    run.unpark("balance", "ann")
    wait_until(lambda: not parked(run), "the parked charges to be handled")
    run.settle(20)
    entries = run.sql("balance", "SELECT amount FROM ledger WHERE user = 'ann' ORDER BY id")
    assert [row["amount"] for row in entries] == [10_000, 1, 2]
    assert broken(run) == []
    with pytest.raises(LabError, match="Nothing of ann is parked"):
        run.unpark("balance", "ann")
    with pytest.raises(LabError, match=r"balanse is no process(.|\n)*balance, "):
        run.restart("balanse")
    run.team.kill()
    questions = [
        run.busy,
        lambda: run.settle(30),
        lambda: run.charge("ann", 1),
        lambda: run.claimed("claim-1"),
        lambda: run.behave("provider"),
        lambda: run.restart("balance"),
        lambda: shop.place_orders(run, shop.plan(9, 3, seed=1)),
    ]
    for question in questions:
        with pytest.raises(LabError, match="processes of this shop have ended"):
            question()


def parked(run):
    return [row["reason"] for row in run.sql("balance", "SELECT reason FROM parked ORDER BY id")]


def change(run, query, service="balance"):
    db = sqlite3.connect(run.settings.database(service))
    db.execute(query)
    db.commit()
    db.close()


def test_drift_is_found(lab):
    topics.create(lab)
    lab.topic("shop.saga.reply", partitions=7)
    lab._delete_topics([lab.name("payment.dlq")])
    lab.topic("shop.user.balance", partitions=6)
    found = {(row.topic, row.setting) for row in topics.drift(lab).itertuples()}
    assert {
        ("shop.saga.reply", "partitions"),
        ("payment.dlq", "exists"),
        ("shop.user.balance", "cleanup.policy"),
    } <= found


def test_reading_a_topic_by_its_name_and_one_that_does_not_exist(lab):
    topics.create(lab)
    full = lab.name("balance.dlq")
    with KafkaProducer(**lab.client) as producer:
        producer.send(full, b"dead").get(timeout=10)
    assert [r.value for r in topics.read(lab, "balance.dlq")] == [r.value for r in topics.read(lab, full)] == [b"dead"]
    with pytest.raises(LabError, match=r"no topic .*balance\.dql"):
        list(topics.read(lab, "balance.dql"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["diagram", "--order", "o-0021"], "o-0001 to o-0020"),
        (["diagram", "--order", "1"], "There will be no order 1"),
        (["diagram", "--svg", "/no/such/folder/x.svg"], "cannot be written"),
        (["diagram", "--svg", "/tmp"], "cannot be written as SVG"),
        (["diagram", "--svg", "order.png"], "cannot be written as SVG"),
    ],
)
def test_a_command_that_cannot_end_well_is_refused_before_anything_runs(home, capsys, arguments, words):
    assert command_line.main(arguments) == 1
    assert words in capsys.readouterr().err
    assert not home.exists()


def test_who_is_missing_is_named_and_who_runs_is_not_restarted(lab, monkeypatch):
    monkeypatch.setattr(shop.run, "NO_CRASH", 0.5)
    run = shop.start(lab, crash={"service": "stock", "point": "after_ack", "type": "stock.reserved"})
    run.charge("ann", 10_000)
    run.order("ann", "p-1")
    wait_until(lambda: "stock" not in run.running(), "the crash")
    with pytest.raises(LabError, match=r"(?s)not quiet after 0.5 s.*not running: stock.*run.restart\('stock'\)"):
        run.settle(0.5)
    monkeypatch.setattr(shop.run, "STUCK", 1)
    with pytest.raises(LabError, match=r"(?s)not quiet after 1 s.*not running: stock"):
        run.settle(60)
    with pytest.raises(LabError, match=r"(?s)coupon still runs: nothing has killed it.*not running: stock; the crash"):
        run.restart("coupon")
    run.restart("stock")
    run.settle(30)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"inbx": False}, "settings: there is no 'inbx'"),
        ({"members": ["balanc-2"]}, "members: there is no 'balanc'"),
        ({"members": "balance-2"}, "members is 'balance-2', one text"),
        ({"without_key": ("balance.command",)}, "without_key: there is no 'balance.command'"),
        ({"without_key": "shop.balance.command"}, "without_key is 'shop.balance.command', one text"),
        ({"retry_topics": ("balanc",)}, "retry_topics: there is no 'balanc'"),
        ({"inbox": "False"}, "inbox is 'False'"),
        ({"patience": "60"}, "patience is '60'"),
        ({"patience": True}, "patience is True"),
        ({"crash": ["balance"]}, "crash is 'balance'"),
        ({"crash": "balance"}, "crash is 'balance'"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(lab, settings, words):
    with pytest.raises(LabError, match=re.escape(words)):
        shop.start(lab, **settings)


def test_a_second_shop_of_the_command_line_is_refused(home, capsys):
    home.mkdir(parents=True)
    with FileLock(home / "shop.lock"):
        assert command_line.main(["run"]) == 1
    assert "Another shop runs already." in capsys.readouterr().err


def test_ctrl_c_ends_the_shop_and_says_so_in_one_line(home, capsys, monkeypatch):
    runs = []

    def interrupted(lab, options):
        runs.append(shop.start(lab))
        press = partial(signal.pthread_kill, threading.main_thread().ident, signal.SIGINT)
        threading.Timer(0.5, press).start()
        began = time.monotonic()
        try:
            shop.place_orders(runs[0], shop.plan(3000, 100, seed=1))
        finally:
            assert time.monotonic() - began < SOON

    monkeypatch.setattr(command_line, "_run", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores SIGINT
    try:
        assert command_line.main(["run"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "Interrupted: the shop and its processes have ended.\n"
    assert not runs[0].running()
    customers = [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]
    wait_until(lambda: not any(thread.is_alive() for thread in customers), "the customers to leave", 5)


@pytest.mark.parametrize("number", ["0", "-3", "many"])
def test_a_shop_without_orders_or_users_is_refused(home, capsys, number):
    for option in ("--orders", "--users"):
        with pytest.raises(SystemExit):
            command_line.main(["run", option, number])
        assert f"argument {option}: {number} is no number of 1 or more" in capsys.readouterr().err
    assert not home.exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"service": "stok"}, "one of order, coupon, stock"),
        ({"service": "relay"}, "a thread of each service"),
        ({"point": "afterack"}, "after_ack"),
        ({"type": "payment.payed"}, "payment.paid"),
        ({"typ": "balance.deduct"}, "crash: there is no 'typ'"),
        ({"service": "stock"}, "cannot happen"),
        ({"point": "after_ack"}, "after_ack is of what its relay has written"),
        ({"service": "order", "point": "after_ack", "type": "stock.reserved"}, "cannot happen"),
        ({"point": "before_answer", "type": None}, "cannot happen"),
        ({"service": "order", "point": "before_answer", "type": "order.placed"}, "cannot happen"),
        ({"service": "sales-rank", "point": "after_ack", "type": None}, "cannot happen"),
    ],
)
def test_a_crash_that_cannot_happen_is_refused(lab, wrong, words):
    with pytest.raises(LabError, match=words):
        shop.start(lab, crash=[CRASH, CRASH | wrong])


@pytest.mark.parametrize(
    "right",
    [
        {"type": "balance.deducted", "point": "after_ack"},
        {"type": "user.balance", "point": "after_ack"},
        {"service": "order", "type": "stock.reserved", "order": "o-0002"},
        {"service": "order", "type": "payment.pay", "point": "after_ack"},
        {"service": "order", "type": None, "point": "before_answer"},
        {"service": "payment", "type": "payment.pay", "point": "after_ack"},
        {"service": "sales-rank", "type": "order.completed"},
    ],
)
def test_a_crash_that_can_happen_is_accepted(right):
    shop.run._check_crash(CRASH | right)


def test_an_option_is_written_in_full(home, capsys):
    with pytest.raises(SystemExit):
        command_line.main(["run", "--order", "5"])
    assert "--order: an option of diagram; how many orders there are is --orders" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command_line.main(["run", "--ord", "5"])
    assert "unrecognized arguments: --ord 5" in capsys.readouterr().err
    assert not home.exists()


def test_without_an_id_the_first_completed_order_is_drawn(module_home, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command_line.main(["diagram", "--orders", "3", "--users", "5", "--seed", "1"]) == 0
    assert "drawn: o-0002.svg" in capsys.readouterr().out
    assert "Order o-0002" in (tmp_path / "o-0002.svg").read_text()


def test_the_committed_drawing_is_what_the_shop_draws(home, tmp_path):
    """python -m helpers.shop diagram --orders 1 --users 1 --seed 28 --svg assets/013-order-sequence.svg"""
    drawn = tmp_path / "again.svg"
    assert command_line.main(["diagram", "--orders", "1", "--users", "1", "--seed", "28", "--svg", str(drawn)]) == 0
    committed = Path(__file__).parents[2] / "assets" / "013-order-sequence.svg"
    assert drawn.read_text() == committed.read_text()
