"""`attune search` as users call it: a study, its report, resuming, and one message per mistake."""

import csv
import functools
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import attune_cli
import pytest

WORKER = Path(__file__).parent / "worker.py"
MACHINE = Path(__file__).parents[1] / "e2e" / "machines" / "whole.json"

SPACE = """
attune-space: 1
vars:
  - {name: attn, kind: cat, values: [softmax, linear, local], repeat: 3}
  - {name: ffn, kind: int, values: [1, 2, 4], repeat: 3}
constraints:
  - {cost: size, le: 14}
objectives:
  - {metric: score, goal: max}
  - {cost: size, goal: min}
strategy: {name: nsga2, population: 16}
budget: {evals: 100}
seed: 5
evaluator: {name: table, file: table.jsonl}
"""

attune = functools.partial(attune_cli.attune, check=False)


@pytest.fixture
def space(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text(SPACE)
    made = attune(
        "search", "table", file, "--synthetic", "--seed=3", "-o", tmp_path / "table.jsonl"
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.endswith(": 729 rows\n")
    return file


def archive(folder):
    rows = csv.DictReader(attune("search", "export", folder, "-o", "-").stdout.splitlines())
    return [row for row in rows if row["front"] == "1"]


def test_study_and_reports(space, tmp_path):
    study = tmp_path / "study"
    result = attune("search", space, "-o", study)
    assert (result.returncode, result.stderr) == (0, "")
    assert "100 results; nsga2, seed 5" in result.stdout
    assert "refused by constraints" in result.stdout
    text = attune("search", "report", study)
    assert text.returncode == 0 and "front:" in text.stdout
    page = attune("search", "report", study, "--html")
    assert page.returncode == 0
    assert (study / "report.html").read_text().endswith("</html>\n")
    front = archive(study)
    assert front and all(float(row["size"]) <= 14 for row in front)


def test_progress(space, tmp_path):
    lines = attune("search", space, "-o", tmp_path / "s", "--progress").stderr.splitlines()
    pattern = r"100 of 100, \d+ refused by constraints, best score [\d.]+, front \d+, "
    pattern += r"hypervolume \d+ %, \d+ s, [\d.e+]+/s, 0 s left"
    assert re.fullmatch(pattern, lines[-1]), lines[-1]
    assert attune("search", space, "-o", tmp_path / "quiet").stderr == ""


def test_resume(space, tmp_path):
    study, whole = tmp_path / "study", tmp_path / "whole"
    assert attune("search", space, "-o", whole).returncode == 0
    assert attune("search", space, "-o", study, "--evals=40").returncode == 0
    again = attune("search", space, "-o", study)
    assert again.returncode == 1 and "`--resume` goes on with it" in again.stderr
    assert attune("search", space, "-o", study, "--resume").returncode == 0
    assert archive(study) and [r["id"] for r in archive(study)] == [r["id"] for r in archive(whole)]
    other = attune("search", space, "-o", study, "--resume", "--seed=6")
    assert other.returncode == 1 and "has another seed" in other.stderr


def worker_space(tmp_path, manner="good"):
    file = tmp_path / "worker.yaml"
    command = json.dumps([sys.executable, "-S", "-E", str(WORKER), manner])
    text = SPACE.replace("  - {cost: size, goal: min}\n", "").replace(
        "cost: size, le: 14", 'expr: "sum(ffn) <= 9"'
    )
    text = text.replace("{name: table, file: table.jsonl}", f"{{name: worker, command: {command}}}")
    file.write_text(text)
    return file


def test_interrupted(tmp_path):
    space, study = worker_space(tmp_path), tmp_path / "study"
    command = [attune_cli.ATTUNE, "search", space, "-o", study, "--evals=100000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while (
        not (study / "study.jsonl").exists() or '"tell"' not in (study / "study.jsonl").read_text()
    ):
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert "interrupted; `--resume` goes on" in process.communicate(timeout=30)[1]
    assert process.returncode == 1
    assert (
        attune("search", space, "-o", study, "--resume", "--evals=30", "--workers=2").returncode
        == 0
    )


def test_mistakes(space, tmp_path):
    assert attune("search").returncode == 2
    assert attune("search", space).returncode == 2
    missing = attune("search", tmp_path / "none.yaml", "-o", tmp_path / "s")
    assert missing.returncode == 1 and "cannot read" in missing.stderr
    space.write_text(SPACE.replace("kind: cat", "kind: category"))
    wrong = attune("search", space, "-o", tmp_path / "s")
    assert wrong.returncode == 1
    assert ":4:24: no kind `category`; accepted: cat, int, bool, float, path, perm" in wrong.stderr
    space.write_text(SPACE.replace("le: 14", "le: 1"))
    tight = attune("search", space, "-o", tmp_path / "s")
    assert tight.returncode == 1 and "the tightest is `size <= 1`" in tight.stderr
    assert not (tmp_path / "s").exists()


def test_workers_that_fail(tmp_path):
    space = worker_space(tmp_path, "refuse")
    failed = attune("search", space, "-o", tmp_path / "a", "--evals=5")
    assert failed.returncode == 1
    assert "no candidate could be evaluated; the last failure: cannot train this" in failed.stderr
    dead = attune("search", worker_space(tmp_path, "dead"), "-o", tmp_path / "b", "--evals=5")
    assert dead.returncode == 1 and "does not start: it ended with exit code 3" in dead.stderr


TEMPLATE = """
attune-space: 1
template: enc_classifier
fixed: {seq: 32, d: 32}
vars:
  - {name: attn, kind: cat, values: [softmax, linear, local4, conv], repeat: 2}
  - {name: ffn, kind: int, values: [32, 64], repeat: 2}
constraints:
  - {cost: latency_ms, le: 1000, threads: 1}
objectives:
  - {cost: params, goal: max}
  - {cost: latency_ms, goal: min, threads: 1}
strategy: nsga2
budget: {evals: 64}
"""


def test_template(tmp_path):
    space, study = tmp_path / "space.yaml", tmp_path / "study"
    space.write_text(TEMPLATE)
    result = attune("search", space, "-o", study)
    assert result.returncode == 0, result.stderr
    front = archive(study)
    assert all(float(row["latency_ms@1"]) > 0 for row in front)
    finals = attune("search", "finalists", study, "--top=2", "--runs=3")
    assert finals.returncode == 0, finals.stderr
    assert "winner: " in finals.stdout
    run = attune("bench", study / "winner.so", "--runs=2", "--json")
    assert run.returncode == 0 and json.loads(run.stdout)["median_ms"] > 0
    built = attune("search", "build", study, "--id=0", "-o", tmp_path / "m.onnx")
    assert built.returncode == 0, built.stderr
    rows = csv.DictReader(attune("search", "export", study, "-o", "-").stdout.splitlines())
    first = next(rows)
    values = {n: [first[f"{n}.{i}"] for i in (0, 1)] for n in ("attn", "ffn")}
    values["ffn"] = list(map(int, values["ffn"]))
    same = attune(
        "search", "build", space, f"--values={json.dumps(values)}", "-o", tmp_path / "s.onnx"
    )
    assert same.returncode == 0, same.stderr
    assert (tmp_path / "s.onnx").read_bytes() == (tmp_path / "m.onnx").read_bytes()
    for text, message in (("[1", "is a JSON object"), ('{"attn": ["x"]}', "`attn` cannot be")):
        bad = attune("search", "build", space, f"--values={text}", "-o", tmp_path / "bad.onnx")
        assert bad.returncode == 1 and message in bad.stderr
    cost = attune("cost", tmp_path / "m.onnx", "--threads=1", "--json")
    predicted = json.loads(cost.stdout)["latency_ms"]
    assert float(first["latency_ms@1"]) == pytest.approx(predicted, rel=0.15)
    space.write_text(TEMPLATE.replace("local4", "window"))
    wrong = attune("search", space, "-o", tmp_path / "other")
    assert wrong.returncode == 1 and "found `window`" in wrong.stderr


def test_compare(space):
    result = attune("search", "compare", space, "--seeds=2", "--top=0.02", "--strategies",
                    "nsga2,tiers:initial=20:trees=10", "--budget=40", "--samples=50")  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    first, *rows, last = result.stdout.splitlines()
    assert first.endswith("budget 40, 2 seeds: medians")
    assert [row.split()[0] for row in rows[1:]] == [
        "random", "nsga2", "tiers:initial=20:trees=10",
    ]  # fmt: skip
    assert last.startswith("ranker after 50 random members: tau 0.")
    numbers = json.loads(attune("search", "compare", space, "--seeds=2", "--json").stdout)
    assert [s["strategy"] for s in numbers["strategies"]] == ["evolution", "rank", "tiers", "hat"]
    assert all(len(s["until_top"]) == 2 for s in numbers["strategies"])


def test_compare_needs_a_table(tmp_path):
    result = attune("search", "compare", worker_space(tmp_path))
    assert result.returncode == 1
    assert "compared on a table: the evaluator is `table` or `synthetic`" in result.stderr


def test_a_study_keeps_its_calibration(tmp_path, monkeypatch):
    space, study = tmp_path / "space.yaml", tmp_path / "study"
    space.write_text(TEMPLATE)
    slow, fast = tmp_path / "slow.json", tmp_path / "fast.json"
    machine = json.loads(MACHINE.read_text())
    fast.write_text(json.dumps(machine))
    slow.write_text(json.dumps({**machine, "launch_seconds": [1e-3, 1e-3]}))
    monkeypatch.setenv("ATTUNE_CALIBRATION", str(fast))
    assert attune("search", space, "-o", tmp_path / "whole").returncode == 0
    assert attune("search", space, "-o", study, "--evals=20").returncode == 0
    monkeypatch.setenv("ATTUNE_CALIBRATION", str(slow))
    resumed = attune("search", space, "-o", study, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "the machine has another calibration now" in resumed.stderr
    prices = [
        [(row["id"], row["latency_ms@1"]) for row in archive(folder)]
        for folder in (study, tmp_path / "whole")
    ]
    assert prices[0] and prices[0] == prices[1]
    # Without its copy it cannot go on, and says why.
    (study / "calibration.json").unlink()
    lost = attune("search", space, "-o", study, "--resume", "--evals=70")
    assert lost.returncode == 1 and "has another cost_model" in lost.stderr
    assert "ATTUNE_CALIBRATION" in lost.stderr


def test_finalists_are_measured_once_and_for_all(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTUNE_CALIBRATION", str(MACHINE))
    space, study = tmp_path / "space.yaml", tmp_path / "study"
    space.write_text(TEMPLATE)
    assert attune("search", space, "-o", tmp_path / "whole").returncode == 0
    assert attune("search", space, "-o", study, "--evals=30").returncode == 0

    def finalists(*flags):
        result = attune("search", "finalists", study, "--runs=2", *flags)
        rows = [line.split() for line in result.stdout.splitlines() if line.strip()[:1].isdigit()]
        return result, {int(row[0]): tuple(map(float, row[1:3])) for row in rows}

    _, first = finalists("--top=1")
    [(best, (predicted, expected))] = first.items()
    assert predicted == expected
    document = json.loads((study / "finalists.json").read_text())
    assert [f["id"] for f in document["finalists"]] == [best]
    assert document["finalists"][0]["predicted_ms"] == pytest.approx(predicted, abs=1e-4)
    assert document["finalists"][0]["measured_ms"] > 0

    # As if the machine had been found to be ten times as slow: all others are expected to be slower,
    # and the archive of the study stays what its seed makes of it.
    document["finalists"][0]["measured_ms"] = 10 * document["finalists"][0]["predicted_ms"]
    (study / "finalists.json").write_text(json.dumps(document))
    assert attune("search", space, "-o", study, "--resume").returncode == 0
    assert archive(study) == archive(tmp_path / "whole")
    _, others = finalists("--top=3")
    assert len(others) == 3
    assert sum(expected > 1.05 * predicted for predicted, expected in others.values()) >= 2

    # The page shows what was measured beside what was predicted, and where the prediction comes from.
    page = attune("search", "report", study, "--html")
    assert (page.returncode, page.stderr) == (0, "")
    html = (study / "report.html").read_text()
    assert html.count("class='measured'") == len(
        json.loads((study / "finalists.json").read_text())["finalists"]
    )
    assert "<h2>Latency, 1 thread</h2>" in html and "<th>gemm</th>" in html

    (study / "finalists.json").write_text("{}")
    damaged, _ = finalists()
    assert damaged.returncode == 1 and "holds no measurements of finalists" in damaged.stderr
    page = attune("search", "report", study, "--html")
    assert page.returncode == 0 and "a page without latencies: " in page.stderr
    assert "<h2>Latency" not in (study / "report.html").read_text()


def test_report_without_finalists(tmp_path):
    space, study = tmp_path / "space.yaml", tmp_path / "study"
    space.write_text(TEMPLATE)
    assert attune("search", space, "-o", study, "--evals=10").returncode == 0
    page = attune("search", "report", study, "--html")
    assert (page.returncode, page.stderr) == (0, "")
    html = (study / "report.html").read_text()
    assert "class='measured'" not in html and "<th>gemm</th>" in html


def test_costs(tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text(TEMPLATE.replace(", conv]", "]"))
    made = attune("search", "costs", space, "-o", tmp_path / "costs.json", "--samples=50")
    assert made.returncode == 0, made.stderr
    table = json.loads((tmp_path / "costs.json").read_text())
    latency = table["costs"].index("latency_ms@1")
    assert table["error"][latency]["max"] < 1e-9
    assert all(abs(change["deltas"][latency]) < 1e-12 for change in table["transitions"])
    assert "a typical machine" in table["cost_model"]
    # The best sum over choices is what the search finds without limits.
    least = table["base"][latency] + sum(
        min(choice["deltas"][latency] for choice in unit["choices"]) for unit in table["units"]
    )
    study = tmp_path / "study"
    space.write_text(TEMPLATE.replace(", conv]", "]").replace("nsga2", "grid"))
    assert attune("search", space, "-o", study).returncode == 0
    rows = archive(study)
    assert min(float(row["latency_ms@1"]) for row in rows) == pytest.approx(least, rel=1e-6)
    wrong = attune("search", "costs", space)
    assert wrong.returncode == 2 and "expects one space file" in wrong.stderr
