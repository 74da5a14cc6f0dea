"""Contractions with weights that are powers of two: from packed codes as from floats, to the bit.

One model of all cases is compiled as it is, where products so small keep floats, and after
`--attune-shift-weights` without prices, which packs all weights. Integers have numpy's values.
"""

import dataclasses
import subprocess

import numpy as np
import pytest

import attune_cli as cli
from attune_ctypes import BUILD, Session

ROWS = (0, 1, 2, 3, 4, 5, 14, 31)
MATMUL = ("(m, n, k) -> (m, k)", "(m, n, k) -> (n, k)", "(m, n, k) -> (m, n)")


@dataclasses.dataclass
class Case:
    """x [m, k] times codes [n, k], or with a stride x [m, c, l] and codes [n, c, t]."""

    name: str
    shape: tuple
    magnitudes: int  # 7: codes of 4 bits, 15: of 5, more: of 8
    bias: int = 9
    rounding: str | None = None  # None: of f32
    total: str = "i32"
    stride: int = 0
    positions: int = 0

    def draw(self, rng):
        self.codes = rng.integers(-self.magnitudes, self.magnitudes + 1, self.shape).astype(np.int8)
        # The width of the codes follows from the largest one.
        self.codes.flat[-1] = self.magnitudes

    def x_shape(self):
        if not self.stride:
            return self.shape[1:]
        return self.shape[1], (self.positions - 1) * self.stride + self.shape[2]

    def inputs(self, rng, rows):
        shape = (rows, *self.x_shape())
        if self.rounding:
            return rng.integers(-(2**31), 2**31, shape).astype(np.int32)
        return rng.standard_normal(shape).astype(np.float32)

    def expected(self, x):
        if not self.stride:
            return self.product(x, self.codes)
        windows = np.lib.stride_tricks.sliding_window_view(x, self.shape[2], 2)[
            :, :, :: self.stride
        ]
        depth = self.shape[1] * self.shape[2]
        patches = windows.swapaxes(1, 2).reshape(len(x) * self.positions, depth)
        sums = self.product(patches, self.codes.reshape(len(self.codes), depth))
        return sums.reshape(len(x), self.positions, len(self.codes)).swapaxes(1, 2)

    def product(self, x, codes):
        sign, power = np.sign(codes.astype(np.int64)), np.abs(codes.astype(np.int64)) - self.bias
        if not self.rounding:
            return x.astype(np.float64) @ (sign * np.exp2(power)).T
        bits = x.view(np.uint32) if self.rounding == "unsigned_terms" else x
        wide, right = bits.astype(np.int64)[:, None], np.clip(-power, 0, 63)
        if self.rounding == "truncate_terms":
            terms = np.sign(wide) * (np.abs(wide) >> right)
        else:
            terms = wide >> right
        terms = ((terms << np.clip(power, 0, 31)) * sign).astype(np.int32)
        return terms.sum(-1, dtype=np.int64).astype(np.int64 if self.total == "i64" else np.int32)

    def text(self):
        """Argument, result, returned value and its type, body."""
        kind, total = ("i32", self.total) if self.rounding else ("f32", "f32")
        y_shape = (self.shape[0], self.positions) if self.stride else self.shape[:1]

        def tensor(shape, element):
            return f"tensor<{'x'.join(map(str, shape))}x{element}>"

        def port(shape, name):
            dims = ", ".join(["", *['""' for _ in shape]])
            return f'{{attune.name = "{name}", attune.dims = ["{self.name}_m"{dims}]}}'

        maps = MATMUL if not self.stride else (
            f"(b, o, p, c, t) -> (b, c, p * {self.stride} + t)", "(b, o, p, c, t) -> (o, c, t)",
            "(b, o, p, c, t) -> (b, o, p)")  # fmt: skip
        x, y = tensor(("?", *self.x_shape()), kind), tensor(("?", *y_shape), total)
        w, n = tensor(self.shape, "i8"), f"%{self.name}"
        words = [f"kind = #attune.contract_kind<shift>, exponent_bias = {self.bias} : i64",
                 f"indexing_maps = [{', '.join(f'affine_map<{m}>' for m in maps)}]"]  # fmt: skip
        if self.rounding:
            words.append(f"rounding = #attune.contract_rounding<{self.rounding}>")
        body = f"""
  {n}_w = arith.constant dense<"0x{self.codes.tobytes().hex()}"> : {w}
  {n}_c = arith.constant 0 : index
  {n}_m = tensor.dim {n}, {n}_c : {x}
  {n}_0 = arith.constant {"0" if self.rounding else "0.0"} : {total}
  {n}_e = tensor.empty({n}_m) : {y}
  {n}_f = linalg.fill ins({n}_0 : {total}) outs({n}_e : {y}) -> {y}
  {n}_y = attune.contract ins({n}, {n}_w : {x}, {w}) outs({n}_f : {y}) {{{", ".join(words)}}}"""
        argument = f"{n}: {x} {port(self.x_shape(), self.name + '_x')}"
        return argument, f"{y} {port(y_shape, self.name + '_y')}", f"{n}_y", y, body


# Tiles, one more or less, ends within words, several passes over the depth.
FLOATS = [((1, 1), 7), ((15, 7), 7), ((16, 8), 7), ((17, 37), 7), ((33, 131), 7), ((64, 850), 7),
          ((31, 6), 15), ((16, 61), 15), ((47, 850), 15), ((20, 3), 40), ((33, 61), 40)]  # fmt: skip
INTEGERS = [
    ((1, 1), 7, 7, "floor_terms"), ((63, 9), 7, 7, "floor_terms"), ((65, 37), 15, 15, "floor_terms"),
    ((130, 500), 15, 15, "floor_terms"), ((33, 21), 15, 40, "floor_terms"),
    ((17, 33), 7, 3, "floor_terms"), ((17, 33), 7, 5, "truncate_terms"),
    ((40, 31), 15, 11, "truncate_terms"), ((16, 64), 15, 36, "truncate_terms"),
    ((50, 19), 7, 7, "unsigned_terms"),
    ((65, 331), 16, 16, "floor_terms"),
    ((9, 33), 31, 25, "truncate_terms"), ((64, 64), 15, 8, "unsigned_terms"),
    ((15, 12), 40, 44, "floor_terms"), ((70, 29), 7, 7, "floor_terms", "i64"),
    ((33, 500), 15, 15, "truncate_terms", "i64"), ((7, 3, 3), 7, 7, "floor_terms", "i32", 2, 20),
    ((16, 2, 5), 15, 12, "truncate_terms", "i32", 1, 33),
]  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    rng = np.random.default_rng(cli.seed())
    folder = tmp_path_factory.mktemp("shifts")
    cases = [Case(f"f{number}", *values) for number, values in enumerate(FLOATS)]
    cases += [Case(f"i{number}", *values) for number, values in enumerate(INTEGERS)]
    for case in cases:
        case.draw(rng)
    arguments, results, values, types, bodies = zip(*(case.text() for case in cases), strict=True)
    (folder / "floats.mlir").write_text(
        f"func.func @main({', '.join(arguments)}) -> ({', '.join(results)}) {{{''.join(bodies)}\n"
        f"  return {', '.join(values)} : {', '.join(types)}\n}}\n"
    )
    packed = subprocess.run(
        [BUILD / "bin" / "attune-opt", folder / "floats.mlir", "--attune-shift-weights"],
        check=True, capture_output=True, text=True).stdout  # fmt: skip
    assert packed.count("attune.unpack_codes") == len(cases)
    (folder / "codes.mlir").write_text(packed)
    libraries = {
        (kind, cpu): cli.compile(
            folder / f"{kind}.mlir", folder / f"{kind}-{cpu}.so", f"--cpu={cpu}"
        )
        for kind, cpu in (("floats", "host"), ("codes", "host"), ("codes", "x86-64-v3"))
    }
    return libraries, cases, rng


@pytest.mark.parametrize("rows", ROWS)
def test_codes(built, rows):
    libraries, cases, rng = built
    feeds = {f"{case.name}_x": case.inputs(rng, rows) for case in cases}
    floats = Session(libraries["floats", "host"], 1).run(feeds)
    for place, library in libraries.items():
        one, two = (Session(library, threads).run(feeds) for threads in (1, 2))
        for case in cases:
            x, key = feeds[f"{case.name}_x"], f"{case.name}_y"
            got, want = one[key], case.expected(x)
            assert got.tobytes() == two[key].tobytes(), (case, place)
            if place[1] == "host":
                assert got.tobytes() == floats[key].tobytes(), (case, place)
            if case.rounding:
                assert np.array_equal(got, want), (case, place)
            else:
                size = (
                    np.abs(x).astype(np.float64)
                    @ np.exp2(np.abs(case.codes.astype(int)) - case.bias).T
                )
                assert np.all(np.abs(got - want) <= 1e-6 * (1 + size)), (case, place)
