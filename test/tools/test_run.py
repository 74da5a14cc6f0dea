"""`attune run`: tensors from and to files as NumPy and ONNX have them, and one message per mistake."""

import functools
import os
import shutil
import subprocess

import attune_cli
import numpy as np
import onnx
import pytest

# y = x + b; both [n, 4]
MODEL = """
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func @main(%x: tensor<?x4xf32> {attune.name = "x", attune.dims = ["n", ""]},
                %b: tensor<?x4xf32> {attune.name = "b", attune.dims = ["n", ""]})
    -> (tensor<?x4xf32> {attune.name = "y", attune.dims = ["n", ""]}) {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %y = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %b : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %s = arith.addf %p, %q : f32
    linalg.yield %s : f32
  } -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}
"""


attune = functools.partial(attune_cli.attune, check=False)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    (folder / "add.mlir").write_text(MODEL)
    result = attune("compile", folder / "add.mlir", "-o", folder / "add.so")
    assert result.returncode == 0, result.stderr
    return folder / "add.so"


@pytest.fixture
def inputs(tmp_path):
    """A folder with x as .pb and b as .npy, in the names of the ONNX test format."""
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    b = np.float32(0.5) * x - 1
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "input_0.pb").write_bytes(
        onnx.numpy_helper.from_array(x, "x").SerializeToString()
    )
    np.save(tmp_path / "in" / "input_1.npy", b)
    return tmp_path / "in"


def check_outputs(folder):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    expected = x + (np.float32(0.5) * x - 1)
    np.testing.assert_array_equal(np.load(folder / "output_0.npy"), expected)
    proto = onnx.load_tensor(folder / "output_0.pb")
    assert proto.name == "y"
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(proto), expected)


@pytest.mark.parametrize("threads", [[], ["--threads", "1"], ["--threads=2"]])
def test_folder(artifact, inputs, tmp_path, threads):
    result = attune(
        "run", artifact, "--inputs", inputs, "--outputs", tmp_path / "new" / "out", *threads
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "y: f32 [3, 4]\n", "")
    check_outputs(tmp_path / "new" / "out")


def test_files_by_name(artifact, inputs, tmp_path):
    result = attune("run", artifact, f"--inputs=b={inputs}/input_1.npy", f"--inputs=x={inputs}/input_0.pb",
                    f"--outputs={tmp_path}/out")  # fmt: skip
    assert result.returncode == 0, result.stderr
    check_outputs(tmp_path / "out")


def test_names_in_a_folder(artifact, inputs, tmp_path):
    (inputs / "input_0.pb").rename(inputs / "x.pb")
    (inputs / "input_1.npy").rename(inputs / "b.npy")
    assert (
        attune("run", artifact, "--inputs", inputs, "--outputs", tmp_path / "out").returncode == 0
    )
    check_outputs(tmp_path / "out")


def test_a_model_is_compiled_first(artifact, inputs, tmp_path):
    result = attune(
        "run", artifact.with_suffix(".mlir"), "--inputs", inputs, "--outputs", tmp_path / "out"
    )
    assert result.returncode == 0, result.stderr
    check_outputs(tmp_path / "out")


def mistakes(inputs, tmp_path):
    other = inputs.parent / "other"
    other.mkdir()
    np.save(other / "f64.npy", np.zeros((3, 4)))
    np.save(other / "shape.npy", np.zeros((3, 5), np.float32))
    np.save(other / "rows.npy", np.zeros((2, 4), np.float32))
    np.save(other / "fortran.npy", np.asfortranarray(np.zeros((3, 4), np.float32)))
    (other / "text.npy").write_text("hello")
    given = [f"--inputs={inputs}"]
    many = inputs.parent / "many"
    shutil.copytree(inputs, many)
    np.save(many / "input_2.npy", np.zeros(1))
    return {
        "too many": ([f"--inputs={many}"], f"`{many}` has files for 3 inputs or more (input_2.npy), the model takes 2"),
        "no inputs": ([], "input `x` is missing: give --inputs DIR or --inputs x=FILE"),
        "no such name": (given + [f"--inputs=z={other}/f64.npy"], "there is no input `z`, accepted are `x`, `b`"),
        "no folder": (["--inputs=nowhere"], "`nowhere` is neither a folder nor NAME=FILE"),
        "no file": (given + ["--inputs=x=nowhere.npy"], "cannot read `nowhere.npy`: No such file or directory"),
        "other folder": ([f"--inputs={other}"], f"no file for input `x` in `{other}`: expected input_0.pb, "
                         "input_0.npy, x.pb or x.npy"),
        "dtype": (given + [f"--inputs=b={other}/f64.npy"], "input `b`: found f64, accepted is f32"),
        "shape": (given + [f"--inputs=b={other}/shape.npy"], "input `b`: axis 1 has extent 5, accepted is 4"),
        "symbol": (given + [f"--inputs=b={other}/rows.npy"],
                   "input `b`: axis 0 (`n`) has extent 2, but input `x` has 3 on axis 0"),
        "fortran": (given + [f"--inputs=b={other}/fortran.npy"], f"cannot read `{other}/fortran.npy`: unsupported: "
                    "Fortran order; numpy.ascontiguousarray gives the C order that is accepted"),
        "text": (given + [f"--inputs=b={other}/text.npy"],
                 f"cannot read `{other}/text.npy`: it is not a complete .npy file"),
        "output below a file": (given + [f"--outputs={other}/text.npy/out"],
                                f"cannot create `{other}/text.npy/out`: Not a directory"),
        "output is a file": (given + [f"--outputs={other}/text.npy"],
                             f"cannot write `{other}/text.npy/output_0.pb`: Not a directory"),
    }  # fmt: skip


CASES = ["too many", "no inputs", "no such name", "no folder", "no file", "other folder", "dtype", "shape", "symbol",
         "fortran", "text", "output below a file", "output is a file"]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_mistake(artifact, inputs, tmp_path, case):
    args, message = mistakes(inputs, tmp_path)[case]
    result = attune("run", artifact, *args)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: " + message), result.stderr
    assert result.stderr.count("\n") == 1


def test_every_mistake_is_tested(inputs, tmp_path):
    assert sorted(mistakes(inputs, tmp_path)) == sorted(CASES)


def test_damaged_artifact(artifact, inputs, tmp_path):
    damaged = tmp_path / "damaged.so"
    damaged.write_bytes(artifact.read_bytes()[:-1])
    result = attune("run", damaged, "--inputs", inputs)
    assert result.returncode == 1
    assert "is damaged" in result.stderr


@pytest.mark.skipif(
    not shutil.which("mount") or os.geteuid() != 0, reason="needs to mount a small disk"
)
def test_full_disk(artifact, inputs, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "none", disk], capture_output=True
    ).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (disk / "filler").write_bytes(b"x" * 4096)
        result = attune("run", artifact, "--inputs", inputs, "--outputs", disk)
        assert result.returncode == 1
        assert "No space left on device" in result.stderr
        assert [file.name for file in disk.iterdir()] == ["filler"]
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    "args", [[], ["a.so", "b.so"], ["a.so", "--threads", "0"], ["a.so", "--unknown"]]
)
def test_usage(args):
    assert attune("run", *args).returncode == 2
