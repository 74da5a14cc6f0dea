"""`attune cost` and `attune profile`: what they print, and what it adds up to."""

import json
import math
import os
import subprocess
from pathlib import Path

import onnx
import pytest

import attune_cli as cli
from models import vision
from models.builder import Graph
from models.language import Config, encoder
from models.spelling import Dynamo

DIMS = ["--dim=batch=2", "--dim=seq=24"]
# A machine that could exist.
MACHINE = json.loads((Path(__file__).parent / "machines" / "whole.json").read_text())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("cost") / "encoder.onnx"
    onnx.save(encoder(Dynamo, Config(heads=3, kv_heads=3, head_dim=16)).model, path)
    return path


def cost(model, *flags, **options):
    return json.loads(cli.attune("cost", model, "--json", *DIMS, *flags, **options).stdout)


def test_totals_are_those_of_the_kernels(model):
    whole = cost(model, "--threads=1")
    kernels = whole["kernels"]
    for key in ("latency_ms", "energy_mj", "flops", "bytes"):
        assert whole[key] == pytest.approx(sum(k[key] for k in kernels))
    for entry in (whole, *kernels):
        assert entry["energy_mj"] == pytest.approx(sum(entry["energy_split_mj"].values()))
    assert {"name", "nodes", "form", "backend"} <= kernels[0].keys()
    assert any(k["emitter"] == "gemm" for k in kernels)
    assert whole["energy_is"] == "modelled" and whole["calibration"] is None
    # Two layers of projections, feed-forward, and attention's two products.
    rows, width, inner = 48, 48, 128
    products = 2 * (rows * (4 * width**2 + 2 * width * inner) + 2 * rows * 24 * width) * 2
    assert products < whole["flops"] < 1.3 * products


def test_peak_is_weights_plan_and_arguments(model, tmp_path):
    whole = cost(model, "--threads=2")
    stored = sum(onnx.numpy_helper.to_array(w).nbytes for w in onnx.load(model).graph.initializer)
    assert 0.8 * stored < whole["stored_bytes"] < 1.5 * stored
    arguments = 2 * 24 * 8 * 2 + 2 * 24 * 48 * 4
    total = whole["stored_bytes"] + whole["arena_bytes"] + arguments
    assert whole["peak_mb"] == pytest.approx(total / 2**20, rel=1e-3)
    larger = json.loads(cli.attune("cost", model, "--json", "--dim=seq=48", "--dim=batch=2").stdout)
    assert larger["arena_bytes"] > whole["arena_bytes"]
    assert larger["stored_bytes"] == whole["stored_bytes"]


def test_tied_weights_are_stored_once(tmp_path):
    """Each use packs its own; equal ones are one in the file."""

    def stored(layers, tied):
        g = Graph("tied", opset=18)
        y, weights = g.input("x", "f32", [24, 64]), [g.weight(64, 64) for _ in range(layers)]
        for layer in range(layers):
            y = g.op("Tanh", g.op("MatMul", y, weights[0 if tied else layer]))
        g.output(y, "y", shape=[24, 64])
        onnx.save(g.finish(), tmp_path / "tied.onnx")
        return json.loads(cli.attune("cost", tmp_path / "tied.onnx", "--json").stdout)

    one, tied, apart = stored(1, True), stored(3, True), stored(3, False)
    assert one["stored_bytes"] == tied["stored_bytes"] < apart["stored_bytes"] / 2
    assert tied["streamed_bytes"] == apart["streamed_bytes"] and tied["flops"] == apart["flops"]


def test_text_says_what_it_is_based_on(model):
    text = cli.attune("cost", model, *DIMS).stdout
    assert "modelled" in text and "not calibrated" in text and "input_ids 2x24" in text


def test_energy_tables(model, tmp_path):
    usual = cost(model)
    assert usual["energy_table"] == "horowitz45"
    assert cost(model, "--energy-table=shiftaddnas-8")["energy_mj"] < usual["energy_mj"]
    array = cost(model, "--energy-table=eyeriss-rs")["eyeriss_rs"]
    assert array["latency_ms"] > 0
    assert array["assume_onchip_add"] is False and array["shift_word_bits"] == 0
    text = cli.attune("cost", model, *DIMS, "--energy-table=eyeriss-rs").stdout
    assert "assume_onchip_add off, shift_word_bits off" in text
    for flags in (["--energy-table=no-such"], ["--assume-onchip-add"], ["--shape=input_ids=2"]):
        failed = cli.attune("cost", model, *flags, check=False)
        assert failed.returncode == 1 and failed.stderr.startswith("error: ")


def test_requests_are_answered_line_by_line(model):
    requests = [
        {"id": "a", "model": str(model), "dims": {"batch": 2, "seq": 24}, "threads": 1},
        {"model": "no-such.onnx"},
        {"id": 3, "model": str(model), "dim": {"seq": 1}},
        {"id": 4, "model": str(model), "dims": {"seq": "long"}},
        {"id": 5, "model": str(model), "dims": {"seq": -1}},
        {"id": 6, "model": str(model), "threads": 0},
        {"id": 7},
        [],
        {"id": None, "model": str(model)},
    ]
    lines = [json.dumps(r) for r in requests]
    lines[1:1] = ["", "{no json"]
    flags = ["--threads=2", "--dim=batch=3"]
    answers = cli.attune("cost", "--stdin", *flags, input="\n".join(lines)).stdout.splitlines()
    answers = [json.loads(a) for a in answers]
    assert answers[0] == {**cost(model, "--threads=1"), "id": "a"}
    failed = answers[1:-1]
    assert [a.get("id") for a in failed] == [None, None, 3, 4, 5, 6, 7, None]
    assert all(a.keys() <= {"error", "id"} and a["error"] for a in failed)
    assert "no-such.onnx" in failed[1]["error"] and "`dim`" in failed[2]["error"]
    last = answers[-1]
    assert last["id"] is None and last["threads"] == 2 and "3x128" in last["inputs"]
    assert cli.attune("cost", "--stdin", model, check=False, input="").returncode == 2


def test_calibration_uses_the_threads_that_there_are():
    failed = cli.attune("calibrate", "--threads=4000000000", check=False)
    assert failed.returncode == 1 and "this process may use" in failed.stderr


def test_models_are_kept_between_requests(tmp_path):
    """Sizes in turn, more models than are kept, and a file that changes meanwhile."""

    def write(name, width):
        g = Graph("product", opset=18)
        y = g.op("MatMul", g.input("x", "f32", ["n", 64]), g.weight(64, width))
        g.output(y, "y", shape=["n", width])
        onnx.save(g.finish(), tmp_path / name)
        return str(tmp_path / name)

    models = [write(f"{i}.onnx", 32 + 16 * i) for i in range(6)]
    command = [cli.ATTUNE, "cost", "--stdin", "--threads=1"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as server:

        def ask(model, n):
            server.stdin.write(json.dumps({"model": model, "dims": {"n": n}}) + "\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        for n in (1, 200, 1):
            for model in models:
                want = cli.attune("cost", model, "--json", "--threads=1", f"--dim=n={n}").stdout
                assert ask(model, n) == json.loads(want)
        before = ask(models[0], 8)["flops"]
        write("0.onnx", 64)
        assert ask(models[0], 8)["flops"] == 2 * before
        os.remove(models[0])
        assert "0.onnx" in ask(models[0], 8)["error"]
        server.stdin.close()


def machine(tmp_path, monkeypatch, factor=1.0, residuals=None):
    levels = [
        {**level, "bandwidth": [b * factor for b in level["bandwidth"]]}
        for level in MACHINE["levels"]
    ]
    path = tmp_path / f"machine-{factor}.json"
    path.write_text(json.dumps({**MACHINE, "levels": levels, "residuals": residuals or {}}))
    monkeypatch.setenv("ATTUNE_CALIBRATION", str(path))
    return path


def test_a_calibration_is_used_and_named(model, tmp_path, monkeypatch):
    path = machine(tmp_path, monkeypatch)
    whole = cost(model, "--threads=1")
    assert whole["calibration"] == str(path)
    assert str(path) in cli.attune("explain", model).stdout
    machine(tmp_path, monkeypatch, 0.01)
    assert cost(model, "--threads=1")["latency_ms"] > 3 * whole["latency_ms"]
    path.write_text("{}")
    monkeypatch.setenv("ATTUNE_CALIBRATION", str(path))
    failed = cli.attune("cost", model, check=False)
    assert failed.returncode == 1 and "attune calibrate" in failed.stderr


def test_the_speed_of_the_machine_is_checked_against_its_calibration(tmp_path, monkeypatch):
    def check(content, *flags):
        path = tmp_path / "calibration.json"
        path.write_text(json.dumps({**MACHINE, **content}))
        monkeypatch.setenv("ATTUNE_CALIBRATION", str(path))
        return cli.attune("calibrate", "--check", *flags, check=False)

    unknown = check({})
    assert unknown.returncode == 1 and "does not say how fast" in unknown.stderr
    # No machine takes a second for what takes less than a millisecond.
    slow = check({"reference": [{"threads": 1, "seconds": 1.0}]})
    assert slow.returncode == 0 and "1 thread(s)" in slow.stdout
    assert "warning" in slow.stderr and "faster" in slow.stderr
    told = json.loads(check({"reference": [{"threads": 2, "seconds": 1e-9}]}, "--json").stdout)
    assert told["calibration"].endswith("calibration.json")
    (entry,) = told["reference"]
    assert entry["threads"] == 2 and entry["calibrated_ms"] == pytest.approx(1e-6)
    assert entry["ms"] > entry["calibrated_ms"]
    monkeypatch.setenv("ATTUNE_CALIBRATION", "none")
    absent = cli.attune("calibrate", "--check", check=False)
    assert absent.returncode == 1 and "not calibrated" in absent.stderr


def constant(factor):
    """The residual of an emitter whose kernels take `factor` times what their work says."""
    nothing = {"least": [], "most": [], "mean": [], "scale": []}
    return {"order": 0, "weights": [math.log(factor)], "deviation": 0.1, **nothing}


@pytest.mark.parametrize("slow, chosen", [("halide", "conv"), ("conv", "halide")])
def test_measured_kernels_choose_the_code_generator(tmp_path, monkeypatch, slow, chosen):
    g = Graph("depthwise", 20)
    x = g.input("x", "f32", [1, 64, 96, 96])
    g.output(vision.convolution(g, x, 64, 64, 3, groups=64), "y", shape=[1, 64, 96, 96])
    onnx.save(g.finish(), tmp_path / "depthwise.onnx")
    machine(tmp_path, monkeypatch, residuals={slow: constant(20)})
    explained = json.loads(cli.attune("explain", tmp_path / "depthwise.onnx", "--json").stdout)
    kernel = next(k for k in explained["kernels"] if len(k["alternatives"]) == 2)
    assert kernel["emitter"] == chosen
    first, second = (a["latency_ms"] for a in kernel["alternatives"])
    assert second > 5 * first


def test_profile(model, tmp_path):
    trace, page = tmp_path / "trace.json", tmp_path / "page.html"
    flags = [*DIMS, "--runs=3", "--json", f"--trace={trace}", f"--html={page}"]
    profile = json.loads(cli.attune("profile", model, *flags).stdout)
    predicted = cost(model, "--threads=1")
    assert profile["predicted_ms"] == pytest.approx(predicted["latency_ms"])
    assert [k["flops"] for k in profile["kernels"]] == [k["flops"] for k in predicted["kernels"]]
    assert all(k["measured_ms"] > 0 for k in profile["kernels"])
    events = json.loads(trace.read_text())["traceEvents"]
    assert len(events) == len(profile["kernels"])
    html = page.read_text()
    assert html.count("<tr>") == len(events) + 1 and "<script" not in html
