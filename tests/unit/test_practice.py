"""predict and reveal, task, check, hint, solution and progress: what the learner reads."""

import json
import signal
import threading
import time
from contextlib import closing

import numpy as np
import psutil
import pytest
from kafka import KafkaProducer

from helpers import broker, practice
from helpers.lab import LabError, open_lab
from helpers.practice import chapters, learner, predictions, results, session
from helpers.practice.broker_state import ReadToEnd
from helpers.practice.exercise import Correct, Incorrect, NotAttempted, NotReady
from tests.unit import SOON


@pytest.fixture(scope="module")
def lab(module_home):
    """One broker for this module."""
    lab = open_lab("hello")
    yield lab
    lab.close()


@pytest.fixture(autouse=True)
def fresh_kernel(monkeypatch, tmp_path, request):
    """As after a restart; where no broker is needed, the progress file has a folder of its own, too."""
    monkeypatch.setattr(predictions, "_guesses", {})
    monkeypatch.setattr(predictions, "_revealed", set())
    monkeypatch.setattr(session, "_hints_given", {})
    if "lab" not in request.fixturenames:
        monkeypatch.setenv("KAFKA_COURSE_HOME", str(tmp_path))


@pytest.fixture
def said(capsys):
    """said() returns what was printed since the last call."""
    return lambda: capsys.readouterr().out.rstrip("\n")


# ---- predict and reveal --------------------------------------------------------------------------------------------


def test_the_first_guess_stays(said):
    practice.predict("same-key", "b", ["a", "b"])
    assert said() == "same-key: you predict 'b'. Now run it."
    practice.predict("same-key", " B ", ["a", "b"])
    assert said() == "Your prediction stays 'b'."
    practice.predict("same-key", "a", ["a", "b"])
    assert said() == "Your prediction stays 'b': it was the first."
    practice.reveal("same-key", "b", "The key decides.")
    assert said() == "You predicted 'b', and so it happened. The key decides."


@pytest.mark.parametrize(("guess", "actual"), [(0.0, 0), ("4", 4.0), (0, "0.0"), (3, np.int64(3))])
def test_equal_numbers_are_no_surprise(guess, actual, said):
    practice.predict("count", guess, int)
    practice.reveal("count", actual)
    assert said().endswith(f"You predicted {guess!r}, and so it happened.")


@pytest.mark.parametrize(("guess", "actual"), [(1, True), (0, ""), (1, 0.05)])
def test_what_is_no_equal_number_is_a_surprise(guess, actual, said):
    practice.predict("count", guess, int)
    practice.reveal("count", actual, "Why.")
    assert said().endswith(f"You predicted {guess!r}. What happened: {actual!r}.\nWhy.")


def test_a_number_may_be_about_right(said):
    practice.predict("share", 25, int)
    said()
    practice.reveal("share", 30, "Why.", about=10)
    assert said() == "You predicted 25, and it was near: 30. Why."
    practice.reveal("share", 36, "Why.", about=10)
    assert said() == "You predicted 25. What happened: 36.\nWhy."
    practice.reveal("share", 25, about=10)
    assert said() == "You predicted 25, and so it happened."


@pytest.mark.parametrize(
    ("guess", "form", "says"),
    [
        ("two", int, "'two' is no whole number from 0 up. Put one into the cell, and run it again."),
        ((0, 6), int, "(0, 6) is no whole number from 0 up. Put one into the cell, and run it again."),
        ("nan", int, "'nan' is no whole number from 0 up. Put one into the cell, and run it again."),
        (0.3, int, "0.3 is no whole number from 0 up. Put one into the cell, and run it again."),
        (True, int, "True is no whole number from 0 up. Put one into the cell, and run it again."),
        (400, range(201), "400 is no whole number from 0 to 200. Put one into the cell, and run it again."),
        (2.5, range(7), "2.5 is no whole number from 0 to 6. Put one into the cell, and run it again."),
        (-5, int, "-5 is no whole number from 0 up. Put one into the cell, and run it again."),
        ("try", ["stop", "dlq"], "'try' is none of 'stop', 'dlq'. Put one of them into the cell, and run it again."),
        (1, [True, False], "1 is none of True, False. Put one of them into the cell, and run it again."),
    ],
)
def test_a_guess_of_another_form_is_not_kept(guess, form, says, said):
    practice.predict("mistaken", guess, form)
    assert said() == says
    right = 2 if form is int else form[0]
    practice.predict("mistaken", right, form)
    said()
    practice.reveal("mistaken", right)
    assert said() == f"You predicted {right!r}, and so it happened."


def test_a_surprise_says_why_it_is_instructive(said):
    practice.predict("count", 3, int)
    said()
    practice.reveal("count", 4, why="Reading removes nothing.")
    assert said() == "You predicted 3. What happened: 4.\nReading removes nothing."


@pytest.mark.parametrize("nothing", [None, ...])
def test_an_untouched_notebook_runs_through(nothing, said):
    for _ in range(2):
        practice.predict("count", nothing, int)
        assert said() == "No prediction made. Put yours into the cell, and run it before the next one."
        practice.reveal("count", 4)
        assert said() == "No prediction made. What happened: 4."


def test_a_guess_after_the_run_is_none(said):
    practice.reveal("count", 4)
    practice.predict("count", 4, int)
    assert said().endswith("The run has already shown it. After a restart of the kernel you can predict again.")
    practice.reveal("count", 4)
    assert said() == "No prediction made. What happened: 4."


def test_two_predictions_are_kept_apart(said):
    practice.predict("one", 1, int)
    practice.predict("two", 2, int)
    said()
    practice.reveal("one", 1)
    assert said() == "You predicted 1, and so it happened."


# ---- task, hint, solution ------------------------------------------------------------------------------------------


def test_a_task_is_markdown_and_text():
    shown = session.Markdown("\n        **Bold.** Text.\n    ")
    assert shown._repr_markdown_() == repr(shown) == "**Bold.** Text."


def test_a_task_makes_its_topic_afresh(lab, said):
    practice.task("own-name", lab)
    assert "**Your own name.**" in said()
    producer = KafkaProducer(**lab.client)
    producer.send(lab.name("me"), b"Ada").get(timeout=10)
    producer.close()
    practice.task("own-name")
    said()
    practice.check("own-name", lab)
    assert said() == "own-name: correct\n  seen:     the last record says 'Ada'"
    practice.task("own-name", lab)
    said()
    practice.check("own-name", lab)
    seen = "the topic hello-me has no records: send to topic, which your cell's first line sets"
    assert said() == f"own-name: not attempted\n  seen:     {seen}"


def test_a_task_before_any_topic_is_not_attempted(lab, said):
    lab.reset()
    practice.check("own-name", lab)
    assert said().startswith("own-name: not attempted\n  seen:     there is no topic hello-me")


def test_hints_come_one_by_one_and_the_last_stays(said):
    texts = []
    for _ in range(4):
        practice.hint("own-name")
        texts.append(said())
    assert [text[:11] for text in texts] == ["Hint 1 of 3", "Hint 2 of 3", "Hint 3 of 3", "Hint 3 of 3"]
    assert texts[2] == texts[3] != texts[1]


def test_a_solution_is_code_without_indent(said):
    practice.solution("flush")
    assert said().startswith("def send_all(producer, topic):\n    for")


def test_a_solution_works_after_any_other_exercise(said):
    practice.solution("own-name")
    assert said().startswith('topic = lab.name("me")\nfrom kafka import')


@pytest.mark.parametrize("function", [practice.task, practice.hint, practice.solution])
def test_an_unknown_id_is_answered_with_near_ones(function):
    with pytest.raises(LabError, match=r"There is no exercise 'own-nam'.*\n.*own-name"):
        function("own-nam")


def test_an_id_like_none_is_answered_with_all():
    with pytest.raises(LabError, match=r"own-name.*wallet.*at-least-once"):
        practice.hint(7)


# ---- check ---------------------------------------------------------------------------------------------------------


def test_a_wrong_call_says_the_right_one(lab):
    with pytest.raises(LabError, match=r'practice.check\("own-name", lab\)'):
        practice.check("own-name", lab, "Ada")
    with pytest.raises(LabError, match=r'lab = open_lab\("producers"\)'):
        practice.check("flush", lab, print)
    with pytest.raises(LabError, match="the second argument is 'hello-me'"):
        practice.check("own-name", "hello-me")


def test_an_outcome_is_aligned_text():
    assert Incorrect("a", "b", "c").text("x") == "x: incorrect\n  seen:     a\n  expected: b\n  try:      c"
    assert NotReady("a", "", "c").text("x") == "x: broker not ready\n  seen:     a\n  mend:     c"


def test_a_frozen_broker_is_said_soon(lab, said, pause):
    process = psutil.Process(broker.find().nodes[0].pid)
    pause(process.pid)
    try:
        began = time.monotonic()
        practice.check("own-name", lab)
        assert time.monotonic() - began < SOON
    finally:
        process.send_signal(signal.SIGCONT)
    assert said().startswith("own-name: broker not ready\n  seen:     Kafka at")


# ---- the learner's function ----------------------------------------------------------------------------------------


def spill():
    raise ValueError("spilled tea")


def test_what_a_learner_raises_names_the_learners_line():
    with pytest.raises(learner.CodeRaised) as caught:
        learner.call(spill)
    assert caught.value.kind == "your code raised ValueError"
    assert ("message", "spilled tea") in caught.value.lines
    assert caught.value.lines[-1][1] == 'raise ValueError("spilled tea")'


def test_the_line_is_the_learners_where_a_library_raises():
    with pytest.raises(learner.CodeRaised) as caught:
        learner.call(lambda: json.loads("{"))
    assert caught.value.lines[-1][1] == 'learner.call(lambda: json.loads("{"))'


@pytest.mark.parametrize("function", [exit, 3, None])
def test_neither_exit_nor_a_thing_that_is_no_function_escapes(function):
    with pytest.raises(learner.CodeRaised):
        learner.call(function)


def test_a_loop_without_end_is_ended_although_it_swallows_exceptions():
    def loop():
        while True:
            try:
                threading.Event().wait(10)
            except Exception:  # noqa: BLE001, what a learner may write
                continue

    with pytest.raises(learner.CodeRaised, match=r"it was still running after 0.2 s"):
        learner.call(loop, seconds=0.2)


def test_the_stop_button_still_works():
    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learner.call(stopped)


def test_the_clock_is_off_afterwards():
    learner.call(lambda: None, seconds=0.1)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def stub(): ...


def documented_stub():
    """To be written."""


class Stub:
    def partition(self): ...


class Inheriting(dict):
    pass


def written():
    return 3


@pytest.mark.parametrize("answer", [None, ..., stub, documented_stub, Stub])
def test_a_stub_is_untouched(answer):
    assert learner.untouched(answer)


@pytest.mark.parametrize("answer", [0, "", [], written, spill, Inheriting, len])
def test_an_answer_is_not(answer):
    assert not learner.untouched(answer)


# ---- progress ------------------------------------------------------------------------------------------------------


def outcomes():
    frame = practice.progress()
    return dict(zip(frame["exercise"], frame["outcome"], strict=True))


def test_progress_lists_every_exercise_in_order():
    frame = practice.progress()
    assert list(frame.columns) == ["chapter", "exercise", "outcome"]
    assert list(frame["exercise"]) == [exercise.id for exercise in chapters.EXERCISES]
    assert set(frame["outcome"]) == {"not attempted"}


def test_the_best_outcome_is_kept():
    results.keep("wallet", Incorrect("a", "b", "c"))
    assert outcomes()["wallet"] == "incorrect"
    results.keep("wallet", NotReady("a", "b", "c"))
    results.keep("wallet", NotAttempted("a"))
    assert outcomes()["wallet"] == "incorrect"
    results.keep("wallet", Correct("a"))
    results.keep("wallet", Incorrect("a", "b", "c"))
    assert outcomes()["wallet"] == "correct"
    assert outcomes()["flush"] == "not attempted"


@pytest.mark.parametrize("damage", [b"{", b"[]", b"\xff\xfe", b""])
def test_a_damaged_file_is_set_aside(damage, said):
    results.keep("wallet", Correct("a"))
    results.path().write_bytes(damage)
    assert outcomes()["wallet"] == "not attempted"
    assert said() == "progress.json was damaged. It is now progress.damaged.json, and your progress starts afresh."
    assert results.path().with_name("progress.damaged.json").read_bytes() == damage
    results.keep("flush", Correct("a"))
    assert outcomes()["flush"] == "correct"


def test_a_folder_that_cannot_be_written_is_said_in_one_line(monkeypatch, tmp_path, said):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KAFKA_COURSE_HOME", str(tmp_path / "file"))
    results.keep("wallet", Correct("a"))
    assert said().startswith("Your progress could not be noted in progress.json: ")


def test_no_half_written_file_is_left(monkeypatch):
    results.keep("wallet", Correct("a"))

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    results.keep("flush", Correct("a"))
    assert json.loads(results.path().read_text()) == {"wallet": "correct"}


def test_another_process_has_other_hashes_and_remembers_nothing():
    seen = []

    def remembers(text):
        seen.append(text)
        return list(seen), hash(text)

    there = learner.elsewhere(remembers, "ann")
    remembers("before")
    known, hashed = there()
    assert (known, hashed != hash("ann")) == (["ann"], True)


@pytest.mark.parametrize("function", [lambda: 1 / 0, threading.Lock().acquire])
def test_what_cannot_be_called_in_another_process_is_none(function):
    assert learner.elsewhere(function)() is None


def test_a_loop_over_a_consumer_without_partitions_says_so(lab):
    with (
        closing(ReadToEnd(lab, lab.topic("orders"), consumer_timeout_ms=1000)) as consumer,
        pytest.raises(RuntimeError, match="assign\\(\\)"),
    ):
        next(consumer)
