"""What goes wrong when a model runs: one message each, exit 1, nothing left behind."""

import os
import resource
import signal
import struct
import subprocess

import numpy as np
import onnx
import pytest

import attune_cli as cli
from attune_ctypes import Session
from models.builder import Graph


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """y[batch, 3] = x[batch, 4] * weights + bias of the indexed row."""
    g = Graph("tiny", 20)
    x = g.input("x", "f32", ["batch", 4])
    row = g.input("row", "i64", [1])
    y = g.op("MatMul", x, g.weight(4, 3))
    g.output(g.op("Add", y, g.op("Gather", g.weight(5, 3, name="table"), row)), "y")
    folder = tmp_path_factory.mktemp("tiny")
    onnx.save(g.finish(), folder / "tiny.onnx")
    return cli.compile(folder / "tiny.onnx", folder / "tiny.so")


def feeds(**changes):
    values = {"x": np.ones((2, 4), np.float32), "row": np.array([1])}
    values.update(changes)
    return {k: v for k, v in values.items() if v is not None}


def refused(*arguments, words=(), code=1, **options):
    """One line that names what was found; no stack trace, no crash."""
    result = cli.attune(*arguments, check=False, **options)
    assert result.returncode == code, (result.returncode, result.stderr)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    for word in words:
        assert word in lines[0], f"`{word}` is not in: {lines[0]}"
    return lines[0]


def run_refused(artifact, tmp_path, values, words):
    arguments = []
    for name, value in values.items():
        np.save(tmp_path / f"{name}.npy", value)
        arguments += ["--inputs", f"{name}={tmp_path / name}.npy"]
    out = tmp_path / "out"
    refused("run", artifact, *arguments, "--outputs", out, words=words)
    assert not out.exists() or not list(out.iterdir())


WRONG = {
    "name": (feeds(z=np.ones(3, np.float32)), ["`z`", "`x`"]),
    "missing": (feeds(row=None), ["row"]),
    "dtype": (feeds(x=np.ones((2, 4))), ["`x`", "f64", "f32"]),
    "rank": (feeds(x=np.ones(4, np.float32)), ["`x`", "rank 1", "rank 2"]),
    "size": (feeds(x=np.ones((2, 5), np.float32)), ["`x`", "5", "4"]),
    "index": (feeds(row=np.array([5])), ["Gather"]),
    "index-below": (feeds(row=np.array([-6])), ["Gather"]),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_input(what, artifact, tmp_path):
    values, words = WRONG[what]
    run_refused(artifact, tmp_path, values, words)


def test_wrong_number_of_inputs(artifact, tmp_path):
    folder = cli.write_inputs(tmp_path / "in", feeds())
    np.save(folder / "input_2.npy", np.ones(3))
    refused("run", artifact, "--inputs", folder, words=["3", "2"])


def test_nan_propagates(artifact):
    x = np.ones((2, 4), np.float32)
    x[1, 2] = np.nan
    y = Session(artifact).run(feeds(x=x))["y"]
    assert np.isnan(y[1]).all() and not np.isnan(y[0]).any()


def test_negative_index_counts_from_the_end(artifact):
    session = Session(artifact)
    last, same = (session.run(feeds(row=np.array([i])))["y"] for i in (-1, 4))
    assert (last == same).all()


def test_empty_batch(artifact):
    y = Session(artifact).run(feeds(x=np.ones((0, 4), np.float32)))["y"]
    assert y.shape == (0, 3)


@pytest.mark.parametrize("content", [b"", b"NUMPY", b"\x93NUMPY\x01\x00\xff\xff{'descr"])
def test_damaged_input_file(content, artifact, tmp_path):
    (tmp_path / "x.npy").write_bytes(content)
    refused("run", artifact, "--inputs", f"x={tmp_path}/x.npy", words=["x.npy"])


def test_missing_input_file(artifact, tmp_path):
    refused("run", artifact, "--inputs", f"x={tmp_path}/none.npy", words=["none.npy"])
    refused("run", artifact, "--inputs", tmp_path / "nowhere", words=["nowhere"])


# The note (docs/artifact.md): name "Attune", then magic, format, abi, reserved, cpu_features.
NOTE = {"format": (4, "<I", 99), "abi": (8, "<I", 99), "cpu": (16, "<Q", 1 << 12)}
NOTE_WORDS = {"format": ["format 99"], "abi": ["ABI 99"], "cpu": ["amx-tile", "--cpu"]}


@pytest.mark.parametrize("field", NOTE)
def test_artifact_for_another_machine(field, artifact, tmp_path):
    data = bytearray(artifact.read_bytes())
    offset, code, value = NOTE[field]
    struct.pack_into(code, data, data.index(b"Attune\0\0") + 8 + offset, value)
    (tmp_path / "other.so").write_bytes(data)
    refused("run", tmp_path / "other.so", "--inputs", tmp_path, words=NOTE_WORDS[field])


def test_damaged_artifact(artifact, tmp_path):
    data = artifact.read_bytes()
    file = tmp_path / "cut.so"
    for content in (data[: len(data) // 2], data[:-1], data + b"x", data[:100], b"", b"text"):
        file.write_bytes(content)
        refused("run", file, "--inputs", tmp_path, words=["cut.so"])
    file.write_bytes(data.replace(b'"format":', b'"formaT":'))
    refused("run", file, "--inputs", tmp_path, words=["metadata"])
    refused("run", tmp_path, "--inputs", tmp_path)
    refused("run", "/usr/lib/x86_64-linux-gnu/libz.so.1", "--inputs", tmp_path, words=["Attune"])


def inputs_of(tmp_path):
    return cli.write_inputs(tmp_path / "in", feeds())


def test_output_folder_cannot_be_made(artifact, tmp_path):
    (tmp_path / "file").write_text("")
    folder = inputs_of(tmp_path)
    refused(
        "run", artifact, "--inputs", folder, "--outputs", tmp_path / "file" / "out", words=["out"]
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_output_folder(artifact, tmp_path):
    folder, out = inputs_of(tmp_path), tmp_path / "out"
    out.mkdir(mode=0o500)
    refused("run", artifact, "--inputs", folder, "--outputs", out, words=["out"])
    refused("compile", artifact.with_suffix(".onnx"), "-o", out / "m.so", words=["m.so"])


def small_files():
    """Writing past 64 bytes fails, as it does on a full disk (with another error number)."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))


def test_disk_full(artifact, tmp_path):
    folder, out = inputs_of(tmp_path), tmp_path / "out"
    arguments = ["run", artifact, "--inputs", folder, "--outputs", out]
    refused(*arguments, words=["output_0"], preexec_fn=small_files)
    assert not out.exists() or not list(out.iterdir())
    arguments = ["compile", artifact.with_suffix(".onnx"), "-o", tmp_path / "m.so"]
    refused(*arguments, words=["cannot write"], preexec_fn=small_files)
    assert [f.name for f in tmp_path.iterdir() if f.is_file()] == []


PRINTING = {
    "help": ["--help"],
    "version": ["--version"],
    "compile": ["compile", "MODEL", "--stop-after=import"],
    "artifact": ["compile", "MODEL", "-o", "-"],
    "cost": ["cost", "MODEL", "--dim=batch=2"],
    "explain": ["explain", "MODEL"],
    "inspect": ["inspect", "ARTIFACT"],
}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("what", PRINTING)
def test_full_standard_output(what, artifact):
    names = {"MODEL": str(artifact.with_suffix(".onnx")), "ARTIFACT": str(artifact)}
    command = [cli.ATTUNE, *(names.get(word, word) for word in PRINTING[what])]
    with open("/dev/full", "w") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("error: cannot write standard output: "), result.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("kind", ["so", "obj", "asm", "mlir"])
def test_full_device(kind, artifact):
    arguments = ["compile", artifact.with_suffix(".onnx"), f"--emit={kind}", "-o", "/dev/full"]
    refused(*arguments, words=["cannot write `/dev/full`"])


STUDY = """
attune-space: 1
vars:
  - {name: size, kind: int, values: [1, 2, 4], repeat: 3}
objectives:
  - {metric: score, goal: max}
strategy: {name: random}
budget: {evals: 10}
evaluator: {name: synthetic}
"""


def test_disk_full_under_a_report(tmp_path):
    space, study = tmp_path / "space.yaml", tmp_path / "study"
    space.write_text(STUDY)
    cli.attune("search", space, "-o", study)
    for command, file in (
        (["report", study, "--html"], "report.html"),
        (["export", study], "study.csv"),
    ):
        refused("search", *command, words=["cannot write", file], preexec_fn=small_files)
    table = ["search", "table", space, "--synthetic", "-o", tmp_path / "table.jsonl"]
    refused(*table, words=["cannot write", "table.jsonl"], preexec_fn=small_files)
    assert [f.name for f in study.iterdir()] == ["study.jsonl"]
    assert [f.name for f in tmp_path.iterdir() if f.is_file()] == ["space.yaml"]


@pytest.mark.parametrize("command", ["compile", "run", "check", "bench", "explain"])
def test_usage(command):
    """Wrong use of a tool is exit 2 and names the flag."""
    result = cli.attune(command, "--no-such-flag", check=False)
    assert result.returncode == 2 and "--no-such-flag" in result.stderr


@pytest.mark.parametrize("flag", ["--precision=int8"])
def test_not_implemented_yet(flag, artifact, tmp_path):
    arguments = ["compile", artifact.with_suffix(".onnx"), "-o", tmp_path / "m.so", flag]
    result = cli.attune(*arguments, check=False)
    assert result.returncode == 2 and "not implemented yet" in result.stderr


def test_broken_pipe(artifact):
    """A reader that goes away is no crash."""
    command = f"{cli.ATTUNE} explain {artifact.with_suffix('.onnx')} | true"
    subprocess.run(["bash", "-c", command], check=True)
