"""`attune compile --tune`: what was measured is kept, and decides from then on."""

import json
import re

import numpy as np
import onnx
import pytest

import attune_cli as cli
from attune_ctypes import Session
from models.builder import Graph
from zoo.zoo import ROOT

MODEL = ROOT / "linear/bidirectional-dynamo" / "model.onnx"
SHAPE = "--shape=x=1x80x8"
THREAD = "--threads=1"


@pytest.fixture
def tuning(tmp_path, monkeypatch):
    path = tmp_path / "tuning.json"
    monkeypatch.setenv("ATTUNE_TUNING", str(path))
    return path


def tune(output, *flags, model=MODEL, **options):
    return cli.attune("compile", model, "-o", output, "--tune", THREAD, *flags, **options)


def decisions(*flags, model=MODEL):
    return json.loads(cli.attune("explain", model, "--json", *flags).stdout)


def form_entry(path):
    document = json.loads(path.read_text())
    [(key, entry)] = [e for e in document["by_threads"]["1"].items() if e[0].startswith("form:")]
    return document, key, entry


def test_measured_forms_are_kept_and_taken(tuning, tmp_path):
    first = tune(tmp_path / "first.so", SHAPE)
    assert "2 decisions measured" in first.stdout  # and whether its projections are one
    document, key, entry = form_entry(tuning)
    assert entry["seconds"].keys() == {"linear", "quadratic"}
    assert entry["chosen"] == min(entry["seconds"], key=entry["seconds"].get)
    assert "0 decisions measured" in tune(tmp_path / "second.so", SHAPE).stdout

    outputs = {}
    x = {"x": np.random.default_rng(0).standard_normal((1, 80, 8)).astype(np.float32)}
    for form in entry["seconds"]:
        document["by_threads"]["1"][key]["chosen"] = form
        tuning.write_text(json.dumps(document))
        explained = decisions(SHAPE, THREAD)
        [made] = [d for d in explained["decisions"] if d["kind"] == "form"]
        assert made["chosen"] == form and made["by"] == "measurement"
        assert explained["tuning"] == str(tuning)
        took = {a["name"]: a["latency_ms"] / 1e3 for a in made["alternatives"]}
        assert took == pytest.approx(entry["seconds"])
        artifact = cli.compile(MODEL, tmp_path / f"{form}.so", SHAPE, THREAD)
        outputs[form] = Session(artifact).run(x)["y"]
    assert outputs["linear"].tobytes() != outputs["quadratic"].tobytes()
    assert cli.worst(outputs["linear"], outputs["quadratic"], relative=True) <= 1e-5

    # Other threads, other sizes and a flag are decided otherwise.
    for flags in (["--threads=2", SHAPE], [THREAD, "--shape=x=1x81x8"]):
        assert all(d["by"] == "price" for d in decisions(*flags)["decisions"])
    given = decisions(SHAPE, THREAD, "--form=linear")["decisions"]
    assert [d["kind"] for d in given] == ["projections"]


def test_free_sizes_stay_with_prices(tuning, tmp_path):
    assert "0 decisions measured" in tune(tmp_path / "free.so").stdout
    assert json.loads(tuning.read_text())["by_threads"] == {}


def test_merged_projections_are_measured(tuning, tmp_path):
    """Queries, keys and values of one tensor, with an output product of their own size behind."""
    g = Graph("projections", 20)
    rng = np.random.default_rng(1)
    x = g.input("x", "f32", ["rows", 48])
    q, k, v = (g.op("MatMul", x, g.weight(48, 48)) for _ in range(3))
    scores = g.op("Softmax", g.op("MatMul", q, g.op("Transpose", k, perm=[1, 0])), axis=-1)
    g.output(g.op("MatMul", g.op("MatMul", scores, v), g.weight(48, 48)), "y", shape=["rows", 48])
    model = tmp_path / "projections.onnx"
    onnx.save(g.finish(), model)

    rows = "--shape=x=24x48"
    tune(tmp_path / "tuned.so", rows, model=model)
    document = json.loads(tuning.read_text())
    entries = document["by_threads"]["1"]
    [(key, entry)] = [e for e in entries.items() if e[0].startswith("projections:")]
    assert entry["seconds"].keys() == {"together", "apart"}
    # The product behind is equal to one of those apart, which must not make them free.
    assert all(seconds > 0 for seconds in entry["seconds"].values())
    assert entry["chosen"] == min(entry["seconds"], key=entry["seconds"].get)

    outputs, calls = {}, {}
    value = {"x": rng.standard_normal((24, 48)).astype(np.float32)}
    for chosen in entry["seconds"]:
        document["by_threads"]["1"] = {key: {**entry, "chosen": chosen}}
        tuning.write_text(json.dumps(document))
        explained = decisions(rows, THREAD, model=model)["decisions"]
        [made] = [d for d in explained if d["kind"] == "projections"]
        assert (made["chosen"], made["by"]) == (chosen, "measurement")
        artifact = tmp_path / f"{chosen}.so"
        made = cli.attune("compile", model, "-o", artifact, rows, THREAD).stdout
        calls[chosen] = int(re.search(r"(\d+) kernel calls", made)[1])
        outputs[chosen] = Session(artifact).run(value)["y"]
    assert calls["apart"] == calls["together"] + 2
    assert cli.worst(outputs["together"], outputs["apart"], relative=True) <= 1e-5
    free = decisions(THREAD, model=model)["decisions"]
    assert [d["by"] for d in free if d["kind"] == "projections"] == ["price"]


def test_code_generators_are_measured(tuning, tmp_path):
    g = Graph("pool", 20)
    x = g.input("x", "f32", [1, 64, 64, 64])
    pooled = g.op("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4)
    g.output(pooled, "y", shape=[1, 64, 64, 64])
    onnx.save(g.finish(), tmp_path / "pool.onnx")
    if "0 decisions" in tune(tmp_path / "pool.so", model=tmp_path / "pool.onnx").stdout:
        pytest.skip("built without Halide")
    entries = json.loads(tuning.read_text())["by_threads"]["1"]
    [entry] = [e for key, e in entries.items() if key.startswith("emitter:")]
    assert entry["seconds"].keys() == {"conv", "halide"}
    kernel = json.loads(cli.attune("inspect", tmp_path / "pool.so", "--json").stdout)["kernels"][0]
    assert kernel["emitter"] == entry["chosen"]


def test_what_cannot_be_tuned_is_refused(tuning, tmp_path, monkeypatch):
    def refused(*flags, code=1):
        failed = tune(tmp_path / "m.so", *flags, check=False)
        assert failed.returncode == code, failed.stderr
        return failed.stderr

    assert "measures kernels on this machine" in refused("--cpu=x86-64-v2")
    assert "not on `opencl`" in refused("--target=opencl")
    assert "at least 2" in refused("--tune=1", code=2)
    for text in ("{", "{}", '{"format": 2, "cpu": "", "vector_bits": 1, "version": ""}'):
        tuning.write_text(text)
        assert str(tuning) in refused() and "is no tuning" in refused()
        plain = cli.attune("explain", MODEL, check=False)
        assert plain.returncode == 1 and "is no tuning" in plain.stderr
    other = {"format": 1, "cpu": "other", "vector_bits": 64, "version": "0", "by_threads": {}}
    tuning.write_text(json.dumps(other))
    assert "is for other" in refused()
    monkeypatch.setenv("ATTUNE_TUNING", "none")
    assert "nowhere to keep" in refused()
    monkeypatch.setenv("ATTUNE_TUNING", str(tmp_path / "missing.json"))
    failed = cli.attune("explain", MODEL, check=False)
    assert failed.returncode == 1 and "cannot read the tuning" in failed.stderr
