"""``serve``, ``config``, ``key``, ``recover``, ``restore``: the commands around the service."""

from __future__ import annotations

import argparse
import os
from typing import Any

from gpu_kmeans.cli.output import Answer, write_error
from gpu_kmeans.errors import BackendUnavailable, FileProblem

__all__ = ["config", "key", "recover", "restore", "serve"]


def serve(options: argparse.Namespace) -> Answer:
    configuration = _configure(options)
    from gpu_kmeans.service.server import serve as run

    def ready(address: str) -> None:
        write_error(f"gpu-kmeans: open {address} in a browser; Ctrl-C ends the service\n")

    # uvicorn handles signals from here on; this command's own handlers would raise into it.
    run(configuration.settings, ready, sample=options.sample)
    return Answer({"stopped": True}, lambda: "stopped")


def config(options: argparse.Namespace) -> Answer:
    rows = _configure(options).rows()
    names = ("name", "value", "from", "meaning")

    def text() -> str:
        widths = [max(len(row[at]) for row in rows) for at in range(3)]
        return "\n".join(
            f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin:<{widths[2]}}  {meaning}".rstrip()
            for name, value, origin, meaning in rows
        )

    return Answer({"settings": [dict(zip(names, row, strict=True)) for row in rows]}, text)


def key(options: argparse.Namespace) -> Answer:
    data = _configure(options).settings.data
    from gpu_kmeans.service.audit import write_audit
    from gpu_kmeans.service.keys import add_key, remove_key
    from gpu_kmeans.service.store import open_registry

    if not data.is_dir():
        if options.action != "add":
            raise FileProblem(f"there is no folder {data}: check --data")
        data.mkdir(parents=True)
    registry = open_registry(data)
    try:
        if options.action == "add":
            made = add_key(registry, options.name, options.scope)
            about = {"name": options.name, "scope": options.scope, "user": os.getuid()}
            write_audit(data, {"action": "key added", **about})
            return Answer({"name": options.name, "key": made}, lambda: made)
        if options.action == "remove":
            remove_key(registry, options.name)
            about = {"name": options.name, "user": os.getuid()}
            write_audit(data, {"action": "key removed", **about})
            return Answer({"removed": options.name}, lambda: f"removed {options.name}")
        rows = registry.rows("SELECT name, scope, created FROM keys ORDER BY name")
    finally:
        registry.close()
    lines = [f"{row['name']}  {row['scope']}  {row['created']}" for row in rows]
    return Answer({"keys": rows}, lambda: "\n".join(lines) or "no keys")


def recover(options: argparse.Namespace) -> Answer:
    data = _configure(options).settings.data
    from gpu_kmeans.service.audit import write_audit
    from gpu_kmeans.service.recover import recover as run

    done = run(data)
    write_audit(data, {"action": "registry recovered", "new": done.rebuilt, "user": os.getuid()})
    facts = {
        "rebuilt": done.rebuilt,
        "set_aside": done.set_aside,
        "datasets": done.datasets,
        "versions": [{"model": model, "version": version} for model, version in done.versions],
        "left": [{"file": file, "reason": reason} for file, reason in done.left],
        "missing": done.missing,
    }
    return Answer(facts, lambda: _recovered_text(done))


def restore(options: argparse.Namespace) -> Answer:
    data = _configure(options).settings.data
    from gpu_kmeans.service.audit import write_audit
    from gpu_kmeans.service.restore import restore as run

    count = run(options.backup, data)
    write_audit(data, {"action": "backup restored", "files": count, "user": os.getuid()})
    return Answer({"data": str(data), "files": count}, lambda: f"restored {count} files to {data}")


def _recovered_text(done: Any) -> str:
    lines = ["made a new registry" if done.rebuilt else "the registry is sound"]
    lines += [f"set aside {file}" for file in done.set_aside]
    lines += [f"recovered the dataset {name}" for name in done.datasets]
    lines += [f"recovered version {version} of {model}" for model, version in done.versions]
    lines += [f"left {file}: {reason}" for file, reason in done.left]
    lines += [f"missing {file}, which the registry names" for file in done.missing]
    if done.rebuilt:
        lines += ["keys and jobs are not recovered: make keys again with `gpu-kmeans key add`"]
    elif not (done.datasets or done.versions):
        lines += ["nothing to recover"]
    return "\n".join(lines)


def _configure(options: argparse.Namespace) -> Any:
    try:
        from gpu_kmeans.service.settings import Settings, configure
    except ModuleNotFoundError as missing:
        raise BackendUnavailable(
            f'the service needs {missing.name}: pip install ".[serve]" in a clone of gpu-kmeans'
        ) from None
    named = {
        name: getattr(options, name)
        for name in Settings.model_fields
        if getattr(options, name, None) is not None
    }
    return configure(named, options.config)
