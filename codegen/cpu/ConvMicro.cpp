#include "attune/codegen/cpu/ConvMicro.h"

#include "attune/codegen/cpu/GemmMicro.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {

ConvTile ConvTile::of(const CpuTarget &target) {
  int64_t lanes = target.lanes(32);
  if (target.registers >= 32)
    return {2, 3, lanes};
  return {1, target.vectorBits >= 256 ? 3 : 2, lanes};
}

func::FuncOp convFunction(KernelBuilder &kb, ModuleOp module, StringRef name,
                          llvm::function_ref<void(const ConvMicroCall &)> body) {
  Type p = kb.ptr(), i = kb.index();
  SmallVector<Type> inputs{p, i, p, i, i, i, i, p, kb.b.getI1Type()};
  return sharedFunction(kb, module, name, inputs, [&](ValueRange args) {
    body({args[0], args[1], args[2], args[3], args[4], args[5], args[6], args[7], args[8]});
  });
}

void callConv(KernelBuilder &kb, func::FuncOp micro, const ConvMicroCall &c) {
  func::CallOp::create(kb.b, kb.loc, micro,
                       ValueRange{c.filters, c.panelStep, c.image, c.channelStep, c.rowStep,
                                  c.columnStep, c.channels, c.tile, c.add});
}

Values loadSums(KernelBuilder &kb, const ConvMicroCall &call, int64_t rows, int64_t vectors,
                llvm::function_ref<Value(int64_t, int64_t)> at) {
  return kb.ifElse(
      call.add, SmallVector<Type>(rows * vectors, kb.vec()),
      [&] {
        Values loaded;
        for (int64_t row = 0; row < rows; ++row)
          for (int64_t v = 0; v < vectors; ++v)
            loaded.push_back(kb.load(kb.vec(), call.tile, at(row, v)));
        return loaded;
      },
      [&] { return Values(rows * vectors, kb.constF(0, kb.vec())); });
}

void storeSums(KernelBuilder &kb, const ConvMicroCall &call, ValueRange sums, int64_t rows,
               int64_t vectors, llvm::function_ref<Value(int64_t, int64_t)> at) {
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t v = 0; v < vectors; ++v)
      kb.store(sums[row * vectors + v], call.tile, at(row, v));
}

Values sumTaps(KernelBuilder &kb, int64_t tapRows, int64_t tapColumns, int64_t panel,
               const ConvMicroCall &call, Values sums,
               llvm::function_ref<Values(Value filter, Value image, Values sums)> tap) {
  int64_t taps = tapRows * tapColumns;
  // Small windows are unrolled; the loops of large ones are long enough.
  bool unrollRows = taps <= 9, unrollColumns = tapColumns <= 4;
  auto channel = [&](Value number, Values sums) {
    Value filter = kb.mul(number, taps * panel), image = kb.mul(number, call.channelStep);
    auto row = [&](Value tapRow, Values sums) {
      Value filterRow = kb.add(filter, kb.mul(tapRow, tapColumns * panel));
      Value imageRow = kb.add(image, kb.mul(tapRow, call.rowStep));
      auto column = [&](Value tapColumn, Values sums) {
        return tap(kb.add(filterRow, kb.mul(tapColumn, panel)),
                   kb.add(imageRow, kb.mul(tapColumn, call.columnStep)), sums);
      };
      if (!unrollColumns)
        return kb.forLoop(kb.idx(0), kb.idx(tapColumns), 1, sums,
                          [&](Value q, ValueRange it) { return column(q, Values(it)); });
      for (int64_t q = 0; q < tapColumns; ++q)
        sums = column(kb.idx(q), sums);
      return sums;
    };
    if (!unrollRows)
      return kb.forLoop(kb.idx(0), kb.idx(tapRows), 1, sums,
                        [&](Value q, ValueRange it) { return row(q, Values(it)); });
    for (int64_t q = 0; q < tapRows; ++q)
      sums = row(kb.idx(q), sums);
    return sums;
  };
  int64_t unroll = std::max<int64_t>(1, 4 / taps);
  Value bulk = kb.mul(kb.div(call.channels, unroll), unroll);
  sums = kb.forLoop(kb.idx(0), bulk, unroll, sums, [&](Value number, ValueRange it) {
    Values next(it);
    for (int64_t n = 0; n < unroll; ++n)
      next = channel(kb.add(number, n), next);
    return next;
  });
  if (unroll > 1)
    sums = kb.forLoop(bulk, call.channels, 1, sums,
                      [&](Value number, ValueRange it) { return channel(number, Values(it)); });
  return sums;
}

/// The micro-kernel for a number of vectors: all sums in registers, one filter element each.
static func::FuncOp convMicro(KernelBuilder &kb, ModuleOp module, int64_t tapRows,
                              int64_t tapColumns, int64_t vectors) {
  ConvTile tile = ConvTile::of(kb.target);
  std::string name = "attune_conv_" + std::to_string(tapRows) + "x" + std::to_string(tapColumns) +
                     "_" + std::to_string(vectors);
  return convFunction(kb, module, name, [&](const ConvMicroCall &c) {
    auto at = [&](int64_t row, int64_t vector) {
      return kb.idx(row * tile.positions() + vector * tile.lanes);
    };
    auto tap = [&](Value filter, Value image, Values sums) {
      Values x;
      for (int64_t v = 0; v < vectors; ++v)
        x.push_back(kb.load(kb.vec(), c.image, kb.add(image, v * tile.lanes)));
      for (int64_t panel = 0; panel < tile.panels; ++panel)
        for (int64_t lane = 0; lane < kFilterPanel; ++lane) {
          Value at = kb.add(panel ? kb.add(filter, c.panelStep) : filter, lane);
          Value w = kb.splat(kb.load(kb.f32(), c.filters, at));
          for (int64_t v = 0; v < vectors; ++v) {
            Value &sum = sums[(panel * kFilterPanel + lane) * vectors + v];
            sum = kb.fma(w, x[v], sum);
          }
        }
      return sums;
    };
    Values sums = loadSums(kb, c, tile.channels(), vectors, at);
    sums = sumTaps(kb, tapRows, tapColumns, kFilterPanel, c, sums, tap);
    storeSums(kb, c, sums, tile.channels(), vectors, at);
  });
}

void callConvMicro(KernelBuilder &kb, ModuleOp module, int64_t tapRows, int64_t tapColumns,
                   Value vectors, const ConvMicroCall &call) {
  kb.switchOn(vectors, ConvTile::of(kb.target).vectors, [&](int64_t count) {
    callConv(kb, convMicro(kb, module, tapRows, tapColumns, count), call);
  });
}

LineBounds lineBounds(KernelBuilder &kb, Value first, int64_t stride, Value extent, Value count) {
  Value zero = kb.idx(0);
  auto positions = [&](Value elements) {
    return kb.min(kb.ceilDiv(kb.max(elements, zero), stride), count);
  };
  Value begin = positions(kb.sub(zero, first));
  return {begin, kb.max(positions(kb.sub(extent, first)), begin)};
}

/// copyLine for neighbouring elements that are `apart` (0: known at run time only) apart.
/// Arguments: source, elements apart, first, stride, begin, end, count, fill, destination.
static func::FuncOp lineCopier(KernelBuilder &kb, ModuleOp module, int64_t apart) {
  Type p = kb.ptr(), i = kb.index();
  std::string name = "attune_conv_line_" + (apart ? std::to_string(apart) : std::string("any"));
  return sharedFunction(kb, module, name, {p, i, i, i, i, i, i, kb.f32(), p}, [&](ValueRange args) {
    Value source = args[0], step = args[1], first = args[2], stride = args[3], begin = args[4];
    Value end = args[5], count = args[6], fill = kb.splat(args[7]), dst = args[8];
    Value zero = kb.idx(0);
    int64_t lanes = kb.lanes();
    auto fillFrom = [&](Value from, Value to) {
      kb.forLoop(from, to, lanes, [&](Value at) { kb.store(fill, dst, at); });
    };
    // Every store may reach beyond its part: what follows overwrites it.
    fillFrom(zero, begin);
    auto start = [&](Value at) { return kb.mul(kb.add(first, kb.mul(at, stride)), step); };
    if (apart) {
      Value bulk = kb.add(begin, kb.mul(kb.div(kb.sub(end, begin), lanes), lanes));
      auto evens = [&](Value low, Value high) -> Value {
        if (apart == 1)
          return low;
        SmallVector<int64_t> even;
        for (int64_t lane = 0; lane < lanes; ++lane)
          even.push_back(2 * lane);
        return vector::ShuffleOp::create(kb.b, kb.loc, low, high, even);
      };
      auto vectorAt = [&](Value at, int64_t half, Value left) -> Value {
        Value from = kb.add(start(at), half * lanes);
        if (half >= apart)
          return {};
        if (!left)
          return kb.load(kb.vec(), source, from);
        Value some = kb.max(kb.min(kb.sub(left, kb.idx(half * lanes)), kb.idx(lanes)), zero);
        return kb.loadPartial(kb.vec(), source, from, some);
      };
      // The last whole vector of a strided line must not read beyond its last element.
      Value whole = apart == 1 ? bulk : kb.max(begin, kb.sub(bulk, kb.idx(lanes)));
      kb.forLoop(begin, whole, lanes, [&](Value at) {
        kb.store(evens(vectorAt(at, 0, {}), vectorAt(at, 1, {})), dst, at);
      });
      kb.forLoop(whole, end, lanes, [&](Value at) {
        Value left = kb.sub(kb.mul(kb.sub(end, at), apart), kb.idx(apart - 1));
        kb.store(evens(vectorAt(at, 0, left), vectorAt(at, 1, left)), dst, at);
      });
    } else {
      kb.forLoop(begin, end, 1,
                 [&](Value at) { kb.store(kb.load(kb.f32(), source, start(at)), dst, at); });
    }
    fillFrom(end, count);
  });
}

void copyLine(KernelBuilder &kb, ModuleOp module, Value source, Value step, Value first,
              int64_t stride, const LineBounds &bounds, Value count, Value fill, Value dst) {
  int64_t apart = 0;
  if (getConstantIntValue(step) == 1 && stride <= 2)
    apart = stride;
  func::CallOp::create(
      kb.b, kb.loc, lineCopier(kb, module, apart),
      ValueRange{source, step, first, kb.idx(stride), bounds.begin, bounds.end, count, fill, dst});
}

/// Arguments as those of copyLinePair.
static func::FuncOp linePairCopier(KernelBuilder &kb, ModuleOp module) {
  Type p = kb.ptr(), i = kb.index();
  SmallVector<Type> inputs{p, i, i, i, i, i, i, kb.f32(), p, p};
  return sharedFunction(kb, module, "attune_conv_line_pair", inputs, [&](ValueRange args) {
    Value source = args[0], first = args[1], count = args[6], fill = kb.splat(args[7]);
    LineBounds bounds[] = {{args[2], args[3]}, {args[4], args[5]}};
    Value dst[] = {args[8], args[9]}, zero = kb.idx(0);
    int64_t lanes = kb.lanes();
    auto fillFrom = [&](Value from, Value to) {
      kb.forLoop(from, to, lanes, [&](Value at) {
        for (Value line : dst)
          kb.store(fill, line, at);
      });
    };
    auto start = [&](Value at) { return kb.add(first, kb.mul(at, 2)); };
    auto part = [&](Value at, Value low, Value high) {
      for (int64_t phase = 0; phase < 2; ++phase) {
        SmallVector<int64_t> mask;
        for (int64_t lane = 0; lane < lanes; ++lane)
          mask.push_back(2 * lane + phase);
        kb.store(vector::ShuffleOp::create(kb.b, kb.loc, low, high, mask), dst[phase], at);
      }
    };
    // Where both have elements; one of them may have one more at either end.
    Value begin = kb.max(bounds[0].begin, bounds[1].begin);
    Value end = kb.max(kb.min(bounds[0].end, bounds[1].end), begin);
    fillFrom(zero, begin);
    Value bulk = kb.add(begin, kb.mul(kb.div(kb.sub(end, begin), lanes), lanes));
    kb.forLoop(begin, bulk, lanes, [&](Value at) {
      part(at, kb.load(kb.vec(), source, start(at)),
           kb.load(kb.vec(), source, kb.add(start(at), lanes)));
    });
    kb.forLoop(bulk, end, lanes, [&](Value at) {
      Value left = kb.mul(kb.sub(end, at), 2);
      Value more = kb.max(kb.sub(left, kb.idx(lanes)), zero);
      part(at, kb.loadPartial(kb.vec(), source, start(at), kb.min(left, kb.idx(lanes))),
           kb.loadPartial(kb.vec(), source, kb.add(start(at), lanes), more));
    });
    fillFrom(end, count);
    for (int64_t phase = 0; phase < 2; ++phase) {
      auto single = [&](Value at) {
        kb.store(kb.load(kb.f32(), source, kb.add(start(at), phase)), dst[phase], at);
      };
      kb.forLoop(bounds[phase].begin, kb.min(begin, bounds[phase].end), 1, single);
      kb.forLoop(kb.max(end, bounds[phase].begin), bounds[phase].end, 1, single);
    }
  });
}

void copyLinePair(KernelBuilder &kb, ModuleOp module, Value source, Value first,
                  const LineBounds &even, const LineBounds &odd, Value count, Value fill,
                  Value evenDst, Value oddDst) {
  func::CallOp::create(kb.b, kb.loc, linePairCopier(kb, module),
                       ValueRange{source, first, even.begin, even.end, odd.begin, odd.end, count,
                                  fill, evenDst, oddDst});
}

} // namespace attune::codegen
