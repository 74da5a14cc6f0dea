// wgmma: products of a warp group with operands in shared memory, named by descriptors, or A in
// registers. Every warp computes its 16 rows, as late as it may: at the wait. Until then its sums
// are poisoned and shared memory counts as being read.
#include "attune/test/ptxemu/Lanes.h"
#include "attune/test/ptxemu/TensorMap.h"
#include <algorithm>
#include <cstring>

namespace attune::ptx {

namespace {
enum Element : uint8_t { F16, BF16, TF32, E4M3, E5M2 };
constexpr unsigned elementBytes[] = {2, 2, 4, 1, 1};
constexpr uint32_t poison = 0x7fc0dead;

/// What Program::lists holds before the registers of D and A.
struct Shape {
  uint32_t n, k, a, b;
  uint32_t narrowSums, aRegisters, transposeA, transposeB, negateA, negateB;
};
constexpr unsigned shapeWords = sizeof(Shape) / 4;

/// A matrix in shared memory: the address of a 16-byte chunk, by its row (along M or N) and
/// position.
struct Descriptor {
  explicit Descriptor(uint64_t bits)
      : start((bits & 0x3fff) << 4), leading((bits >> 16 & 0x3fff) << 4),
        stride((bits >> 32 & 0x3fff) << 4), base(bits >> 49 & 7),
        swizzle(bits >> 62 ? 4 - unsigned(bits >> 62) : 0) {}

  unsigned span() const { return 16u << swizzle; } ///< bytes of a row in the pattern

  /// Chunks along K of row i.
  uint32_t alongK(unsigned i, unsigned chunk) const {
    uint32_t inRow = swizzle ? (i % 8) * span() + chunk * 16 : (i % 8) * 16 + chunk * leading;
    return swizzled(start + i / 8 * stride + inRow, swizzle);
  }
  /// Chunks along M or N, of 8 elements from i on, at k.
  uint32_t across(unsigned i, unsigned k) const {
    if (!swizzle)
      return start + i / 8 * stride + k / 8 * leading + (k % 8) * 16;
    unsigned wide = span() / 2;
    return swizzled(start + i / wide * leading + k / 8 * stride + (k % 8) * span() + (i % wide) * 2,
                    swizzle);
  }
  uint32_t start, leading, stride, base;
  unsigned swizzle;
};
} // namespace

static Shape shapeOf(const Warp &warp, const Instruction &i) {
  Shape shape;
  std::memcpy(&shape, &warp.program.lists[i.list], sizeof shape);
  return shape;
}

static float value(uint32_t bits, uint32_t element) {
  switch (element) {
  case F16:
    return halfToFloat(uint16_t(bits));
  case BF16:
    return brainToFloat(uint16_t(bits));
  case TF32:
    return std::bit_cast<float>(bits & ~0x1fffu);
  case E4M3:
    return float(decode(bits & 255, e4m3));
  default:
    return float(decode(bits & 255, e5m2));
  }
}

/// Calls f(address, row, first k, whether the chunk runs along rows) for every chunk of rows
/// [first, first + count) and all of K.
template <class F>
static void forChunks(const Descriptor &matrix, unsigned first, unsigned count, const Shape &shape,
                      uint32_t element, bool transpose, F f) {
  unsigned perChunk = 16 / elementBytes[element];
  if (transpose) {
    for (unsigned k = 0; k < shape.k; ++k)
      for (unsigned i = first; i < first + count; i += 8)
        f(matrix.across(i, k), i - first, k);
    return;
  }
  for (unsigned i = first; i < first + count; ++i)
    for (unsigned k = 0; k < shape.k; k += perChunk)
      f(matrix.alongK(i, k / perChunk), i - first, k);
}

/// out[k][row], `pitch` rows.
static void readMatrix(Warp &warp, const Descriptor &matrix, unsigned first, unsigned count,
                       const Shape &shape, uint32_t element, bool transpose, float *out,
                       unsigned pitch) {
  unsigned bytes = elementBytes[element];
  forChunks(matrix, first, count, shape, element, transpose,
            [&](uint32_t address, unsigned row, unsigned k) {
              const uint8_t *data = warp.sharedPlace(address, 16, 16).data;
              for (unsigned e = 0; e < 16 / bytes; ++e) {
                uint32_t bits = 0;
                std::memcpy(&bits, data + e * bytes, bytes);
                (transpose ? out[k * pitch + row + e] : out[(k + e) * pitch + row]) =
                    value(bits, element);
              }
            });
}

static void compute(Warp &warp, const PendingProduct &product) {
  const Instruction &i = *product.instruction;
  const Shape shape = shapeOf(warp, i);
  const uint32_t *dRows = &warp.program.lists[i.list + shapeWords];
  std::vector<float> a(shape.k * 16), b(size_t(shape.k) * shape.n), c(16 * shape.n);
  if (shape.aRegisters) {
    const unsigned bytes = elementBytes[shape.a], parts = 4 / bytes;
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned r = 0; r < 4; ++r)
        for (unsigned p = 0; p < parts; ++p) {
          unsigned row = lane / 4 + 8 * (r & 1), k = lane % 4 * parts + p + 4 * parts * (r >> 1);
          a[k * 16 + row] =
              value(product.aRegisters[r * 32 + lane] >> (8 * bytes * p % 32), shape.a);
        }
  } else {
    readMatrix(warp, Descriptor(product.a), warp.index % 4 * 16, 16, shape, shape.a,
               shape.transposeA, a.data(), 16);
  }
  readMatrix(warp, Descriptor(product.b), 0, shape.n, shape, shape.b, shape.transposeB, b.data(),
             shape.n);

  // Register r of a lane: row lane/4 + 8*(r/2%2), column 8*(r/4) + 2*(lane%4) + r%2.
  auto each = [&](auto f) {
    for (unsigned r = 0; r < shape.n / 2; ++r)
      for (unsigned lane = 0; lane < 32; ++lane)
        f(r, lane,
          c[(lane / 4 + 8 * (r / 2 % 2)) * shape.n + 8 * (r / 4) + 2 * (lane % 4) + r % 2]);
  };
  auto word = [&](unsigned r, unsigned lane) -> uint32_t & {
    return warp.accumulators.at(dRows[shape.narrowSums ? r / 2 : r])[lane];
  };
  if (product.accumulate)
    each([&](unsigned r, unsigned lane, float &sum) {
      uint32_t bits = word(r, lane);
      sum = shape.narrowSums ? halfToFloat(uint16_t(bits >> (16 * (r % 2))))
                             : std::bit_cast<float>(bits);
    });
  const float sign = shape.negateA != shape.negateB ? -1 : 1;
  for (unsigned row = 0; row < 16; ++row)
    for (unsigned k = 0; k < shape.k; ++k) {
      const float scale = sign * a[k * 16 + row], *bRow = &b[size_t(k) * shape.n];
      float *cRow = &c[row * shape.n];
      for (unsigned column = 0; column < shape.n; ++column)
        cRow[column] += scale * bRow[column];
    }
  each([&](unsigned r, unsigned lane, float &sum) {
    uint32_t &bits = word(r, lane);
    if (!shape.narrowSums)
      bits = std::bit_cast<uint32_t>(sum);
    else
      bits = r % 2 ? (bits & 0xffff) | uint32_t(floatToHalf(sum)) << 16
                   : (bits & 0xffff0000) | floatToHalf(sum);
  });
}

static unsigned sumCount(const Shape &shape) {
  return shape.narrowSums ? shape.n / 4 : shape.n / 2;
}

/// Since the last wait, a fence has to come before products whose registers were written. Copies
/// that a compiler puts behind the fence are fine: ptxas gives both sides the same register.
static void checkFenced(Warp &warp, uint32_t row) {
  if (warp.fenced)
    return;
  auto kept = warp.retired.find(row);
  if (kept == warp.retired.end() ||
      !std::equal(kept->second.begin(), kept->second.end(), warp.row<uint32_t>(row)))
    warp.fault(Fault::Misuse,
               "registers of wgmma.mma_async were written, and no wgmma.fence followed");
}

/// Rows: descriptor of A (unless in registers), descriptor of B, scale of D (a predicate).
static void start(Warp &warp, const Instruction &i) {
  if (warp.mask != ~0u)
    warp.fault(Fault::Misuse, "all 32 lanes must take part");
  if (!warp.fenced && warp.retired.empty())
    warp.fault(Fault::Misuse, "no wgmma.fence before the first wgmma.mma_async");
  const Shape shape = shapeOf(warp, i);
  const uint32_t *dRows = &warp.program.lists[i.list + shapeWords];
  PendingProduct product{&i, warp.productGroup, 0, 0, {}, false, 0};
  Cluster &cluster = warp.home.cluster;
  const unsigned agent = cluster.agents.product(warp.number);
  product.tick = ++cluster.ticks[agent];
  auto note = [&](uint64_t bits, unsigned first, unsigned count, uint32_t element, bool transpose) {
    const Descriptor matrix(bits);
    if (matrix.base)
      warp.fault(Fault::Unsupported, "a descriptor with a base offset");
    forChunks(matrix, first, count, shape, element, transpose,
              [&](uint32_t address, unsigned, unsigned) {
                warp.noteEngineRead(warp.home, warp.sharedPlace(address, 16, 16).offset, 16, agent,
                                    product.tick);
              });
  };
  auto uniform = [&](uint32_t row) {
    const uint64_t *values = warp.row<uint64_t>(row);
    if (!std::all_of(values, values + 32, [&](uint64_t value) { return value == *values; }))
      warp.fault(Fault::Misuse, "lanes differ in a descriptor");
    return *values;
  };
  if (shape.aRegisters) {
    for (unsigned r = 0; r < 4; ++r) {
      uint32_t row = dRows[sumCount(shape) + r];
      checkFenced(warp, row);
      product.aRegisters.insert(product.aRegisters.end(), warp.row<uint32_t>(row),
                                warp.row<uint32_t>(row) + 32);
    }
  } else {
    product.a = uniform(i.rows[0]);
    note(product.a, warp.index % 4 * 16, 16, shape.a, shape.transposeA);
  }
  product.b = uniform(i.rows[1]);
  note(product.b, 0, shape.n, shape.b, shape.transposeB);
  product.accumulate = warp.predicate(i.rows[2]) & 1;
  for (unsigned r = 0; r < sumCount(shape); ++r) {
    uint32_t *sums = warp.row<uint32_t>(dRows[r]);
    if (product.accumulate)
      checkFenced(warp, dRows[r]);
    if (auto [kept, isNew] = warp.accumulators.try_emplace(dRows[r]); isNew)
      std::copy_n(sums, 32, kept->second.begin());
    std::fill_n(sums, 32, poison);
    warp.retired[dRows[r]].fill(poison);
  }
  warp.products.push_back(std::move(product));
}

/// Computes all but the last `keep` groups; sums that no pending product owns become visible.
static void waitProducts(Warp &warp, const Instruction &i) {
  auto ends = [&](const PendingProduct &product) {
    return product.group + uint64_t(i.flags) < warp.productGroup;
  };
  uint32_t &seen = warp.known.seen[warp.home.cluster.agents.product(warp.number)];
  for (const PendingProduct &product : warp.products)
    if (ends(product)) {
      compute(warp, product);
      seen = std::max(seen, product.tick);
    }
  std::erase_if(warp.products, ends);
  auto isPending = [&](uint32_t row) {
    return std::any_of(
        warp.products.begin(), warp.products.end(), [&](const PendingProduct &product) {
          const uint32_t *rows = &warp.program.lists[product.instruction->list + shapeWords];
          return std::find(rows, rows + sumCount(shapeOf(warp, *product.instruction)), row) !=
                 rows + sumCount(shapeOf(warp, *product.instruction));
        });
  };
  std::erase_if(warp.accumulators, [&](const auto &sums) {
    if (isPending(sums.first))
      return false;
    std::copy(sums.second.begin(), sums.second.end(), warp.row<uint32_t>(sums.first));
    warp.retired[sums.first] = sums.second;
    return true;
  });
  warp.fenced = false;
}

static uint32_t elementOf(Decoder &d, const std::string &type) {
  static constexpr const char *names[] = {"f16", "bf16", "tf32", "e4m3", "e5m2"};
  for (uint32_t element = 0; element < std::size(names); ++element)
    if (type == names[element])
      return element;
  d.unsupported("type .", type);
}

/// 1 or -1, and whether it is -1.
static bool negates(Decoder &d) { return int64_t(d.immediate()) < 0; }

static Run decodeStart(Decoder &d) {
  Shape shape{};
  const std::string name = d.takePrefix("m64n");
  size_t k = name.find('k');
  if (k == name.npos)
    d.unsupported("the shape");
  shape.n = uint32_t(std::stoul(name.substr(4, k - 4)));
  shape.k = uint32_t(std::stoul(name.substr(k + 1)));
  const std::string result = d.next(), a = d.next(), b = d.next();
  shape.a = elementOf(d, a);
  shape.b = elementOf(d, b);
  shape.narrowSums = result == "f16";
  const unsigned bytes = elementBytes[shape.a];
  if (shape.n % 8 || shape.n > 256 || shape.k * bytes != 32 || elementBytes[shape.b] != bytes ||
      (bytes > 1 && a != b) || (result != "f32" && (result != "f16" || a == "bf16" || a == "tf32")))
    d.unsupported("the combination of types");
  shape.aRegisters =
      d.statement->operands.size() > 1 && d.statement->operands[1].kind == Operand::Vector;
  const size_t at = d.program.lists.size();
  d.out.list = uint32_t(at);
  d.program.lists.resize(at + shapeWords);
  if (d.vector(Type::B32, true) != sumCount(shape))
    d.unsupported("the number of registers");
  if (!shape.aRegisters)
    d.source(Type::B64);
  else if (d.skipRow(); d.vector(Type::B32, false) != 4)
    d.unsupported("the number of registers");
  d.source(Type::B64);
  d.source(Type::Pred);
  shape.negateA = negates(d);
  shape.negateB = negates(d);
  if (bytes == 2) {
    shape.transposeA = !shape.aRegisters && d.immediate();
    shape.transposeB = d.immediate() != 0;
  }
  std::memcpy(&d.program.lists[at], &shape, sizeof shape);
  return start;
}

static Run decodeWarpProduct(Decoder &d) {
  int operation = d.requireOneOf({"fence", "mma_async", "commit_group", "wait_group"});
  d.requireOneOf({"sync"});
  d.requireOneOf({"aligned"});
  switch (operation) {
  case 0:
    return [](Warp &warp, const Instruction &) { warp.fenced = true; };
  case 1:
    return decodeStart(d);
  case 2:
    return [](Warp &warp, const Instruction &) { ++warp.productGroup; };
  default:
    d.out.flags = uint32_t(d.immediate());
    return waitProducts;
  }
}

void addWarpProducts(InstructionSet &set) { set.emplace("wgmma", decodeWarpProduct); }

} // namespace attune::ptx
