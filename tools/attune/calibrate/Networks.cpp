#include "attune/tools/attune/calibrate/Builders.h"

namespace attune::tools {

std::vector<Network> calibrationNetworks() {
  return {
      transformer("block 256", {.width = 256, .heads = 4, .inner = 1024, .layers = 3}),
      transformer("causal block 128", {.width = 128,
                                       .heads = 4,
                                       .inner = 512,
                                       .layers = 4,
                                       .causal = true,
                                       .normFirst = true,
                                       .activation = "Relu"}),
      convolutions("convolutions 64", 64, 28),
      transformer("words 160",
                  {.width = 160, .heads = 5, .inner = 480, .layers = 3, .tokens = true}),
      images("images 24", 24),
      transformer("gated block 512", {.width = 512,
                                      .heads = 8,
                                      .inner = 1024,
                                      .layers = 2,
                                      .keyHeads = 2,
                                      .causal = true,
                                      .normFirst = true,
                                      .rms = true,
                                      .gated = true,
                                      .activation = "Silu"}),
      transformer("linear block 256",
                  {.width = 256, .heads = 8, .inner = 512, .layers = 2, .attention = "relu"}),
      rows("rows 512", 512),
      pieces("pieces 6x40", 6, 40),
      transformer("rotary block 192", {.width = 192,
                                       .heads = 6,
                                       .inner = 512,
                                       .layers = 3,
                                       .keyHeads = 2,
                                       .causal = true,
                                       .normFirst = true,
                                       .rms = true,
                                       .gated = true,
                                       .rotary = true,
                                       .activation = "Silu"}),
      transformer("cached block 512", {.width = 512,
                                       .heads = 8,
                                       .inner = 2048,
                                       .layers = 2,
                                       .normFirst = true,
                                       .cached = true}),
      transformer("patches 256", {.width = 256,
                                  .heads = 4,
                                  .inner = 1024,
                                  .layers = 2,
                                  .normFirst = true,
                                  .patches = true}),
      scores("new scores 8x64", 8, 64, false, 1),
      shiftedWindows("shifted windows 4x32", 4, 32, 16, 8),
      rotations("rotations 6x64", 6, 64),
      transformer("recurrent block 128", {.width = 128,
                                          .heads = 2,
                                          .inner = 256,
                                          .layers = 2,
                                          .normFirst = true,
                                          .attention = "linear"}),
      convolutions("convolutions 24", 24, 48),
      windows("windows 64", 64, 28),
      maps("maps 8x128", 8, 128, 64),
      scores("scores 8x64", 8, 64, false),
      transformer("block 64", {.width = 64, .heads = 2, .inner = 256, .layers = 4}),
      transformer("gated recurrent block 256",
                  {.width = 256, .heads = 4, .inner = 512, .layers = 2, .attention = "gated"}),
      transformer("wide words 768", {.width = 768,
                                     .heads = 12,
                                     .inner = 3072,
                                     .layers = 2,
                                     .normFirst = true,
                                     .tokens = true}),
      rows("rows 100", 100),
      pieces("pieces 4x128", 4, 128),
      transformer("cached block 256", {.width = 256,
                                       .heads = 4,
                                       .inner = 768,
                                       .layers = 3,
                                       .keyHeads = 1,
                                       .normFirst = true,
                                       .rms = true,
                                       .gated = true,
                                       .rotary = true,
                                       .cached = true,
                                       .activation = "Silu"}),
      transformer("linear block 64", {.width = 64,
                                      .heads = 4,
                                      .inner = 128,
                                      .layers = 2,
                                      .normFirst = true,
                                      .attention = "relu"}),
      convolutions("convolutions 160", 160, 14),
      maps("maps 12x256", 12, 256, 32),
      windows("windows 32", 32, 56),
      convolutions("convolutions 16", 16, 96),
      scores("causal scores 4x32", 4, 32, true),
      images("images 8", 8),
      scores("some scores 3x48", 3, 48, false, 4),
      transformer("delta block 256",
                  {.width = 256, .heads = 4, .inner = 256, .layers = 2, .attention = "delta"}),
      rows("rows 2000", 2000),
      windows("windows 128", 128, 14),
      convolutions("convolutions 96", 96, 20),
      rotations("rotations 4x20", 4, 20),
  };
}

Network chain(ChainOp kind, int64_t times, int64_t m, int64_t d) {
  GraphBuilder g("chain");
  // Masks are ones: no number becomes denormal.
  Name x = g.input("mask", {m, d}), y = x;
  for (int64_t i = 0; i < times; ++i)
    y = kind == ChainOp::Exp   ? g.op("Exp", {y})
        : kind == ChainOp::Add ? g.op("Add", {y, x})
                               : g.op("Mul", {y, x});
  g.output(y, {m, d});
  return {"chain", g.serialise(), {}};
}

Network products(int64_t times, int64_t rows, int64_t size) {
  GraphBuilder g("products");
  Name x = g.input("x", {rows, size});
  for (int64_t i = 0; i < times; ++i)
    x = g.op("MatMul", {x, g.weight({size, size})});
  g.output(x, {rows, size});
  return {"products", g.serialise(), {}};
}

Network distances(int64_t m, int64_t n, int64_t k) {
  GraphBuilder g("distances");
  Name x = g.input("x", {m, int64_t(1), k});
  Name difference = g.op("Sub", {x, g.weight({1, n, k})});
  g.output(
      g.op("ReduceSum", {g.op("Abs", {difference}), g.integers({2})}, {{"keepdims", int64_t(0)}}),
      {m, n});
  return {"distances", g.serialise(), {}};
}

} // namespace attune::tools
