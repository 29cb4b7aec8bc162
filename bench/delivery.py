"""How fast mail leaves, next to the least that it could cost.

    python bench/delivery.py            a table, in about nine minutes
    python bench/delivery.py --quick    shorter and less exact, in about one
    python bench/delivery.py --json     one JSON object instead of the table

In one run, against the same stand-in for Amazon SES and with the same number of
processes and threads, a bare boto3 loop and the whole pipeline with real workers take
turns. Measured are PostgreSQL + Redis with two workers, and SQLite with one. What is
made for it (folders, a database, processes) is gone afterwards. docs/benchmarks.md
says how to read the figures.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent
MODES = {"postgresql": 2, "sqlite": 1}  # with so many workers
# Share of the raw loop that the pipeline should reach: at 50 ms, at no latency
TARGETS = {"postgresql": (0.85, 0.55), "sqlite": (0.95, 0.65)}
IDLE_TARGETS_MS = {"postgresql": {"p50": 30}, "sqlite": {"p50": 80, "p95": 150}}
USUAL = {
    "rounds": 3,
    "seconds": 6.0,
    "idle_mails": 60,
    "requests": 200,
    "backlogs": [1_000, 100_000],
}
QUICK = {
    "rounds": 1,
    "seconds": 3.0,
    "idle_mails": 20,
    "requests": 50,
    "backlogs": [1_000],
}


def main() -> None:
    """Measure what was asked for and print it."""
    options = _options()
    plan = QUICK if options.quick else USUAL
    modes = {}
    for mode in [options.only] if options.only else MODES:
        _tell(f"{mode}: measuring with {MODES[mode]} worker process(es) …")
        modes[mode] = _summary(mode, _measure(mode, plan, options))
    answer = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", "bench/delivery.py", *sys.argv[1:]]),
        "machine": _machine(options),
        "modes": modes,
    }
    text = json.dumps(answer, indent=1) if options.json else _table(answer)
    sys.stdout.write(text + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="shorter, less exact")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--only", choices=list(MODES), help="one of the two")
    parser.add_argument("--port", type=int, default=8180, help="of the stand-in")
    parser.add_argument(
        "--postgresql",
        default="postgres://postgres@127.0.0.1:5432/postgres",
        metavar="URL",
        help="a database to make another one beside (default: %(default)s)",
    )
    parser.add_argument(
        "--redis",
        default="redis://127.0.0.1:6379/15",
        metavar="URL",
        help="one that nothing else uses (default: %(default)s)",
    )
    return parser.parse_args()


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


# Measuring


def _measure(
    mode: str, plan: Mapping[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    """Make an installation, let chain.py measure it, and remove it."""
    with tempfile.TemporaryDirectory(prefix="ticketflow-bench-") as scratch:
        environment = _environment(scratch, options.port) | {
            "BENCH_PLAN": json.dumps(
                {
                    **plan,
                    "workers": MODES[mode],
                    "stub_port": options.port,
                    "scratch": scratch,
                    "latencies_ms": [0, 50],
                }
            )
        }
        if mode == "sqlite":
            return _run(environment)
        with _database(options.postgresql) as url:
            return _run(
                {**environment, "DATABASE_URL": url, "REDIS_URL": options.redis}
            )


def _environment(scratch: str, port: int) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DJANGO_", "AWS_", "TICKETFLOW_"))
    }
    return {
        **kept,
        "TICKETFLOW_DATA_DIR": scratch,
        "DATABASE_URL": "",
        "REDIS_URL": "",
        "SITE_URL": "https://help.example.com",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "bench")]),
    }


def _run(environment: Mapping[str, str]) -> dict[str, Any]:
    manage = [sys.executable, "manage.py"]
    for command in (["migrate", "--skip-checks", "-v", "0"], ["check"]):
        subprocess.run(  # noqa: S603 - ours
            [*manage, *command],
            cwd=ROOT,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    measured = subprocess.run(  # noqa: S603 - ours
        [*manage, "shell", "--no-imports", "-c", "import chain"],
        cwd=ROOT,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, Any] = json.loads(measured.stdout.splitlines()[-1])
    return found


@contextmanager
def _database(url: str) -> Iterator[str]:
    """Make a database beside the given one, and drop it at the end."""
    name = f"ticketflow_bench_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlsplit(url)._replace(path=f"/{name}").geturl()
        finally:
            server.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


def _summary(mode: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return one mode's figures; those without a latency's name are at 50 ms."""
    at_50_ms, at_0_ms = found["speed"]["50"], found["speed"]["0"]
    return {
        "processes": found["processes"],
        "threads_each": found["slots"],
        "mail_bytes": found["mail_bytes"],
        **_rounded(at_50_ms),
        "at_zero_latency": _rounded(at_0_ms),
        "target_ratio": TARGETS[mode][0],
        "target_ratio_at_zero_latency": TARGETS[mode][1],
        "enqueue_us_per_mail": _rounded(found["enqueue_us"]),
        "reply_ms": _rounded(found["reply_ms"]),
        "idle_commit_to_ses_ms": _rounded(found["idle_ms"]),
        "target_idle_ms": IDLE_TARGETS_MS[mode],
        "worker_mb_by_backlog": _rounded(found["memory_mb"]),
    }


def _rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [[round(value, 1) for value in pair] for pair in figure]
        if isinstance(figure, list)
        else round(figure, 3 if name == "ratio" else 1)
        for name, figure in figures.items()
    }


# Telling


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {
            name: version(name) for name in ("django", "boto3", "celery", "psycopg")
        },
        **({} if options.only == "sqlite" else _server_versions(options)),
    }


def _server_versions(options: argparse.Namespace) -> dict[str, str]:
    from redis import Redis

    with psycopg.connect(options.postgresql) as server:
        postgresql = server.info.parameter_status("server_version") or ""
    redis = Redis.from_url(options.redis).info("server")["redis_version"]
    return {"postgresql": postgresql, "redis": redis}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


def _table(answer: Mapping[str, Any]) -> str:
    machine = answer["machine"]
    lines = [
        f"{answer['measured_at']}  {answer['command']}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
        f"load at the end {machine['load_average'][0]}",
        f"Python {machine['python']}, "
        + ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
        + "".join(
            f", {name} {machine[name]}"
            for name in ("postgresql", "redis")
            if name in machine
        ),
        "",
        f"{'mails per second':26}{'raw loop':>10}{'pipeline':>10}{'ratio':>8}{'target':>8}",
    ]
    for mode, figures in answer["modes"].items():
        zero = figures["at_zero_latency"]
        lines += [
            _speed_line(f"{mode}, SES at 50 ms", figures, figures["target_ratio"]),
            _speed_line(
                f"{mode}, no latency", zero, figures["target_ratio_at_zero_latency"]
            ),
        ]
    lines += [
        "",
        f"{'':26}{'idle: commit to SES, ms':^26}{'enqueue, µs a mail':^22}{'reply, ms':^22}",
        f"{'':26}{'p50':>8}{'p95':>8}{'max':>8}  {'one':>10}{'of 500':>10}  "
        f"{'5 watch':>10}{'500 watch':>10}",
    ]
    for mode, figures in answer["modes"].items():
        idle, cost = figures["idle_commit_to_ses_ms"], figures["enqueue_us_per_mail"]
        reply = figures["reply_ms"]
        lines.append(
            f"{mode:26}{idle['p50']:8}{idle['p95']:8}{idle['max']:8}  "
            f"{cost['one']:10}{cost['of_500']:10}  "
            f"{reply['to_5']:10}{reply['to_500']:10}"
        )
    lines += [
        "",
        *(
            f"{mode}: {figures['processes']} process(es) with {figures['threads_each']}"
            f" threads, mails of {figures['mail_bytes']} bytes; MB a worker holds"
            f" while so many wait: {figures['worker_mb_by_backlog']}"
            for mode, figures in answer["modes"].items()
        ),
    ]
    return "\n".join(lines)


def _speed_line(name: str, speed: Mapping[str, Any], target: float) -> str:
    return (
        f"{name:26}{speed['raw_per_s']:10}{speed['pipeline_per_s']:10}"
        f"{speed['ratio']:8}{target:8}"
    )


if __name__ == "__main__":
    main()
