"""Published models, fetched from a real server by the real client."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest

import openretina_widgets as orw
from openretina_widgets.errors import NotFetched, Unreachable
from openretina_widgets.jobs import Job
from openretina_widgets.models.hub import next_address
from openretina_widgets.models.published import (
    PUBLISHED,
    cache_folder,
    fetch,
    fetch_steps,
    published_path,
)
from tests.models.checkpoint_files import content_of, model_of, save
from tests.models.hub_server import DATASET, HubServer, serving

NAME = "hoefling_2024_low_res"
PATH = "model_checkpoints/2026-03-09/hoefling_2024_cnn_low_res.ckpt"
SIZE = 1_500_000
BYTES = np.random.default_rng(0).bytes(SIZE)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("OPENRETINA_CACHE_DIRECTORY", str(folder))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for proxy in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return folder


@pytest.fixture
def hub(cache, monkeypatch):
    with serving(HubServer(files={PATH: BYTES})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def at_once(monkeypatch):
    """Try again without a wait."""
    monkeypatch.setattr("openretina_widgets.models.hub_file._RETRY_AFTER", 0.0)


def parts(cache):
    return list(cache.rglob("*.part"))


def python(code: str, **environment: str) -> subprocess.Popen[str]:
    """Run code in another interpreter, which prints what it finds."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(Path(orw.__file__).parents[1]), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said_by(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.strip()


# What is fetched, and what is not ------------------------------------------------------------


def test_a_file_is_fetched_once(hub, cache):
    path = fetch(NAME)
    assert path == published_path(NAME) == cache / PATH
    assert path.read_bytes() == BYTES
    assert len(hub.gets) == 1
    asked = len(hub.requests)
    assert fetch(NAME) == path
    assert len(hub.requests) == asked
    assert not parts(cache)


def test_what_is_sent_is_the_address_and_who_asks(hub, monkeypatch):
    """No token, no request besides those for the file, no list of what is installed."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch(NAME)
    agent = f"openretina_widgets/{orw.__version__}"
    assert {request.headers["user-agent"] for request in hub.requests} == {agent}
    assert not any("hf_secret" in str(request.headers) for request in hub.requests)
    commit = f"/datasets/{DATASET}/resolve/{'0123456789abcdef' * 2}01234567/{PATH}"
    assert [(request.method, request.path) for request in hub.requests] == [
        ("HEAD", f"/datasets/{DATASET}/resolve/main/{PATH}"),
        ("GET", commit),
        ("GET", f"/files/{PATH}"),
    ]


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_name_has_its_file(hub, cache, name):
    path = published_path(name).relative_to(cache).as_posix()
    hub.files = {path: name.encode()}
    assert fetch(name).read_bytes() == name.encode()


def test_the_names_and_places_are_those_of_openretina(cache):
    """As OpenRetina 1.1.1 has them; it takes what comes after ``main/`` as the path."""
    new = "model_checkpoints/2026-03-09"
    expected = {
        "hoefling_2024_base_low_res": "model_checkpoints/27-11-2025/hoefling_2024_base_low_res",
        "hoefling_2024_low_res": f"{new}/hoefling_2024_cnn_low_res",
        "hoefling_2024_high_res": f"{new}/hoefling_2024_cnn_high_res",
    }
    rest = "karamanlis_2024_mouse karamanlis_2024_marmoset maheswaranathan_2023 sridhar_2025 "
    rest += "goldin_2022_axolotl goldin_2022_mouse"
    expected |= {name: f"{new}/{name}" for name in rest.split()}
    assert {n: f"{published_path(n)}" for n in PUBLISHED} == {
        name: f"{cache}/{path}.ckpt" for name, path in expected.items()
    }


def test_a_small_file_is_checked_by_the_hash_of_git(hub):
    hub.small = True
    assert fetch(NAME).read_bytes() == BYTES
    assert [request.method for request in hub.requests] == ["HEAD", "GET"]


def test_a_server_with_etags_of_its_own_is_checked_by_size(hub):
    hub.small, hub.etag = True, 'W/"../../of its own"'
    assert fetch(NAME).read_bytes() == BYTES


def test_the_cache_folder_is_openretinas(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("OPENRETINA_CACHE_DIRECTORY", raising=False)
    assert cache_folder() == tmp_path / "openretina_cache"
    monkeypatch.setenv("OPENRETINA_CACHE_DIRECTORY", "~/elsewhere")
    assert cache_folder() == tmp_path / "elsewhere"


DOWNLOAD = f"""
    import huggingface_hub, os
    print(huggingface_hub.hf_hub_download(
        repo_id={DATASET!r}, filename={PATH!r}, repo_type="dataset",
        local_dir=os.environ["OPENRETINA_CACHE_DIRECTORY"],
    ))
"""


def test_what_openretinas_call_put_there_is_not_fetched_again(hub, cache):
    """OpenRetina calls ``hf_hub_download(local_dir=cache folder)``."""
    assert said_by(python(DOWNLOAD)) == str(cache / PATH)
    asked = len(hub.requests)
    assert fetch(NAME).read_bytes() == BYTES
    assert len(hub.requests) == asked


def test_what_we_put_there_is_not_fetched_again_by_openretinas_call(hub, cache):
    fetch(NAME)
    assert len(hub.gets) == 1
    assert said_by(python(DOWNLOAD)) == str(cache / PATH)
    assert len(hub.gets) == 1


def test_a_file_placed_by_hand_needs_no_network(cache, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    place = published_path(NAME)
    place.parent.mkdir(parents=True)
    save(content_of(model_of()), place)
    model = orw.load_model(NAME)
    assert (model.name, model.source) == (NAME, str(place))


def test_a_published_model_is_loaded(hub, tmp_path):
    hub.files[PATH] = save(content_of(model_of()), tmp_path / "model.ckpt").read_bytes()
    model = orw.load_model(NAME, device="cpu")
    assert model.name == NAME
    assert model.sessions == ("1_a", "2_b")
    assert orw.models.load_core_readout_from_remote(NAME, "cpu").weight_hash == model.weight_hash
    assert len(hub.gets) == 1


def test_the_device_is_checked_before_anything_is_fetched(hub):
    with pytest.raises(ValueError, match="device: expected"):
        orw.load_model(NAME, device="gpu")
    assert not hub.requests


# Progress, cancelling, going on --------------------------------------------------------------


def test_progress_rises_to_the_total(hub):
    steps = []
    fetch(NAME, progress=steps.append)
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert (done[0], done[-1], {step.total for step in steps}) == (0, SIZE, {SIZE})
    assert len(steps) > 10


def cancel_halfway(hub):
    reached = []
    with pytest.raises(CancelledError, match=r"cancelled after [\d,]+ of 1,500,000 bytes"):
        fetch(NAME, progress=reached.append, cancelled=lambda: reached[-1].done > SIZE / 2)
    return reached[-1].done


def test_a_cancelled_fetch_goes_on_where_it_ended(hub, cache):
    kept = cancel_halfway(hub)
    assert SIZE / 2 < kept < SIZE
    assert not published_path(NAME).exists()
    assert [part.stat().st_size for part in parts(cache)] == [kept]
    steps = []
    assert fetch(NAME, progress=steps.append).read_bytes() == BYTES
    assert steps[0].done == kept
    assert [request.range for request in hub.gets] == [None, f"bytes={kept}-"]
    assert not parts(cache)


def test_a_server_that_cannot_go_on_in_the_middle_sends_it_all(hub):
    cancel_halfway(hub)
    hub.without_ranges = True
    assert fetch(NAME).read_bytes() == BYTES


def test_a_part_of_a_replaced_version_is_thrown_away(hub, cache):
    cancel_halfway(hub)
    hub.files[PATH] = BYTES[::-1]
    steps = []
    assert fetch(NAME, progress=steps.append).read_bytes() == BYTES[::-1]
    assert steps[0].done == 0
    assert not parts(cache)


def test_a_part_that_is_complete_is_only_checked(hub, cache):
    cancel_halfway(hub)
    parts(cache)[0].write_bytes(BYTES)
    assert fetch(NAME).read_bytes() == BYTES
    assert len(hub.gets) == 1


@pytest.mark.parametrize("wrong", [b"x" * 1000, b"x" * (SIZE + 1)], ids=["other", "too long"])
def test_a_damaged_part_does_no_harm(hub, cache, wrong):
    cancel_halfway(hub)
    parts(cache)[0].write_bytes(wrong)
    with contextlib.suppress(NotFetched):  # found when its hash is known; nothing is kept then
        fetch(NAME)
    assert fetch(NAME).read_bytes() == BYTES


def test_a_broken_connection_is_taken_up_again(hub, at_once):
    hub.break_after = [400_000, 300_000]
    steps = []
    assert fetch(NAME, progress=steps.append).read_bytes() == BYTES
    ranges = [request.range for request in hub.gets]
    assert ranges == [None, "bytes=400000-", "bytes=700000-"]
    done = [step.done for step in steps]
    assert done == sorted(done)


def test_a_connection_that_keeps_breaking_leaves_what_came(hub, cache, at_once):
    hub.break_after = [400_000, 0, 0, 0, 0]
    with pytest.raises(Unreachable, match=r"broke after 400,000 of 1,500,000 bytes .*goes on"):
        fetch(NAME)
    assert len(hub.gets) == 5
    assert fetch(NAME).read_bytes() == BYTES
    assert hub.gets[-1].range == "bytes=400000-"


def test_a_server_that_is_busy_is_asked_again(hub, at_once):
    hub.refuse_with = [503, 429]
    assert fetch(NAME).read_bytes() == BYTES


def test_a_server_that_stays_busy_is_given_up(hub, at_once):
    hub.refuse_with = [503] * 4
    with pytest.raises(Unreachable, match="503 Service Unavailable"):
        fetch(NAME)


def test_a_job_fetches_and_shows_how_far_it_is(hub):
    hub.delay = 0.005
    seen = []
    job = Job(lambda: fetch_steps(NAME), on_update=seen.append).start()
    assert job.result(timeout=30).read_bytes() == BYTES
    assert seen[-1] == (SIZE, SIZE)
    assert len(seen) > 1


def test_a_cancelled_job_leaves_a_part(hub, cache):
    hub.delay = 0.05
    job = Job(lambda: fetch_steps(NAME)).start()
    while job.iteration < 4:
        time.sleep(0.01)
    job.cancel()
    with pytest.raises(CancelledError):
        job.result(timeout=10)
    (part,) = parts(cache)
    kept = part.stat().st_size
    assert 0 < kept < SIZE
    hub.delay = 0.0
    assert Job(lambda: fetch_steps(NAME)).start().result(timeout=30).read_bytes() == BYTES
    assert hub.gets[-1].range == f"bytes={kept}-"


def test_a_reason_sent_in_is_not_answered_with_more_bytes(hub):
    """A job sends it before it closes the generator, which should not take another chunk's time."""
    steps = fetch_steps(NAME)
    while (reached := next(steps)).done < SIZE / 2:
        pass
    assert steps.send("stopped by the user") == reached
    assert steps.send("stopped by the user") == reached
    steps.close()


def test_a_job_for_a_model_that_is_here_takes_no_step(hub):
    path = fetch(NAME)
    job = Job(lambda: fetch_steps(NAME)).start()
    assert job.result(timeout=10) == path
    assert job.iteration == 0


@pytest.mark.parametrize("argument", ["progress", "cancelled"])
def test_what_cannot_be_called_is_refused(hub, argument):
    with pytest.raises(TypeError, match=f"{argument}: expected a function or None, got int"):
        fetch(NAME, **{argument: 3})
    assert not hub.requests


# Several at once -----------------------------------------------------------------------------

FETCH = f"""
    import sys
    from openretina_widgets.models import fetch
    print("ready", flush=True)
    sys.stdin.read()
    print(fetch({NAME!r}).stat().st_size)
"""


def test_two_kernels_at_once_fetch_once(hub):
    hub.delay = 0.15  # long enough for the second to come while the first is at it
    kernels = [python(FETCH) for _ in range(2)]
    for kernel in kernels:
        assert kernel.stdout.readline() == "ready\n"
    for kernel in kernels:
        kernel.stdin.close()
        kernel.stdin = None
    assert [said_by(kernel) for kernel in kernels] == [str(SIZE)] * 2
    assert len(hub.of("HEAD")) == 2  # both asked, so neither came when all was over
    assert [request.range for request in hub.gets] == [None]


def test_who_waits_sees_how_far_the_other_is_and_can_be_cancelled(hub, cache):
    first = fetch_steps(NAME)
    while next(first).done < SIZE / 2:
        pass
    second = fetch_steps(NAME)
    waiting = [next(second) for _ in range(3)]
    assert all(SIZE / 2 < step.done <= SIZE for step in waiting)
    second.close()
    assert len(hub.gets) == 1
    for _ in first:
        pass
    assert published_path(NAME).read_bytes() == BYTES


def test_a_killed_kernel_leaves_no_lock_behind(hub, cache):
    hub.delay = 0.1
    kernel = python(f"from openretina_widgets.models import fetch; fetch({NAME!r})")
    while not (parts(cache) and parts(cache)[0].stat().st_size):
        assert kernel.poll() is None
        time.sleep(0.02)
    kernel.kill()
    kernel.communicate()
    hub.delay = 0.0
    assert fetch(NAME).read_bytes() == BYTES
    assert hub.gets[-1].range is not None


# What goes wrong, in words -------------------------------------------------------------------


def by_hand(cache, endpoint):
    address = f"{endpoint}/datasets/{DATASET}/resolve/main/{PATH}"
    return f"To place it by hand, download {address} on .* and save it as {cache / PATH}"


def test_without_a_network_it_says_so_at_once_and_how_to_do_without(cache, monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, but nothing listens
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        start = time.monotonic()
        with pytest.raises(Unreachable, match=by_hand(cache, endpoint)) as caught:
            orw.load_model(NAME)
        assert time.monotonic() - start < 3.0
    said = str(caught.value)
    assert said.startswith(
        f"'{NAME}' is not here and was not fetched: {endpoint} cannot be reached ("
    )
    assert said.endswith("load_model('synthetic') needs no network.")
    assert not cache.exists()


def test_a_server_that_says_nothing_is_given_up_soon(cache, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{mute.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(Unreachable, match=r"cannot be reached .*timed out"):
            fetch(NAME)
        assert time.monotonic() - start < 3.0


@pytest.mark.parametrize("flag", ["1", "yes", "True"])
def test_the_offline_flag_is_obeyed(hub, cache, monkeypatch, flag):
    monkeypatch.setenv("HF_HUB_OFFLINE", flag)
    said = f"not fetched: HF_HUB_OFFLINE is set. {by_hand(cache, hub.endpoint)}"
    with pytest.raises(Unreachable, match=said):
        fetch(NAME)
    assert not hub.requests
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    fetch(NAME)
    monkeypatch.setenv("HF_HUB_OFFLINE", flag)
    assert fetch(NAME) == published_path(NAME)


def test_the_offline_flag_that_the_client_was_imported_with_is_obeyed(hub, cache):
    code = f"""
        import huggingface_hub, os
        huggingface_hub.is_offline_mode()
        del os.environ["HF_HUB_OFFLINE"]
        from openretina_widgets.errors import Unreachable
        from openretina_widgets.models import fetch
        try:
            fetch({NAME!r})
        except Unreachable as error:
            print(error)
    """
    assert "HF_HUB_OFFLINE is set. To place" in said_by(python(code, HF_HUB_OFFLINE="1"))
    assert not hub.requests


def test_a_file_that_is_gone(hub, cache):
    hub.files = {}
    with pytest.raises(Unreachable, match=r"does not have it any more \(404\)"):
        fetch(NAME)
    assert not published_path(NAME).exists()


def test_a_login_page_is_not_taken_for_the_hub(hub, cache):
    hub.is_hub = False
    with pytest.raises(Unreachable, match=r"is no Hugging Face hub \(a login page"):
        fetch(NAME)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (BYTES[:-1] + bytes([BYTES[-1] ^ 1]), "its sha256 is .*, expected"),
        (BYTES + b"x", "more came than the 1,500,000 bytes"),
    ],
    ids=["other", "longer"],
)
def test_other_bytes_than_announced_are_refused_and_not_kept(hub, cache, sent, said):
    hub.sent = {PATH: sent}
    with pytest.raises(NotFetched, match=f"'{NAME}' was not fetched: .*{said}.*nothing was kept"):
        fetch(NAME)
    assert [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"] == []
    hub.sent = {}
    assert fetch(NAME).read_bytes() == BYTES


def test_less_than_announced_is_not_a_file(hub, cache, at_once):
    hub.sent = {PATH: BYTES[:1000]}
    with pytest.raises(Unreachable, match="after 1,000 of 1,500,000 bytes"):
        fetch(NAME)
    assert not published_path(NAME).exists()


def test_a_small_file_with_other_bytes_is_refused(hub):
    hub.small, hub.sent = True, {PATH: BYTES[::-1]}
    with pytest.raises(NotFetched, match="its sha1 is"):
        fetch(NAME)


@pytest.mark.parametrize("name", ["hoefling_2024_lowres", "../escape", "", "synthetic"])
def test_a_name_that_is_not_published_is_answered_with_the_nearest(hub, name):
    for call in (fetch, published_path, lambda name: next(fetch_steps(name))):
        with pytest.raises(ValueError, match=r"^name: there is no published model .*the nearest"):
            call(name)
    assert not hub.requests


@pytest.mark.parametrize("endpoint", ["huggingface.co", "ftp://host", "https://"])
def test_an_endpoint_that_is_no_address_is_refused(cache, monkeypatch, endpoint):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(ValueError, match="HF_ENDPOINT: expected the address of a hub"):
        fetch(NAME)


def test_a_way_that_leaves_encryption_is_not_taken():
    assert next_address("https://a.test/b", "/c") == "https://a.test/c"
    assert next_address("http://a.test/b", "http://c.test/") == "http://c.test/"
    with pytest.raises(Unreachable, match=r"leads to http://c\.test/, which is not encrypted"):
        next_address("https://a.test/b", "http://c.test/")


def test_a_redirect_within_the_hub_is_followed(hub):
    """As when a repository was renamed: the answer says nothing of the file yet."""
    hub.renamed = True
    assert fetch(NAME).read_bytes() == BYTES


# A full disk ---------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """Mount a disk of a megabyte; who may not, skips."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("no disk can be mounted here")
    monkeypatch.setenv("OPENRETINA_CACHE_DIRECTORY", str(folder))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_without_room_is_said_before_anything_is_fetched(hub, small_disk):
    said = r"has no room for it: 1,500,000 bytes are needed and [\d,]+ are free.*make room, or set"
    with pytest.raises(NotFetched, match=said) as caught:
        fetch(NAME)
    assert "OPENRETINA_CACHE_DIRECTORY" in str(caught.value)
    assert not hub.gets


def test_a_disk_that_fills_up_meanwhile_is_left_as_it_was(hub, small_disk):
    hub.files = {PATH: BYTES[:900_000]}
    steps = fetch_steps(NAME)
    while next(steps).done < 300_000:
        pass
    with pytest.raises(OSError, match="No space") as full:
        (small_disk / "other").write_bytes(BYTES)
    assert full.value.errno == errno.ENOSPC
    with pytest.raises(NotFetched, match=r"has no room for it: 900,000 bytes are needed"):
        for _ in steps:
            pass
    assert not parts(small_disk)
    (small_disk / "other").unlink()
    assert fetch(NAME).stat().st_size == 900_000


def test_a_quota_is_said_in_words(hub, cache):
    """A limit that no look at the disk shows."""
    code = f"""
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
        from openretina_widgets.errors import NotFetched
        from openretina_widgets.models import fetch
        try:
            fetch({NAME!r})
        except NotFetched as error:
            print(error)
    """
    said = said_by(python(code))
    assert "no room for it: 1,500,000 bytes are needed and" in said
    assert "or there is a quota" in said
    assert not parts(cache)


def test_a_folder_that_cannot_be_written_is_named(hub, cache):
    cache.write_text("a file where the folder should be")
    with pytest.raises(NotFetched, match=f"'{NAME}' was not fetched: {cache} cannot be written"):
        fetch(NAME)


# What it costs -------------------------------------------------------------------------------


def test_a_model_that_is_here_is_opened_without_the_client(cache):
    place = published_path(NAME)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"here")
    code = f"""
        import sys
        from openretina_widgets.models import fetch
        fetch({NAME!r})
        print([name for name in ("huggingface_hub", "httpx", "httpx2") if name in sys.modules])
    """
    assert said_by(python(code)) == "[]"


def test_many_threads_of_one_kernel_fetch_once(hub):
    hub.delay = 0.005
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(fetch(NAME))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert found == [published_path(NAME)] * 4
    assert len(hub.gets) == 1
