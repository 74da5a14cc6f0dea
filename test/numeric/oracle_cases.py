"""What a numeric case of one op is, and tensors as MLIR types and as random arrays."""

import dataclasses
from collections.abc import Callable

from oracle_run import DTYPES


@dataclasses.dataclass
class Tensor:
    shape: tuple
    element: str
    type: str

    @property
    def dtype(self):
        return DTYPES[self.element]

    def draw(self, rng):
        if self.element.startswith("i"):
            return rng.integers(-5, 6, self.shape).astype(self.dtype)
        return rng.standard_normal(self.shape).astype(self.dtype)


@dataclasses.dataclass
class Map:
    """A scalar map: the body of its region in MLIR (from %x to %y, of type {t}) and in numpy."""

    body: str
    value: Callable

    def text(self, word, element):
        body = self.body.format(t=element)
        return f" {word} {{\n    ^bb0(%x: {element}):\n      {body}\n      attune.yield %y : {element}\n  }}"


# Attributes that print as #attune.name<value>, and the names of their types.
ENUMS = {"norm": "weighting", "den": "denominator"} | {
    word: word for word in ("direction", "empty_row", "eps_mode", "form", "update", "weighting")
}


def attribute_text(attributes):
    def literal(key, value):
        if key in ENUMS:
            return f"#attune.{ENUMS[key]}<{value}>"
        return f"{value:.9e}" if isinstance(value, float) else str(value).lower()

    words = [f"{key} = {literal(key, value)}" for key, value in attributes.items()]
    return f" {{{', '.join(words)}}}" if words else ""


def operand_text(word, tensors):
    """`word(%name, ... : types)`; a type may be given as text."""
    types = ", ".join(t if isinstance(t, str) else t.type for t in tensors.values())
    return f"{word}({', '.join('%' + key for key in tensors)} : {types})"


def tensor(shape, element="f32", dynamic=False, keep_last=False):
    """`dynamic` hides every extent from the compiler, `keep_last` all but the last."""
    extents = ["?" if dynamic else str(extent) for extent in shape]
    if keep_last:
        extents[-1] = str(shape[-1])
    return Tensor(
        tuple(shape), element, "tensor<" + "".join(f"{e}x" for e in extents) + f"{element}>"
    )


@dataclasses.dataclass
class Case:
    """`op` uses `arguments` by name; `inputs(rng)` gives their values, `expected` the results."""

    name: str
    op: str
    arguments: dict
    results: list
    inputs: Callable
    expected: Callable

    def function(self):
        types = [t if isinstance(t, str) else t.type for t in self.arguments.values()]
        arguments = ", ".join(f"%{name}: {t}" for name, t in zip(self.arguments, types))
        results = ", ".join(t.type for t in self.results)
        values = ", ".join(f"%r#{number}" for number in range(len(self.results)))
        left = f"%r:{len(self.results)}"
        return (
            f"func.func @{self.name}({arguments}) -> ({results}) attributes {{llvm.emit_c_interface}} {{\n"
            f"  {left} = {self.op}\n  return {values} : {results}\n}}\n"
        )
