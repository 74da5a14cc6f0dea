#include "AttentionProblem.h"

#include <cmath>
#include <cstring>
#include <random>
#include <sys/mman.h>

using namespace mlir;
using namespace attune::codegen;

namespace attune::test {

Guarded::Guarded(size_t bytes) {
  constexpr size_t kPage = 4096;
  mapped = (bytes + kPage - 1) / kPage * kPage + kPage;
  map = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(static_cast<char *>(map) + mapped - kPage, kPage, PROT_NONE);
  data = static_cast<char *>(map) + mapped - kPage - bytes;
  std::memset(data, 0xff, bytes);
}
Guarded::~Guarded() {
  if (map)
    munmap(map, mapped);
}
Guarded::Guarded(Guarded &&other)
    : data(other.data), map(std::exchange(other.map, nullptr)), mapped(other.mapped) {}

bool maskAllows(MaskKind kind, int64_t i, int64_t j, int64_t n) {
  switch (kind) {
  case MaskKind::None:
    return true;
  case MaskKind::AllFalse:
    return false;
  case MaskKind::OneKey:
    return j == kMaskNumber;
  case MaskKind::Tail:
    return j < kMaskNumber;
  case MaskKind::Causal:
    return j <= i;
  case MaskKind::Window:
    return j <= i && j >= i - kMaskNumber;
  case MaskKind::OneRow:
    return n != kMaskNumber;
  }
  return true;
}

//===- Kernel
//-------------------------------------------------------------------------------------===//

enum Buffer {
  kQuery,
  kKey,
  kValue,
  kScores,
  kSink,
  kKeyLength,
  kQueryOffset,
  kResult,
  kLse,
  kLogits,
  kScratch,
  kBuffers
};

static Type elementOf(OpBuilder &b, Storage storage) {
  switch (storage) {
  case Storage::F16:
    return b.getF16Type();
  case Storage::BF16:
    return b.getBF16Type();
  case Storage::F32:
    break;
  }
  return b.getF32Type();
}

/// i or j of every lane as i32.
static Value lanesOf(KernelBuilder &kb, Value first, int64_t lanes, bool varies) {
  Type i32 = kb.b.getI32Type();
  Value base = kb.splat(arith::IndexCastOp::create(kb.b, kb.loc, i32, first), lanes);
  return varies ? arith::AddIOp::create(kb.b, kb.loc, base, kb.laneIds(kb.vec(lanes, i32))) : base;
}

static Value maskValue(KernelBuilder &kb, MaskKind kind, const AttentionPoint &p) {
  Value i = lanesOf(kb, p.i, p.lanes, !p.lanesAreKeys),
        n = lanesOf(kb, p.n, p.lanes, !p.lanesAreKeys);
  Value j = lanesOf(kb, p.j, p.lanes, p.lanesAreKeys);
  auto compare = [&](arith::CmpIPredicate predicate, Value x, Value y) -> Value {
    return arith::CmpIOp::create(kb.b, kb.loc, predicate, x, y);
  };
  auto number = [&](int64_t value) { return kb.constI(value, i.getType()); };
  using P = arith::CmpIPredicate;
  switch (kind) {
  case MaskKind::AllFalse:
    return kb.constI(0, kb.b.getI1Type());
  case MaskKind::OneKey:
    return compare(P::eq, j, number(kMaskNumber));
  case MaskKind::Tail:
    return compare(P::slt, j, number(kMaskNumber));
  case MaskKind::Causal:
    return compare(P::sle, j, i);
  case MaskKind::Window: {
    Value start = arith::SubIOp::create(kb.b, kb.loc, i, number(kMaskNumber));
    return arith::AndIOp::create(kb.b, kb.loc, compare(P::sle, j, i), compare(P::sge, j, start));
  }
  case MaskKind::OneRow:
    return compare(P::ne, n, number(kMaskNumber));
  case MaskKind::None:
    break;
  }
  return kb.constI(1, kb.b.getI1Type());
}

static KeyRange rangeOf(KernelBuilder &kb, MaskKind kind, Value first, Value last, Value keys) {
  Value zero = kb.idx(0);
  auto clamp = [&](Value x) { return kb.max(zero, kb.min(x, keys)); };
  switch (kind) {
  case MaskKind::Tail:
    return {zero, clamp(kb.idx(kMaskNumber)), zero, clamp(kb.idx(kMaskNumber))};
  case MaskKind::Causal:
    return {zero, clamp(kb.add(last, 1)), zero, clamp(kb.add(first, 1))};
  case MaskKind::Window:
    return {clamp(kb.add(first, -kMaskNumber)), clamp(kb.add(last, 1)),
            clamp(kb.add(last, -kMaskNumber)), clamp(kb.add(first, 1))};
  default:
    return {zero, keys, keys, zero};
  }
}

AttentionScratch emitCase(ModuleOp module, const CpuTarget &target, const AttentionCase &what,
                          StringRef symbol) {
  KernelBuilder kb(module.getLoc(), target);
  Type element = elementOf(kb.b, what.storage);
  AttentionSpec spec;
  spec.headDim = what.headDim;
  spec.valueDim = what.valueDim;
  spec.weighting = what.weighting;
  spec.eps = 1e-3;
  spec.epsMode = what.epsMode;
  spec.emptyRow = what.emptyRow;
  spec.tile = what.tile;
  spec.values = [&, element](KernelBuilder &kb, const KernelArgs &args) {
    AttentionValues v;
    v.batch = kb.dim(args, 0);
    v.heads = kb.dim(args, 1);
    v.kvHeads = kb.dim(args, 2);
    v.queries = kb.dim(args, 3);
    v.keys = kb.dim(args, 4);
    auto tensor = [&](Buffer buffer, Value heads, Value rows, int64_t width, Type type) {
      AttentionTensor t;
      t.base = kb.buffer(args, buffer);
      t.element = type;
      Value batch = kb.mul(kb.mul(heads, rows), width);
      if (what.interleaved)
        t.strides = {batch, kb.idx(width), kb.mul(heads, width), kb.idx(1)};
      else
        t.strides = {batch, kb.mul(rows, width), kb.idx(width), kb.idx(1)};
      return t;
    };
    if (what.headDim) {
      v.query = tensor(kQuery, v.heads, v.queries, what.headDim, element);
      v.key = tensor(kKey, v.kvHeads, v.keys, what.headDim, element);
      v.scale = kb.constF(0.5);
    }
    v.value = tensor(kValue, v.kvHeads, v.keys, what.valueDim, element);
    v.result = tensor(kResult, v.heads, v.queries, what.valueDim, element);
    Value zero = kb.idx(0), one = kb.idx(1);
    auto map = [&](Buffer buffer) {
      AttentionTensor t;
      t.base = kb.buffer(args, buffer);
      t.element = kb.f32();
      t.strides = {kb.mul(kb.mul(v.heads, v.queries), v.keys), kb.mul(v.queries, v.keys), v.keys,
                   one};
      return t;
    };
    if (what.scores != ScoresKind::None)
      v.scores = map(kScores);
    if (what.scores == ScoresKind::Keys)
      v.scores.strides = {v.keys, zero, zero, one};
    if (what.scores == ScoresKind::Rows)
      v.scores.strides = {kb.mul(v.heads, v.queries), v.queries, one, zero};
    if (what.logits)
      v.logits = map(kLogits);
    if (what.lse) {
      v.lse = map(kLse);
      v.lse.strides = {kb.mul(v.heads, v.queries), v.queries, one, zero};
    }
    auto index = [&kb, args](Buffer buffer) {
      Value base = kb.buffer(args, buffer);
      return [&kb, base](Value b) -> Value {
        return arith::IndexCastOp::create(kb.b, kb.loc, kb.index(),
                                          kb.load(kb.b.getI64Type(), base, b));
      };
    };
    if (what.keyLength)
      v.keyLength = index(kKeyLength);
    if (what.queryOffset)
      v.queryOffset = index(kQueryOffset);
    if (what.sink) {
      Value base = kb.buffer(args, kSink);
      v.sink = [&kb, base](Value h) { return kb.load(kb.f32(), base, h); };
    }
    return v;
  };
  if (what.score)
    spec.score = [](KernelBuilder &kb, const AttentionPoint &p, Value x) -> Value {
      Value distance =
          arith::SubIOp::create(kb.b, kb.loc, lanesOf(kb, p.j, p.lanes, p.lanesAreKeys),
                                lanesOf(kb, p.i, p.lanes, !p.lanesAreKeys));
      distance = arith::SIToFPOp::create(kb.b, kb.loc, kb.vec(p.lanes), distance);
      return kb.fma(distance, kb.constF(0.125, kb.vec(p.lanes)), x);
    };
  if (what.mask != MaskKind::None)
    spec.mask = [&](KernelBuilder &kb, const AttentionPoint &p) {
      return maskValue(kb, what.mask, p);
    };
  if (what.mask != MaskKind::None && what.mined)
    spec.range = [&](KernelBuilder &kb, Value, Value, Value first, Value last, Value keys) {
      return rangeOf(kb, what.mask, first, last, keys);
    };
  return emitAttention(kb, module, symbol, spec, kScratch);
}

//===- Operands and answer
//------------------------------------------------------------------------===//

static float rounded(float x, Storage storage) {
  if (storage == Storage::F16)
    return static_cast<_Float16>(x);
  if (storage == Storage::BF16) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    std::memcpy(&x, &bits, 4);
  }
  return x;
}

AttentionProblem::AttentionProblem(const AttentionCase &what, const AttentionShape &s,
                                   unsigned seed)
    : what(what), shape(s) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1.5f, 1.5f);
  auto fill = [&](std::vector<float> &x, int64_t size, Storage storage = Storage::F32) {
    x.resize(size);
    for (float &v : x)
      v = rounded(uniform(generator), storage);
  };
  fill(query, s.batch * s.heads * s.queries * what.headDim, what.storage);
  fill(key, s.batch * s.kvHeads * s.keys * what.headDim, what.storage);
  fill(value, s.batch * s.kvHeads * s.keys * what.valueDim, what.storage);
  int64_t rows = s.batch * s.heads * s.queries;
  fill(scores, what.scores == ScoresKind::Full   ? rows * s.keys
               : what.scores == ScoresKind::Keys ? s.batch * s.keys
                                                 : rows);
  fill(sink, s.heads);
  for (int64_t b = 0; b < s.batch; ++b) {
    keyLength.push_back(b == 0 ? s.keys - s.keys / 3 : b == 1 ? 0 : s.keys + 7);
    queryOffset.push_back(b == 0 ? 3 : b == 1 ? -2 : 40);
  }
}

size_t AttentionProblem::at(int64_t b, int64_t h, int64_t n, int64_t d, int64_t heads, int64_t rows,
                            int64_t width) const {
  return what.interleaved ? ((b * rows + n) * heads + h) * width + d
                          : ((b * heads + h) * rows + n) * width + d;
}

float AttentionProblem::scoreAt(int64_t b, int64_t h, int64_t n, int64_t m) const {
  int64_t row = (b * shape.heads + h) * shape.queries + n;
  switch (what.scores) {
  case ScoresKind::Full:
    return scores[row * shape.keys + m];
  case ScoresKind::Keys:
    return scores[b * shape.keys + m];
  case ScoresKind::Rows:
    return scores[row];
  case ScoresKind::None:
    break;
  }
  return 0;
}

static Guarded stored(const std::vector<float> &x, Storage storage) {
  if (storage == Storage::F32) {
    Guarded out(x.size() * 4);
    if (!x.empty())
      std::memcpy(out.data, x.data(), x.size() * 4);
    return out;
  }
  Guarded out(x.size() * 2);
  for (size_t i = 0; i < x.size(); ++i) {
    if (storage == Storage::F16) {
      _Float16 half = x[i];
      std::memcpy(static_cast<char *>(out.data) + 2 * i, &half, 2);
    } else {
      std::memcpy(static_cast<char *>(out.data) + 2 * i, reinterpret_cast<const char *>(&x[i]) + 2,
                  2);
    }
  }
  return out;
}

static std::vector<float> loaded(const Guarded &in, size_t size, Storage storage) {
  std::vector<float> out(size);
  for (size_t i = 0; i < size; ++i) {
    const char *from = static_cast<const char *>(in.data);
    if (storage == Storage::F32) {
      std::memcpy(&out[i], from + 4 * i, 4);
    } else if (storage == Storage::F16) {
      _Float16 half;
      std::memcpy(&half, from + 2 * i, 2);
      out[i] = half;
    } else {
      uint32_t bits = 0;
      std::memcpy(reinterpret_cast<char *>(&bits) + 2, from + 2 * i, 2);
      std::memcpy(&out[i], &bits, 4);
    }
  }
  return out;
}

void AttentionProblem::run(attune_kernel_fn kernel, const AttentionScratch &scratch,
                           unsigned threads) {
  ASSERT_NE(kernel, nullptr);
  int64_t rows = shape.batch * shape.heads * shape.queries;
  Guarded q = stored(query, what.storage), k = stored(key, what.storage),
          v = stored(value, what.storage), s = stored(scores, Storage::F32),
          sinks = stored(sink, Storage::F32);
  Guarded lengths(keyLength.size() * 8), offsets(queryOffset.size() * 8);
  std::copy(keyLength.begin(), keyLength.end(), lengths.ints());
  std::copy(queryOffset.begin(), queryOffset.end(), offsets.ints());
  Guarded out = stored(std::vector<float>(rows * what.valueDim, -7), what.storage);
  Guarded outLse(rows * 4), outLogits(rows * shape.keys * 4);
  Guarded space(scratch.perWorker * threads + scratch.shared);
  void *buffers[kBuffers] = {q.data,      k.data,         v.data,       s.data,
                             sinks.data,  lengths.data,   offsets.data, out.data,
                             outLse.data, outLogits.data, space.data};
  int64_t dims[] = {shape.batch, shape.heads, shape.kvHeads, shape.queries, shape.keys};
  TestContext ctx(threads);
  ASSERT_EQ(kernel(&ctx, buffers, dims), 0);
  result = loaded(out, rows * what.valueDim, what.storage);
  lse = loaded(outLse, rows, Storage::F32);
  logits = loaded(outLogits, rows * shape.keys, Storage::F32);
}

double AttentionProblem::error() {
  double worst = 0;
  auto compare = [&](const std::vector<double> &expected, auto actual, double most = 1e-30) {
    for (double x : expected)
      if (std::isfinite(x))
        most = std::max(most, std::fabs(x));
    for (size_t i = 0; i < expected.size(); ++i) {
      double x = expected[i], y = actual(i);
      bool same = (std::isnan(x) && std::isnan(y)) || x == y;
      double difference = same ? 0 : std::fabs(x - y) / most;
      worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
    }
  };
  for (int64_t b = 0; b < shape.batch; ++b)
    for (int64_t h = 0; h < shape.heads; ++h)
      for (int64_t n = 0; n < shape.queries; ++n) {
        int64_t row = (b * shape.heads + h) * shape.queries + n;
        int64_t kv = h / (shape.heads / shape.kvHeads), i = n;
        if (what.queryOffset)
          i += queryOffset[b];
        int64_t length = what.keyLength ? std::min(keyLength[b], shape.keys) : shape.keys;
        std::vector<double> x(shape.keys), w(shape.keys, 0);
        double max = what.sink ? sink[h] : -INFINITY, sum = 0, count = 0;
        for (int64_t m = 0; m < shape.keys; ++m) {
          for (int64_t d = 0; d < what.headDim; ++d)
            x[m] += static_cast<double>(
                        query[at(b, h, n, d, shape.heads, shape.queries, what.headDim)]) *
                    key[at(b, kv, m, d, shape.kvHeads, shape.keys, what.headDim)];
          x[m] = x[m] * 0.5 + scoreAt(b, h, n, m);
          if (what.score)
            x[m] += 0.125 * (m - i);
        }
        if (what.logits)
          compare(x, [&](size_t m) { return logits[row * shape.keys + m]; });
        std::vector<int64_t> allowed;
        for (int64_t m = 0; m < length; ++m)
          if (maskAllows(what.mask, i, m, n))
            allowed.push_back(m);
        for (int64_t m : allowed)
          max = std::fmax(max, x[m]);
        if (what.sink && sink[h] != -INFINITY)
          sum = std::exp(sink[h] - max);
        for (int64_t m : allowed) {
          w[m] = what.weighting == Weighting::Softmax
                     ? max == -INFINITY && !std::isnan(x[m]) ? 0 : std::exp(x[m] - max)
                     : x[m];
          sum += w[m];
          count += 1;
        }
        double factor = 1;
        if (what.weighting == Weighting::Softmax)
          factor = sum != 0 ? 1 / sum : what.emptyRow == EmptyRow::Zero ? 0 : NAN;
        if (what.weighting == Weighting::Sum)
          factor = 1 / (what.epsMode == EpsMode::Add ? sum + 1e-3 : std::max(sum, 1e-3));
        if (what.weighting == Weighting::Count)
          factor = 1 / std::max(count, 1.0);
        std::vector<double> out(what.valueDim);
        for (int64_t e = 0; e < what.valueDim; ++e) {
          for (int64_t m : allowed)
            out[e] += w[m] * value[at(b, kv, m, e, shape.kvHeads, shape.keys, what.valueDim)];
          out[e] *= factor;
        }
        compare(out, [&](size_t e) {
          return result[at(b, h, n, e, shape.heads, shape.queries, what.valueDim)];
        });
        if (what.lse)
          compare(
              {max + std::log(sum)}, [&](size_t) { return lse[row]; }, 1.0);
      }
  return worst;
}

} // namespace attune::test
