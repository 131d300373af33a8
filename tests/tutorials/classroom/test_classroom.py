"""One student: answers arrive once, wait while the database is away, and nobody else sees them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from openretina_widgets.tutorials.classroom import (
    Classroom,
    ClassroomError,
    DatabaseAway,
    Store,
    resolve_place,
)
from openretina_widgets.tutorials.classroom.outbox import Outbox, read_outbox
from openretina_widgets.tutorials.classroom.store import new_participant
from openretina_widgets.tutorials.classroom.submission import make_submission
from openretina_widgets.tutorials.classroom.turnstile import turn

FILE = Path("classroom/answers.sqlite")


def rows(room="retina", url=None):
    store = Store(resolve_place(url))
    try:
        return store.read(room)
    finally:
        store.close()


def test_an_answer_arrives_and_is_ones_own(join):
    classroom = join("retina")
    receipt = classroom.submit("answer", "q1", {"answer": 3.5, "correct": True})
    assert receipt.wait(10)
    assert receipt.sent
    (row,) = rows()
    assert (row.name, row.submission.item, row.submission.value["answer"]) == (
        classroom.name,
        "q1",
        3.5,
    )
    assert row.submission.uuid == receipt.uuid
    assert classroom.mine() == [row.submission]
    assert classroom.status == f"Room retina: you are {classroom.name}. Everything is sent."


def test_a_student_sees_only_their_own(join):
    ada, ben = join("retina", "Ada"), join("retina", "Ben")
    assert ada.submit("answer", "q", "of Ada").wait(10)
    assert ben.submit("answer", "q", "of Ben").wait(10)
    assert [one.value for one in ada.mine()] == ["of Ada"]
    assert [one.value for one in ben.mine()] == ["of Ben"]
    thief = replace(ben._participant, id=ada._participant.id)
    with pytest.raises(PermissionError, match="only their own answers"):
        Store(resolve_place()).read_own(thief)
    kept = sqlite3.connect(FILE).execute("SELECT * FROM classroom_participant").fetchall()
    assert ada._participant.token not in repr(kept)


def test_a_taken_name_gets_a_number_and_rooms_are_apart(join, monkeypatch, tmp_path):
    assert join("retina", "Ada").name == "Ada"
    assert join("cortex", "Ada").name == "Ada"
    assert join("retina", "Ada").name == "Ada"  # the same student once more
    monkeypatch.setenv("OPENRETINA_WIDGETS_HOME", str(tmp_path / "other"))
    other = join("retina", "Ada")
    assert other.name == "Ada 2"
    other.submit("answer", "q", 1).wait(10)
    assert [row.name for row in rows()] == ["Ada 2"]
    assert join("retina", "Ada").name == "Ada 2"


def test_two_kernels_of_one_student(join):
    first, second = join("retina"), join("retina")
    assert first.name == second.name
    assert first.submit("answer", "q1", 1).wait(10)
    assert second.submit("answer", "q2", 2).wait(10)
    assert [one.item for one in first.mine()] == [one.item for one in second.mine()] == ["q1", "q2"]
    assert len({row.participant for row in rows()}) == 1


def test_kernels_of_one_student_that_start_together():
    code = (
        "import sys; from openretina_widgets import Classroom\n"
        "c = Classroom.join('retina'); sys.stdin.read(1)\n"
        "c.submit('answer', sys.argv[1], 1); c.flush(); print(c.name, len(c.mine()))\n"
    )
    kernels = [
        subprocess.Popen(
            [sys.executable, "-c", code, f"q{i}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(3)
    ]
    said = [kernel.communicate("x", timeout=60)[0].rsplit(" ", 1) for kernel in kernels]
    assert len({name for name, _ in said}) == 1
    assert all(1 <= int(n) <= 3 for _, n in said)
    found = rows()
    assert sorted(row.submission.item for row in found) == ["q0", "q1", "q2"]
    assert len({row.participant for row in found}) == 1


def test_markup_in_a_name_is_text(join):
    classroom = join("retina", "<img src=x onerror=alert(1)>")
    assert classroom.name == "<img src=x onerror=alert(1)>"
    assert "<img" not in classroom._repr_html_()
    assert "&lt;img" in classroom._repr_html_()


def test_writing_twice_keeps_one(join):
    participant, one = new_participant("retina", None), make_submission("answer", "q", 1)
    store = Store(resolve_place(), may_create=True)
    for _ in range(3):
        store.write(participant, [one, make_submission("answer", "again", 2), one])
    assert sum(row.submission.uuid == one.uuid for row in rows()) == 1
    assert len(rows()) == 4


def test_a_megabyte_changes_nothing(join):
    classroom = join("retina")
    with pytest.raises(ValueError, match="too long"):
        classroom.submit("answer", "q", "x" * 1_000_000)
    assert classroom.waiting == []
    assert rows() == []


def test_the_file_is_moved_away_and_back(join):
    classroom = join("retina")
    classroom.submit("answer", "before", 0).wait(10)
    FILE.rename("away.sqlite")
    receipts = [classroom.submit("answer", f"q{i}", i) for i in range(3)]
    assert not receipts[0].wait(0.5)
    assert not receipts[0].sent
    assert "3 submissions are kept here and will be sent when it is back" in classroom.status
    assert "away: there is no such file" in classroom.status
    assert not FILE.exists()  # no new one was begun
    with pytest.raises(DatabaseAway, match="there is no such file"):
        classroom.mine()
    Path("away.sqlite").rename(FILE)
    assert classroom.flush(10)
    assert [row.submission.item for row in rows()] == ["before", "q0", "q1", "q2"]
    assert "Everything is sent" in classroom.status


def test_a_file_that_is_moved_while_one_waits_for_it_is_not_written():
    store, who = Store(resolve_place(), may_create=True), new_participant("retina", "Ada")
    store.write(who, [])
    told: list[str] = []

    def write() -> None:
        try:
            store.write(who, [make_submission("answer", "q", 1)])
        except DatabaseAway as error:
            told.append(str(error))

    thread = threading.Thread(target=write)
    with turn(store.place.key, 1.0):
        thread.start()
        thread.join(0.5)  # it has opened the file, and waits for its turn
        assert thread.is_alive()
        FILE.rename("away.sqlite")
    thread.join(10)
    assert len(told) == 1
    assert "there is no such file" in told[0]
    Path("away.sqlite").rename(FILE)
    assert rows() == []


def test_a_restarted_kernel_begins_no_new_database_and_sends_what_was_left(join):
    first = join("retina")
    first.submit("answer", "before", 0).wait(10)
    FILE.rename("away.sqlite")
    first.submit("answer", "kept", 1)
    first.close()
    second = join("retina")
    assert (second.name, FILE.exists()) == (first.name, False)
    assert "1 submission is kept here" in second.status
    assert [one.item for one in second.waiting] == ["kept"]
    Path("away.sqlite").rename(FILE)
    assert second.flush(10)
    assert [row.submission.item for row in rows()] == ["before", "kept"]


def test_the_folder_is_away_from_the_beginning(join, tmp_path):
    url = tmp_path / "share" / "class.sqlite"
    classroom = join("retina", url=url)
    assert "there is no folder" in classroom.status
    receipt = classroom.submit("answer", "q", 1)
    url.parent.mkdir()
    assert classroom.flush(10)
    assert receipt.sent
    assert len(rows(url=url)) == 1


def test_the_database_is_locked(join):
    classroom = join("retina")
    classroom._store.patience = 0.3
    holder = sqlite3.connect(FILE, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    began = time.perf_counter()
    receipt = classroom.submit("answer", "q", 1)
    assert time.perf_counter() - began < 1.0
    assert not receipt.wait(2.0)
    assert "is locked by another program" in classroom.status
    holder.execute("ROLLBACK")
    assert classroom.flush(10)
    assert len(rows()) == 1


def test_what_is_no_database_is_said(join):
    FILE.parent.mkdir()
    FILE.write_bytes(b"not a database, but a long enough text " * 100)
    classroom = join("retina")
    classroom.submit("answer", "q", 1)
    assert "file is not a database" in classroom.status
    assert "kept here" in classroom.status


def test_tables_of_another_version_are_refused(join):
    join("retina").close()
    with sqlite3.connect(FILE) as other:
        other.execute("UPDATE classroom_schema SET version = 99")
    other.close()
    with pytest.raises(ClassroomError, match=r"tables of version 99, .* knows version 1"):
        join("retina")


def test_news_is_told(join):
    classroom, told = join("retina"), threading.Event()
    end = classroom.on_change(told.set)
    classroom.submit("answer", "q", 1)
    assert told.wait(10)
    end()
    told.clear()
    classroom.submit("answer", "q", 2).wait(10)
    assert not told.wait(0.1)


def test_leaving_makes_the_next_one_somebody_else(join):
    first = join("retina")
    first.submit("answer", "q", 1)
    first.leave()
    assert len(rows()) == 1
    second = join("retina")
    assert second._participant.id != first._participant.id
    assert second.mine() == []
    with pytest.raises(RuntimeError, match="join again"):
        first.submit("answer", "q", 2)


def test_a_script_that_ends_at_once_has_sent_everything():
    code = (
        "from openretina_widgets import Classroom\n"
        "c = Classroom.join('retina')\n"
        "for i in range(20): c.submit('answer', f'q{i}', i)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert len(rows()) == 20


KILLED = """
import sys
from openretina_widgets import Classroom
classroom = Classroom.join("retina")
for i in range(10_000):
    receipt = classroom.submit("answer", f"q{i}", i)
    print("kept", receipt.uuid, flush=True)
    if receipt.wait(10):
        print("sent", receipt.uuid, flush=True)
"""


@pytest.mark.parametrize("after", [1, 40])
def test_kill_9_loses_nothing_that_was_acknowledged(join, after):
    process = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    said: dict[str, list[str]] = {"kept": [], "sent": []}
    assert process.stdout is not None
    for line in process.stdout:
        if len(words := line.split()) == 2:
            said[words[0]].append(words[1])
        if len(said["sent"]) == after:
            os.kill(process.pid, signal.SIGKILL)  # the next answer is on its way
            after = -1
    process.wait()
    process.stdout.close()
    there = [row.submission.uuid for row in rows()]
    assert set(said["sent"]) <= set(there)
    check = sqlite3.connect(FILE).execute("PRAGMA integrity_check").fetchone()
    assert check == ("ok",)
    classroom = join("retina")  # and what was kept on the disk is sent now
    assert classroom.flush(10)
    there = [row.submission.uuid for row in rows()]
    assert set(said["kept"]) <= set(there)
    assert len(there) == len(set(there)) <= len(said["kept"]) + 1


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    folder = tmp_path / "outbox"
    outbox = Outbox(folder)
    whole = make_submission("answer", "q1", "ä")
    outbox.put(whole)
    (path,) = folder.glob("*.jsonl")
    with path.open("a") as file:
        file.write(json.dumps(make_submission("answer", "q2", 2).to_dict())[:50])
    assert read_outbox(path) == [whole]
    outbox.close()
    assert Outbox(folder).all() == [whole]


def test_an_outbox_of_a_kernel_that_lives_is_left_alone(tmp_path):
    folder = tmp_path / "outbox"
    first = Outbox(folder)
    first.put(make_submission("answer", "q", 1))
    second = Outbox(folder)
    assert (len(first), len(second)) == (1, 0)
    first.close()
    third = Outbox(folder)
    assert len(third) == 1
    third.done(third.all())
    third.close()
    second.close()
    assert list(folder.iterdir()) == []


NOBODY = """
import os, sys
from openretina_widgets import Classroom
folder = sys.argv[1]
os.environ["OPENRETINA_WIDGETS_HOME"] = folder + "/before"
Classroom.join("retina", url=folder + "/before.sqlite").close()  # everything is imported
if os.geteuid() == 0:  # root may write everywhere
    os.setgid(65534)
    os.setuid(65534)
os.environ["OPENRETINA_WIDGETS_HOME"] = folder + "/home"
"""
READ_ONLY = """
classroom = Classroom.join("retina", url=folder + "/share/class.sqlite")
classroom.submit("answer", "q", 1)
classroom.flush(3)
print(classroom.status)
classroom.close()
"""


@pytest.mark.skipif(os.name == "nt", reason="no such permissions on Windows")
@pytest.mark.parametrize("closed", ["home", "share"])
def test_a_folder_that_may_not_be_written(closed):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("home", "share"):
            (folder / part).mkdir()
            (folder / part).chmod(0o555 if part == closed else 0o777)
        command = [sys.executable, "-c", NOBODY + READ_ONLY, name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        if closed == "share":
            assert "may not be written by this user" in done.stdout
            assert "1 submission is kept here and will be sent when it is back" in done.stdout
        else:
            assert "What is not sent is lost when this kernel ends" in done.stdout
            assert len(rows(url=folder / "share" / "class.sqlite")) == 1
        for part in ("home", "share"):
            (folder / part).chmod(0o777)


SHUT = """
os.mkdir(folder + "/share/own")
classroom = Classroom.join("retina", url=folder + "/share/own/class.sqlite")
classroom.submit("answer", "q", 1).wait(10)
os.chmod(folder + "/share/own", 0)
classroom.submit("answer", "q", 2).wait(1)
print(classroom.status)
os.chmod(folder + "/share/own", 0o700)
classroom.flush()
print(classroom.status, len(classroom.mine()))
classroom.close()
"""


@pytest.mark.skipif(os.name == "nt", reason="no such permissions on Windows")
def test_a_folder_that_may_not_be_looked_into_for_a_while():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("home", "share"):
            (folder / part).mkdir()
            (folder / part).chmod(0o777)
        command = [sys.executable, "-c", NOBODY + SHUT, name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        shut, opened = done.stdout.splitlines()
        assert "may not be read by this user" in shut
        assert "1 submission is kept here" in shut
        assert opened.endswith("Everything is sent. 2")


def test_a_file_in_a_folder_of_all_may_be_written_by_all(join, tmp_path):
    share = tmp_path / "share"
    share.mkdir()
    share.chmod(0o777)
    join("retina", url=share / "class.sqlite")
    assert (share / "class.sqlite").stat().st_mode & 0o777 == 0o666
    share.chmod(0o700)
    join("retina", url=share / "private.sqlite")
    assert (share / "private.sqlite").stat().st_mode & 0o777 == 0o600


def test_postgresql_stops_and_comes_back(join, server, rooms):
    url = server.get_uri()
    classroom = join(rooms, url=url)
    assert classroom.submit("answer", "before", 0).wait(10)
    server.stop()
    try:
        receipt = classroom.submit("answer", "while it is away", 1)
        assert not receipt.wait(3)
        assert "does not answer" in classroom.status
        assert "1 submission is kept here" in classroom.status
    finally:
        server.start()
    assert classroom.flush(30), classroom.status
    assert [one.item for one in classroom.mine()] == ["before", "while it is away"]
    assert len(rows(rooms, url)) == 2


def test_the_same_person_may_not_be_joined_without_a_valid_room():
    with pytest.raises(ValueError, match="room"):
        Classroom.join("../retina")
    assert not FILE.exists()
