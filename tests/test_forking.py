"""What a forked process can do, and what forking does to others: nothing waits for ever.

Each scene is a process of its own with a time limit. A child that hangs says where, and ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cpu_fallback import threads
from gpu_kmeans import forking
from gpu_kmeans.backends import device
from gpu_kmeans.cuda import error_translation as refusals
from gpu_kmeans.errors import BackendUnavailable

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 240  # seconds that a scene may take on a busy machine; it takes a few

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

SCENE = '''
import faulthandler, hashlib, json, os, signal, sys, threading, time
import numpy as np

faulthandler.register(signal.SIGALRM, chain=True)

def in_child(work):
    """What `work` returns in a forked process; an error in words where it fails or hangs."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(90)
        try:
            answer = work()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answer) if answer else "hung, or died"
'''


def played(tmp_path: Path, program: str, *args: str) -> Any:
    """Run a scene and return what it wrote last, as JSON."""
    script = tmp_path / "scene.py"
    script.write_text(SCENE + program, "utf-8")
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(script), *args],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


# -- what works after a fork ------------------------------------------------------------------

PRELOADED = '''
import multiprocessing as mp
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from gpu_kmeans import KMeans, Recommender, TfidfVectorizer, fit, resolve
from gpu_kmeans.data.sample import paths

MOVIES, CREDITS = paths()
# So much work that FAISS shares it out: 40,000 x 26 numbers, 100 clusters.
ROWS = np.random.default_rng(0).normal(size=(40_000, 26)).astype(np.float32)

def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()

def fits(number=0):
    """Fit: digests of the labels, of rows and of the sample's texts."""
    kmeans = KMeans(100, random_state=0, max_iter=1, backend="cpu").fit(ROWS)
    model = fit(MOVIES, CREDITS, n_clusters=3, backend="cpu")
    return [digest(kmeans.labels_), digest(model.labels)]

def everything(number=0):
    """Fit, and use what the parent fitted: predict, recommend, read a table."""
    table = resolve("cpu").read_table(Path(MOVIES), ["id", "title"], [])
    picks = RECOMMENDER.recommend("an alien invasion from space")
    return [
        *fits(), digest(KMEANS.predict(ROWS[:2000])), digest(RECOMMENDER.predict(["war, love"])),
        [item.title for item in picks.items], len(table),
    ]

def on_thread(work):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(work()))
    thread.start()
    thread.join()
    return answers[0]

def by_pool():
    with mp.get_context("fork").Pool(2) as pool:
        return pool.map(everything, range(2), chunksize=1)

def by_executor():
    with ProcessPoolExecutor(2, mp_context=mp.get_context("fork")) as pool:
        return list(pool.map(everything, range(2)))

def by_joblib(backend, work):
    from joblib import Parallel, delayed
    return Parallel(2, backend=backend)(delayed(work)(number) for number in range(2))

def by_spawn():
    with mp.get_context("spawn").Pool(1) as pool:
        return pool.map(fits, range(1))

WAYS = {
    "pool": by_pool,
    "executor": by_executor,
    "joblib": lambda: by_joblib("multiprocessing", everything),
    "grandchild": lambda: [in_child(lambda: in_child(everything))],
    "thread of a child": lambda: [in_child(lambda: on_thread(everything))],
    "child of a thread": lambda: [on_thread(lambda: in_child(everything))],
    "spawn": by_spawn,
    "loky": lambda: by_joblib("loky", fits),
}

if __name__ == "__main__":
    KMEANS = KMeans(100, random_state=0, max_iter=1, backend="cpu").fit(ROWS)
    RECOMMENDER = Recommender(fit(MOVIES, CREDITS, n_clusters=3, backend="cpu"))
    ways = sys.argv[1].split(", ")
    before = everything()
    answers = {way: WAYS[way]() for way in ways}
    print(json.dumps({"before": before, "answers": answers, "after": everything()}))
'''

FORKED = ["pool", "executor", "grandchild", "thread of a child", "child of a thread"]
ANEW = ["spawn"]
if find_spec("joblib"):
    FORKED, ANEW = [*FORKED, "joblib"], [*ANEW, "loky"]


@pytest.mark.parametrize("ways", [FORKED, ANEW], ids=["forked", "anew"])
def test_other_processes_do_what_their_parent_does(tmp_path: Path, ways: list[str]) -> None:
    """The result is the same, whatever the number of threads; the parent goes on, too."""
    outcome = played(tmp_path, PRELOADED, ", ".join(ways))
    before = outcome["before"]
    assert outcome["after"] == before
    for way in ways:
        assert outcome["answers"][way]
        for answer in outcome["answers"][way]:
            assert answer == (before[:2] if way in ANEW else before), way


SHARED_OPENMP = """
from sklearn.cluster import KMeans as Other
rows = np.random.default_rng(0).normal(size=(40_000, 26)).astype(np.float32)
Other(100, n_init=1, max_iter=2, init="random").fit(rows)

def fit():
    from gpu_kmeans import KMeans
    return KMeans(100, random_state=0, max_iter=1, backend="cpu").fit(rows).inertia_

print(json.dumps([in_child(fit), fit()]))
"""


def test_openmp_that_others_started_before_the_package_was_loaded_is_not_waited_for(
    tmp_path: Path,
) -> None:
    """Wheels of scikit-learn and FAISS may share one library."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    child, parent = played(tmp_path, SHARED_OPENMP)
    assert child == parent


# -- forks while other threads are at work ------------------------------------------------------

BUSY = """
from pathlib import Path
from scipy import sparse
from gpu_kmeans import KMeans, Recommender, TfidfVectorizer, fit, resolve
from gpu_kmeans.data.sample import paths

rng = np.random.default_rng(0)
dense = rng.normal(size=(24_000, 34)).astype(np.float32)
weight = rng.random(24_000)
rows = sparse.random_array((4000, 900), density=0.02, rng=0, format="csr", dtype=np.float32)
texts = [f"an alien invasion of space {number}, and a love story" for number in range(3000)]
long_cells = Path(sys.argv[1])
long_cells.write_text("id,text\\n" + "".join(f'{i},"{"x" * 200_000}"\\n' for i in range(20)))
recommender = Recommender(fit(*paths(), n_clusters=3, backend="cpu"))

def kmeans(k, **options):
    return KMeans(k, random_state=0, max_iter=1, backend="cpu", **options)

work = {
    "dense": lambda: kmeans(140, algorithm="lloyd").fit(dense),
    "weighted": lambda: kmeans(5, init="k-means++").fit(dense, sample_weight=weight),
    "sparse": lambda: kmeans(30).fit(rows),
    "text": lambda: TfidfVectorizer(backend="cpu").fit_transform(texts),
    "table": lambda: resolve("cpu").read_table(long_cells, ["id", "text"], []),
    "recommend": lambda: recommender.recommend("alien invasion"),
}
started, rounds, busy = threading.Event(), 0, "dense"

def go_on():
    global rounds
    while True:
        work[busy]()
        rounds += 1
        started.set()

def everything():
    for task in work.values():
        task()
    return "done"

everything()  # which loads what it needs
threading.Thread(target=go_on, daemon=True).start()
answers = {}
for busy in work:
    started.clear()
    started.wait()
    time.sleep(0.02 * rng.random())
    answers[busy] = in_child(everything)
before = rounds
while rounds == before:  # the parent's other thread goes on
    time.sleep(0.01)
print(json.dumps(answers), flush=True)
os._exit(0)
"""


def test_a_fork_while_another_thread_is_at_work_hangs_neither(tmp_path: Path) -> None:
    answers = played(tmp_path, BUSY, str(tmp_path / "long.csv"))
    assert answers == dict.fromkeys(answers, "done")
    assert len(answers) == 6


LOCKS = """
import csv, importlib, pkgutil
import gpu_kmeans, cpu_fallback
from gpu_kmeans import forking

KINDS = tuple(map(type, (threading.Lock(), threading.RLock(), threading.Condition())))

def modules():
    for package in (gpu_kmeans, cpu_fallback):
        for about in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not about.name.endswith("__main__"):
                try:
                    yield importlib.import_module(about.name)
                except ImportError:  # the libraries of another backend
                    pass

def within(name, value, depth=3):
    if isinstance(value, KINDS):
        yield name, value
    elif type(value).__module__.partition(".")[0] in ("gpu_kmeans", "cpu_fallback") and depth:
        for part, inner in getattr(value, "__dict__", {}).items():
            yield from within(f"{name}.{part}", inner, depth - 1)

def locks():
    return {
        name: lock
        for module in list(modules())
        for attribute, value in vars(module).items()
        for name, lock in within(f"{module.__name__}.{attribute}", value)
        # Held for a few instructions, and by a fork itself, which so waits for it.
        if not name.startswith("gpu_kmeans.forking._sections")
    }

import gpu_kmeans.errors
gpu_kmeans.errors.planted = threading.Lock()  # which nobody makes anew

held, let_go = threading.Event(), threading.Event()

def hold():
    for lock in locks().values():
        lock.acquire()
    held.set()
    let_go.wait()

threading.Thread(target=hold, daemon=True).start()
held.wait()
for _, lock in within("", forking._sections):
    with lock:
        pass

def stuck():
    return [name for name, lock in locks().items() if not lock.acquire(timeout=0.2)]

print(json.dumps({
    "all": sorted(locks()),
    "child": in_child(stuck),
    "grandchild": in_child(lambda: in_child(stuck)),
    "parent": sorted(stuck()),
}), flush=True)
os._exit(0)
"""


def test_every_lock_of_a_module_is_free_in_a_forked_process(tmp_path: Path) -> None:
    names = played(tmp_path, LOCKS)
    assert names["child"] == names["grandchild"] == ["gpu_kmeans.errors.planted"]
    assert names["parent"] == names["all"]  # as they were
    for module in ("cpu_fallback.dense", "gpu_kmeans.tables.cell_limit"):
        assert any(name.startswith(module) for name in names["all"])


SETTINGS = """
import csv
import faiss
from cpu_fallback.dense import _tuned_for
from gpu_kmeans.tables.cell_limit import NO_LIMIT, _cell_limit

def settings():
    return [csv.field_size_limit(), faiss.cvar.distance_compute_blas_threshold]

before, held, let_go = settings(), threading.Event(), threading.Event()

def hold():
    with _cell_limit.changed_to(NO_LIMIT), _tuned_for(1, (2, 2)):
        held.set()
        let_go.wait()

def in_the_midst():
    with _cell_limit.changed_to(NO_LIMIT):
        child = in_child(lambda: csv.field_size_limit())
        return [child, csv.field_size_limit()]

thread = threading.Thread(target=hold)
thread.start()
held.wait()
during, child = settings(), in_child(settings)
let_go.set()
thread.join()
print(json.dumps([before, during, child, settings(), in_the_midst()]))
"""


def test_settings_that_a_thread_changed_for_a_while_are_as_before_in_a_forked_process(
    tmp_path: Path,
) -> None:
    """In one that the same thread forked they are still changed: it goes on there."""
    before, during, child, after, (own_child, own) = played(tmp_path, SETTINGS)
    assert during[0] > before[0]
    assert during[1] > before[1]
    assert child == after == before
    assert own_child == own == during[0]


IMPORTING = """
import importlib
import gpu_kmeans
sys.path.insert(0, sys.argv[1])
beginning = threading.Event()
sys.beginning = beginning
threading.Thread(target=lambda: importlib.import_module("slow"), daemon=True).start()
beginning.wait()
print(json.dumps(in_child(lambda: importlib.import_module("slow").answer)))
"""


def test_a_fork_waits_for_the_import_that_another_thread_began(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import sys, time\nsys.beginning.set()\ntime.sleep(0.5)\nanswer = 42\n", "utf-8"
    )
    assert played(tmp_path, IMPORTING, str(tmp_path)) == 42


def test_a_fork_waits_for_a_product_and_not_for_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "PATIENCE", 60.0)
    entered, let_go, log = threading.Event(), threading.Event(), list[str]()

    def multiply() -> None:
        with forking.no_fork(), forking.no_fork():
            entered.set()
            let_go.wait()
            log.append("product")

    def fork() -> None:
        forking._before_fork()
        log.append("fork")
        forking._after_fork_in_parent()

    threads_at_work = [threading.Thread(target=multiply), threading.Thread(target=fork)]
    threads_at_work[0].start()
    entered.wait()
    threads_at_work[1].start()
    threads_at_work[1].join(0.1)
    assert log == []
    let_go.set()
    for thread in threads_at_work:
        thread.join()
    assert log == ["product", "fork"]
    with forking.no_fork():
        fork()
    assert not forking._sections.depths


# -- interruptions --------------------------------------------------------------------------------

INTERRUPTED = """
import signal
from gpu_kmeans import KMeans
rows = np.random.default_rng(0).normal(size=(40_000, 26)).astype(np.float32)

def fit(max_iter=1):
    return KMeans(100, random_state=0, max_iter=max_iter, backend="cpu").fit(rows).inertia_

before = fit()
signal.signal(signal.SIGINT, signal.default_int_handler)

def interrupted():
    def interrupt():
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        while True:
            fit(max_iter=50)
    except KeyboardInterrupt:
        return ["interrupted", fit()]

print(json.dumps([in_child(interrupted), before]))
"""


def test_a_forked_process_can_be_interrupted_and_works_afterwards(tmp_path: Path) -> None:
    (word, again), before = played(tmp_path, INTERRUPTED)
    assert word == "interrupted"
    assert again == before


# -- threads that cannot be had -------------------------------------------------------------------


@pytest.mark.parametrize("to_be_had", [0, 1, 2])
def test_where_no_more_threads_are_to_be_had_the_caller_does_the_work(
    monkeypatch: pytest.MonkeyPatch, to_be_had: int
) -> None:
    monkeypatch.setattr(threads, "count", lambda: 5)
    start, started, at_work = threading.Thread.start, list[threading.Thread](), set[int]()

    def limited(thread: threading.Thread) -> None:
        if len(started) == to_be_had:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    done: list[int] = []

    def work(number: int) -> None:
        at_work.add(threading.get_ident())
        done.append(number)
        at_work.discard(threading.get_ident())

    threads._pool.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", limited)
            threads.parallel_for(work, range(2000))
        assert sorted(done) == list(range(2000))
        assert not at_work
        threads.parallel_for(work, range(2000, 2100))  # and when there are threads again
    finally:
        threads._pool.cache_clear()
    assert sorted(done) == list(range(2100))


SCARCE = """
import resource
from gpu_kmeans import KMeans, TfidfVectorizer
rows = np.random.default_rng(0).normal(size=(40_000, 26)).astype(np.float32)
texts = [f"an alien invasion of space {number}, and a love story" for number in range(3000)]

def kmeans(data, k):
    return KMeans(k, random_state=0, max_iter=1, backend="cpu").fit(data).inertia_

kmeans(rows[:50], 2), TfidfVectorizer(backend="cpu").fit_transform(texts[:9])  # imports

def without_threads():
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    if os.getuid() == 0:  # whom no limit holds
        os.setuid(65534)
    try:
        threading.Thread(target=int).start()
        return "threads can be had all the same"
    except RuntimeError:
        words = TfidfVectorizer(backend="cpu").fit_transform(texts)
        return [kmeans(rows, 100), words.shape[0]]

print(json.dumps(without_threads() if sys.argv[1] == "scarce" else kmeans(rows, 100)))
"""


def test_a_process_that_may_start_no_thread_fits_all_the_same(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="this system has no such limits")
    tmp_path.chmod(0o755)
    scarce = played(tmp_path, SCARCE, "scarce")
    if isinstance(scarce, str):
        pytest.skip(scarce)
    assert scarce == [played(tmp_path, SCARCE, "plenty"), 3000]


def test_nobody_is_at_work_after_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "count", lambda: 3)
    main, begun, at_work = threading.get_ident(), threading.Event(), list[int]()

    def work(number: int) -> None:
        if threading.get_ident() == main:
            begun.wait(10)
            raise KeyboardInterrupt
        at_work.append(number)
        begun.set()
        threading.Event().wait(0.2)
        at_work.remove(number)

    with pytest.raises(KeyboardInterrupt):
        threads.parallel_for(work, range(1000))
    assert at_work == []


# -- the GPU ----------------------------------------------------------------------------------


def test_a_driver_that_was_started_before_a_fork_is_told_by_its_answer() -> None:
    class Driver:
        def cuInit(self, flags: int) -> int:
            return 3  # CUDA_ERROR_NOT_INITIALIZED

    with pytest.raises(device.Obstacle, match=r"forked.*spawn"):
        device._check_started(Driver())


def test_a_gpu_backend_refuses_in_words_in_a_forked_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verb = refusals.telling(lambda: "done")
    assert verb() == "done"
    monkeypatch.setattr(refusals, "_process", os.getpid() + 1)
    with pytest.raises(BackendUnavailable, match=r"forked.*backend='cpu'"):
        verb()
