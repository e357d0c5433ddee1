"""The check of a GPU, rehearsed without one: sections that crash, hang and lie take no other down.

What the sections measure is proven by no test here; that they are written as they are called, is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.gpu_check import __main__ as command
from bench.gpu_check import contract, processes
from gpu_kmeans.data import sample

TESTS = Path(__file__).resolve().parent
REHEARSAL = TESTS / "gpu_rehearsal.py"
BEGIN = "from bench.gpu_check.processes import note_on_stdout\nnote = note_on_stdout()\n"
FIGURE = BEGIN + "note(median=1.5)\n"
END = "note(ended=True)\n"


@pytest.fixture(autouse=True)
def from_the_checkout(monkeypatch):
    paths = (str(TESTS.parent), os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def ran(code: str, seconds: float = 30, **options: Any) -> dict[str, Any]:
    return processes.run([sys.executable, "-c", code], seconds, **options)


# -- a process --------------------------------------------------------------------------


def test_a_section_that_ends_gives_its_figures():
    result = ran(FIGURE + "note(median=2.5, k=3)\n" + END)
    assert 0 <= result.pop("process_seconds") < 60
    assert result == {"median": 2.5, "k": 3}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (FIGURE + "import os; os.abort()", "ended by SIGABRT"),
        (FIGURE + "raise RuntimeError('no such symbol')", "exit 1"),
        (FIGURE + "import os; os._exit(0)", "it left without saying that it had ended"),
        (FIGURE + END + "import os; os.abort()", "ended by SIGABRT"),
        (FIGURE + "note(failed='labels differ')\n" + END, "labels differ"),
        (FIGURE + "print('gpu-check: {1')\n" + END, "a figure that cannot be read"),
        (FIGURE + "print('gpu-check: 7')\n" + END, "a figure that cannot be read"),
    ],
    ids=["aborts", "raises", "leaves", "aborts at its end", "says so", "garbles", "no names"],
)
def test_a_section_that_fails_keeps_its_figures_and_its_reason(code, reason):
    result = ran(code)
    assert result["failed"].startswith(reason)
    assert result["median"] == 1.5


def test_a_section_without_a_figure_has_failed():
    assert ran(BEGIN + END)["failed"] == "it ended without a figure"
    assert ran("")["failed"] == "it left without saying that it had ended"


def test_the_last_lines_of_a_section_that_failed_are_kept():
    result = ran("raise RuntimeError('libcuml.so: no such file')")
    assert result["said"][-1] == "RuntimeError: libcuml.so: no such file"


def test_a_section_that_hangs_ends_at_its_limit_with_all_that_it_started():
    code = FIGURE + (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\n"
        "note(child=child.pid)\n"
        "time.sleep(100)\n"
    )
    start = time.perf_counter()
    result = ran(code, seconds=4)
    assert time.perf_counter() - start < 20
    assert result["failed"] == "stopped after 4 s, its limit"
    assert result["median"] == 1.5
    status = Path(f"/proc/{result['child']}/status")
    deadline = time.perf_counter() + 20
    while is_running(status) and time.perf_counter() < deadline:
        time.sleep(0.05)  # killed, and the system has yet to end it
    assert not is_running(status)


def is_running(status: Path) -> bool:
    try:
        return "Z (zombie)" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_output_and_figures_are_passed_on_while_the_section_runs():
    came: list[tuple[Any, float]] = []
    code = BEGIN + "import time\nprint('first')\nnote(k=1)\ntime.sleep(1.5)\nprint('last')\n" + END
    ran(
        code,
        echo=lambda line: came.append((line, time.perf_counter())),
        seen=lambda figures: came.append((figures, time.perf_counter())),
    )
    at = {str(what): when for what, when in reversed(came)}
    assert at["last"] - at["first"] > 1
    assert at["last"] - at["{'k': 1}"] > 1


def test_figures_pass_whoever_captures_the_output():
    code = BEGIN + "import os\nos.dup2(os.open(os.devnull, os.O_WRONLY), 1)\nnote(k=1)\n" + END
    assert ran(code)["k"] == 1


# -- the command ------------------------------------------------------------------------


@pytest.fixture
def rehearsed(monkeypatch, tmp_path):
    """Run sections in processes of the rehearsal; their records, and what the command says."""
    monkeypatch.setattr(command, "COMMAND", (sys.executable, str(REHEARSAL)))

    def check(*names: str, fault: str = "") -> tuple[dict[str, Any], str | int]:
        monkeypatch.setenv("GPU_REHEARSAL", fault)
        out = tmp_path / "record.json"
        said = command.check(list(names), sample.paths(), out)
        return json.loads(out.read_text()) if out.exists() else {}, said

    return check


def stand_in(monkeypatch, **codes: str) -> None:
    """Let sections run other code than their own."""
    real = command.run

    def instead(line: list[str], seconds: float, **options: Any) -> dict[str, Any]:
        name = next(word for word in line if word.partition("/")[0] in command.SECTIONS)
        return real([sys.executable, "-c", codes[name]], seconds, **options)

    monkeypatch.setattr(command, "run", instead)


MACHINE = BEGIN + "note(gpu='a card', obstacle=None)\n" + END
GOOD = FIGURE + END


def test_a_machine_that_cannot_be_asked_gives_its_reason(monkeypatch):
    stand_in(monkeypatch, machine="raise OSError('libcuda.so.1: wrong ELF class')")
    said = command.check([], sample.paths(), None)
    assert str(said).startswith("gpu-check needs a GPU: exit 1")
    assert "libcuda.so.1: wrong ELF class" in str(said)


def test_a_machine_without_a_gpu_gives_its_reason(monkeypatch):
    code = BEGIN + "note(gpu=None, obstacle='no driver')\n" + END
    stand_in(monkeypatch, machine=code)
    assert command.check([], sample.paths(), None) == "gpu-check needs a GPU: no driver"


def test_a_crash_leaves_the_other_sections_standing(monkeypatch, tmp_path):
    out = tmp_path / "record.json"
    stand_in(monkeypatch, machine=MACHINE, parity=FIGURE + "import os; os.abort()", tmdb=GOOD)
    said = command.check(["parity", "tmdb"], sample.paths(), out)
    assert said == "failed: parity"
    sections = json.loads(out.read_text())["sections"]
    assert sections["parity"]["failed"] == "ended by SIGABRT"
    assert sections["parity"]["median"] == sections["tmdb"]["median"] == 1.5


def test_a_record_has_the_figures_of_a_section_that_still_runs(monkeypatch, tmp_path):
    out = tmp_path / "record.json"
    looked = (
        f"import pathlib, time\ntime.sleep(1)\nnote(seen=pathlib.Path({str(out)!r}).read_text())\n"
    )
    stand_in(monkeypatch, machine=MACHINE, parity=FIGURE + looked + END)
    assert command.check(["parity"], sample.paths(), out) == 0
    seen = json.loads(json.loads(out.read_text())["sections"]["parity"]["seen"])
    assert seen["sections"]["parity"] == {"failed": "it has not ended", "median": 1.5}


def test_sections_that_are_named_leave_the_figures_of_others(monkeypatch, tmp_path):
    out = tmp_path / "record.json"
    stand_in(monkeypatch, machine=MACHINE, parity=GOOD, tmdb=GOOD)
    command.check(["parity"], sample.paths(), out)
    command.check(["tmdb"], sample.paths(), out)
    assert [*json.loads(out.read_text())["sections"]] == ["parity", "tmdb"]


def test_nothing_follows_a_smoke_that_failed(monkeypatch, tmp_path):
    stand_in(monkeypatch, machine=MACHINE, smoke="import os; os.abort()")
    assert command.check([], sample.paths(), tmp_path / "record.json") == "failed: smoke"


def test_smoke_is_first_and_the_contract_last(monkeypatch, tmp_path):
    codes = dict.fromkeys(command.SECTIONS, GOOD) | {"machine": MACHINE}
    stand_in(monkeypatch, **codes)
    monkeypatch.setattr(contract, "files", lambda seconds: ([], "pytest ended with 3"))
    out = tmp_path / "record.json"
    assert command.check([], sample.paths(), out) == "failed: contract"
    order = [*json.loads(out.read_text())["sections"]]
    assert order[0] == "smoke"
    assert order[-1] == "racecheck"


def test_every_section_ends_within_ten_minutes():
    assert max(section.seconds for section in command.SECTIONS.values()) <= 600
    assert contract.SANITIZER_SECONDS < 600


# -- the sections -----------------------------------------------------------------------

ALL = [name for name in command.SECTIONS if name not in ("machine", "memcheck", "racecheck")]


@pytest.fixture(scope="module")
def figures() -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, str(REHEARSAL), *ALL, "--all"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent), "GPU_REHEARSAL": ""},
    )
    if "g++" in done.stderr and "not installed" in done.stderr:
        pytest.skip("kernels run on the CPU through g++, which is not installed")
    assert done.returncode == 0, done.stderr[-2000:]
    results: dict[str, dict[str, Any]] = {name: {} for name in ALL}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            record = json.loads(line)
            results[record.pop("section")].update(record)
    return results


EXPECTED = {
    "smoke": ("kernel_seconds", "table_seconds", "library_seconds", "fit_seconds", "inertia"),
    "parity": ("matrix_equal", "lloyd_from_one_start", "same_labels_twice_from_one_start"),
    "memory": ("with_a_limit_of", "right_again_afterwards"),
    "places": ("skipped", "rows_features_clusters"),
    "tmdb": ("seconds", "inertia", "peak_device_bytes"),
    "tfidf": ("seconds", "nnz"),
    "iteration": ("k=5", "k=8", "copy_bytes_per_second"),
    "spmm": ("k=5", "k=8"),
    "dense": ("k=5", "k=8", "dense_bytes"),
    "reduced": ("k=5", "k=8"),
    "million": ("k=8", "dense_bytes"),
}


@pytest.mark.parametrize("name", ALL)
def test_each_section_gives_its_figures(figures, name):
    assert "failed" not in figures[name]
    assert set(EXPECTED[name]) <= set(figures[name])


def test_a_small_card_leaves_out_what_it_has_no_room_for(figures):
    assert figures["places"]["skipped"].startswith("too little memory")


def test_the_vendors_product_finds_the_same_clusters(figures):
    assert figures["spmm"]["k=8"]["same_labels_as_ours"] > 0.9  # ties among duplicates aside


def test_a_library_that_crashes_ends_its_section_alone(rehearsed):
    record, said = rehearsed("smoke", "tfidf", fault="crash")
    assert said == "failed: smoke"
    smoke = record["sections"]["smoke"]
    assert smoke["failed"] == "ended by SIGABRT"
    assert smoke["running"] == "library_seconds", "where it was"
    assert smoke["table_seconds"] >= 0, "what it had done"
    assert "seconds" in record["sections"]["tfidf"]


def test_a_library_that_lies_is_caught(rehearsed):
    record, _ = rehearsed("smoke", fault="lie")
    assert "library_seconds" in record["sections"]["smoke"]["failed"]


def test_a_library_that_hangs_is_ended(rehearsed, monkeypatch):
    section = command.SECTIONS["dense"]
    monkeypatch.setitem(command.SECTIONS, "dense", command.Section(section.work, 12))
    record, said = rehearsed("dense", fault="hang")
    assert said == "failed: dense"
    assert record["sections"]["dense"]["failed"] == "stopped after 12 s, its limit"


# -- the contract -----------------------------------------------------------------------

CONFTEST = """
import pytest

def pytest_addoption(parser):
    parser.addoption("--backend")

@pytest.fixture
def backend(request):
    return request.config.getoption("--backend")
"""
FILES = {
    "test_good": "def test_one(backend):\n    assert backend == 'gpu'\n",
    "test_wrong": "def test_one(backend):\n    pass\n\ndef test_two(backend):\n    assert 0\n",
    "test_crash": "import os\n\ndef test_one(backend):\n    pass\n\n"
    "def test_two(backend):\n    os.abort()\n",
    "test_skipped": "import pytest\n\ndef test_one(backend):\n    pytest.skip('no file')\n",
    "test_broken": "import no_such_module\n\ndef test_one(backend):\n    pass\n",
}


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").write_text(CONFTEST)
    for name, text in FILES.items():
        (tmp_path / "tests" / f"{name}.py").write_text(text)

    def outcome(module: str) -> dict[str, Any]:
        code = BEGIN + (
            "import pathlib\nfrom bench.gpu_check import contract\n"
            f"contract.ROOT = pathlib.Path({str(tmp_path)!r})\n"
            f"contract.one_file({module!r}, note)\n"
        )
        return ran(code + END)

    return outcome


@pytest.mark.parametrize(
    ("module", "failed", "passed"),
    [
        ("test_good", None, 1),
        ("test_wrong", "1 tests", 1),
        ("test_crash", "ended by SIGABRT", 1),
        ("test_skipped", "it ran no test; 1 were skipped", 0),
        ("test_broken", "it ran no test; 0 were skipped", 0),
    ],
)
def test_a_file_of_tests_fails_by_itself(checkout, module, failed, passed):
    result = checkout(module)
    assert result.get("failed") == failed
    assert result["passed"] == passed
    if module == "test_crash":
        assert result["running"].endswith("test_two")


def test_files_that_have_a_backend_are_found(monkeypatch, tmp_path):
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    (tests / "test_a.py").write_text("def test_one(backend_name):\n    pass\n")
    (tests / "test_b.py").write_text("def test_one():\n    pass\n")
    (tests / "test_verbs.py").write_text("def test_one(backend):\n    pass\n")
    (tests / "serving.py").write_text("")
    monkeypatch.setattr(contract, "ROOT", tmp_path)
    assert contract.files(100) == (["test_verbs", "test_a"], None)
    (tests / "test_c.py").write_text("import no_such_module\n")
    modules, trouble = contract.files(100)
    assert modules == ["test_verbs", "test_a", "test_c"]
    assert trouble is not None
    monkeypatch.setattr(contract, "sys", type("Sys", (), {"executable": "/bin/false"}))
    modules, trouble = contract.files(100)
    assert modules == ["test_verbs", "test_a"], "by their text, where pytest itself fails"
    assert trouble is not None


def test_a_sanitizer_that_is_not_there_is_said_so(monkeypatch):
    monkeypatch.setattr(contract.shutil, "which", lambda name: None)
    noted: dict[str, Any] = {}
    contract.sanitized("memcheck", lambda **figures: noted.update(figures))
    assert noted == {"skipped": "compute-sanitizer is not installed"}


@pytest.mark.parametrize(
    ("script", "failed"),
    [
        ("echo '3 passed in 1 s'; echo '== ERROR SUMMARY: 0 errors'", None),
        ("echo '3 passed in 1 s'; echo '== ERROR SUMMARY: 2 errors'; exit 86", "exit 86"),
        ("echo 'no tests ran'; echo '== ERROR SUMMARY: 0 errors'", "it ran no test"),
    ],
)
def test_a_sanitizer_is_believed_where_tests_ran(monkeypatch, tmp_path, script, failed):
    fake = tmp_path / "compute-sanitizer"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(contract.shutil, "which", lambda name: str(fake))
    noted: dict[str, Any] = {}
    contract.sanitized("memcheck", lambda **figures: noted.update(figures))
    assert (noted.get("failed") or "").startswith(failed or "")
    assert ("failed" in noted) == (failed is not None)
