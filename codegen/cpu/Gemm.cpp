#include "attune/codegen/cpu/Gemm.h"

#include "attune/codegen/cpu/GemmPack.h"
#include "attune/codegen/cpu/GemmTables.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {

namespace {

/// What follows from the specification alone.
struct Plan {
  Plan(const GemmSpec &spec, const CpuTarget &target)
      : spec(spec), term(termOf(spec)), tile(GemmTile::of(target, term)), lanes(target.lanes()) {
    group = spec.groupTiles;
    if (!group && spec.n)
      group = std::clamp<int64_t>(
          llvm::divideCeil(*spec.n, tile.columns()) / (shifts() ? 1 : kTasks), 1, 8);
    if (!group)
      group = 2;
    int64_t block = shifts() ? std::min(spec.depthBlock, kTableDepth) : spec.depthBlock;
    passes = spec.k ? std::max<int64_t>(1, (*spec.k + block / 2) / block) : 0;
    depth = passes == 0 ? block
                        : llvm::alignTo((*spec.k + passes - 1) / passes, passes == 1 ? 1
                                                                         : shifts()  ? kTableDepth
                                                                                     : kWordStep);
    cachedRowTiles = std::max<int64_t>(4, kCachedBytes / (4 * depth * tile.rows + 1));
    if (shifts()) {
      parts = spec.wide ? 2 : 1;
      tile.rows /= parts;
      cachedRowTiles = 1;
      tables = depth * tile.rows * parts * tableEntries(target, spec.codes.bits);
    }
    narrow = spec.columns == GemmColumns::I8Panels ? GemmTerm::ProductI8
             : coded() && !shifts()                ? productWithCodes(spec.codes.bits)
                                                   : term;
    if (narrow != term) {
      directRows = coded() ? GemmTile::of(target, narrow).rows : 2 * tile.rows;
      widens = !(spec.m && *spec.m <= directRows);
      direct = !(spec.m && *spec.m > directRows);
    }
  }
  static GemmTerm termOf(const GemmSpec &spec) {
    if (spec.columns == GemmColumns::Codes && spec.codes.rounding != ContractRounding::Exact)
      return shiftWithCodes(spec.codes.bits);
    return spec.distance ? GemmTerm::Distance : GemmTerm::Product;
  }
  bool coded() const { return spec.columns == GemmColumns::Codes; }
  bool shifts() const { return isShift(term); }
  bool onePass() const { return passes == 1; }
  /// Accumulators of a task between passes, in elements.
  int64_t sums() const {
    return onePass() ? 0 : (spec.rowBlock + 2 * tile.rows) * parts * tile.columns() * group;
  }
  int64_t widened() const { return widens ? tile.columns() * llvm::alignTo(depth, kWordStep) : 0; }
  GemmScratch scratch() const {
    GemmScratch s;
    s.fixed = llvm::alignTo(kTagBytes + 4 * (sums() + widened() + tables) + GemmScratch::slack, 64);
    s.perDepth = spec.columns == GemmColumns::Strided ? 4 * group * tile.columns() : 0;
    s.rowLimit = spec.rowBlock + 2 * tile.rows;
    return s;
  }

  static constexpr int64_t kTagBytes = 64; ///< what a worker's panels hold, see `Part`
  static constexpr int64_t kTasks = 12;    ///< wanted at least: two threads end together within 8 %
  /// Tables of a row tile stay in the second level; a multiple begins a word, whatever the bits.
  static constexpr int64_t kTableDepth = 240;
  static constexpr int64_t kCachedBytes = 640 << 10; ///< of packed A, with room for B
  const GemmSpec &spec;
  GemmTerm term;   ///< where B is f32
  GemmTerm narrow; ///< where B is what it is stored as
  GemmTile tile;
  int64_t lanes;
  int64_t cachedRowTiles;
  int64_t group;  ///< column tiles per task
  int64_t passes; ///< over K; 0: known at run time
  int64_t depth;  ///< K of one pass
  // Panels of less than f32:
  bool widens = false;    ///< they become f32 in scratch, for many rows
  bool direct = false;    ///< they may be read by the micro-kernel, for few rows
  int64_t directRows = 0; ///< the most of those
  int64_t tables = 0;     ///< elements of the tables of a row tile
  int64_t parts = 1;      ///< sums of i32 that a sum is made of, in rows of their own
};

/// How one problem falls into tasks.
struct Split {
  Value rowTiles, columnTiles, groups, rowBlocks, tasks;
};

class Emitter {
public:
  Emitter(KernelBuilder &kb, ModuleOp module, StringRef symbol, const GemmSpec &spec)
      : kb(kb), module(module), symbol(symbol), spec(spec), plan(spec, kb.target) {}

  void emit() {
    func::FuncOp multiply = kb.task(module, symbol.str() + "_multiply",
                                    [&](const KernelArgs &args) { return multiplyTask(args); });
    kb.kernel(module, symbol, [&](const KernelArgs &args) { return kernel(args, multiply); });
  }

private:
  GemmOperands bind(const KernelArgs &args) {
    GemmOperands g = spec.bind(kb, args);
    if (!g.batch)
      g.batch = kb.idx(1);
    return g;
  }
  Value batchOffset(const std::function<Value(Value)> &offset, Value batch) {
    return offset ? offset(batch) : kb.idx(0);
  }
  /// The first row of a row tile; tiles differ by at most one row.
  Value tileStart(const GemmOperands &g, Value tile, Value tiles) {
    return kb.div(kb.mul(tile, g.m), tiles);
  }
  bool readsRowInPlace(const GemmOperands &g) {
    return g.aDepth.size() == 1 && getConstantIntValue(g.aDepth[0].stride) == 1;
  }
  Value isOneRow(const GemmOperands &g) {
    if (!readsRowInPlace(g))
      return kb.constI(0, kb.b.getI1Type());
    return kb.eq(g.m, kb.idx(1));
  }

  Split split(const GemmOperands &g) {
    Split s;
    s.rowTiles = kb.ceilDiv(g.m, plan.tile.rows);
    s.columnTiles = kb.ceilDiv(g.n, plan.tile.columns());
    s.groups = kb.ceilDiv(s.columnTiles, plan.group);
    Value columnTasks = kb.mul(g.batch, s.groups);
    Value wanted = ceilDiv(kb.idx(Plan::kTasks), kb.max(columnTasks, kb.idx(1)));
    s.rowBlocks = kb.max(kb.ceilDiv(g.m, spec.rowBlock), kb.min(wanted, kb.ceilDiv(s.rowTiles, 4)));
    s.tasks = kb.mul(columnTasks, s.rowBlocks);
    return s;
  }

  Value ceilDiv(Value x, Value y) { return kb.div(kb.sub(kb.add(x, y), kb.idx(1)), y); }

  Value kernel(const KernelArgs &args, func::FuncOp multiply) {
    GemmOperands g = bind(args);
    Split s = split(g);
    // Nobody has packed anything yet.
    Type i64 = kb.b.getI64Type();
    kb.forLoop(kb.idx(0), kb.threads(args), 1, [&](Value worker) {
      Value tags = kb.gep(g.work, kb.mul(worker, plan.scratch().fixed), kb.b.getI8Type());
      kb.store(kb.constI(-1, i64), tags, kb.idx(0));
      kb.store(kb.constI(-1, i64), tags, kb.idx(1));
    });
    return kb.parallelFor(args, s.tasks, multiply);
  }

  /// A task's part of the problem. Each worker packs for itself, and keeps the panels for its next
  /// task: lines that another core has just written cost more than packing them twice. The two tags
  /// of a worker say which row block and which column group its panels hold.
  struct Part {
    Value batch, firstTile, lastTile;        // column tiles
    Value firstRowTile, lastRowTile, row;    // row tiles, first row
    Value tags, sums, widened, tables, tile; // scratch
    Value packedA, packedB;                  // panels of the row block, of the column group
    Value direct;                            // i1: narrow panels are read by the micro-kernel
  };

  void bindScratch(const KernelArgs &args, const GemmOperands &g, Part &p) {
    GemmScratch scratch = plan.scratch();
    Type i8 = kb.b.getI8Type();
    Value threads = kb.threads(args);
    p.tags = kb.gep(g.work, kb.mul(args.worker, scratch.fixed), i8);
    p.sums = kb.gep(p.tags, kb.idx(Plan::kTagBytes), i8);
    p.widened = kb.gep(p.sums, kb.idx(plan.sums()), kb.f32());
    p.tables = kb.gep(p.widened, kb.idx(plan.widened()), kb.f32());
    Value panels = kb.gep(g.work, kb.mul(threads, scratch.fixed), i8);
    if (scratch.perDepth) {
      Value own = kb.mul(g.k, scratch.perDepth);
      p.packedB = kb.gep(panels, kb.mul(args.worker, own), i8);
      panels = kb.gep(panels, kb.mul(threads, own), i8);
    }
    Value rows = kb.min(g.m, kb.idx(scratch.rowLimit));
    Value own = kb.mul(rows, kb.add(g.k, kPanelColumns));
    p.packedA = kb.gep(panels, kb.mul(args.worker, own), kb.f32());
  }

  /// Runs `pack` unless this worker's tag `number` says that `wanted` is packed.
  void unlessPacked(const Part &p, int64_t number, Value wanted, llvm::function_ref<void()> pack) {
    Type i64 = kb.b.getI64Type();
    Value tag = arith::IndexCastOp::create(kb.b, kb.loc, i64, wanted);
    Value held = kb.load(i64, p.tags, kb.idx(number));
    kb.ifThen(kb.cmp(arith::CmpIPredicate::ne, held, tag), [&] {
      pack();
      kb.store(tag, p.tags, kb.idx(number));
    });
  }

  void packRows(const GemmOperands &g, const Split &s, const Part &p, PanelPacker &packer) {
    Value source = kb.gep(g.a, batchOffset(g.aOffset, p.batch), kb.f32());
    kb.forLoop(p.firstRowTile, p.lastRowTile, 1, [&](Value tile) {
      Value first = tileStart(g, tile, s.rowTiles);
      Value limit = tileStart(g, kb.add(tile, 1), s.rowTiles);
      packer.pack(source, g.aRows, g.aDepth, g.k, first, limit, packedRow(g, p, first),
                  kb.sub(limit, first), kb.lanes());
    });
  }

  void packColumns(const GemmOperands &g, const Part &p, PanelPacker &packer) {
    Value source = kb.gep(g.b, batchOffset(g.bOffset, p.batch), kb.f32());
    Value from = kb.mul(p.firstTile, plan.tile.panels);
    Value to = kb.min(kb.mul(p.lastTile, plan.tile.panels), panelsOf(g));
    kb.forLoop(from, to, 1, [&](Value panel) {
      Value place = kb.mul(kb.mul(kb.sub(panel, from), g.k), kPanelColumns);
      packer.pack(source, g.bColumns, g.bDepth, g.k, kb.mul(panel, kPanelColumns), g.n,
                  kb.gep(p.packedB, place, kb.f32()), kb.idx(kPanelColumns), kPanelColumns);
    });
  }

  Value packedRow(const GemmOperands &g, const Part &p, Value row) {
    Value line = kb.sub(row, p.row);
    return kb.gep(p.packedA, kb.mul(line, kb.add(g.k, kPanelColumns)), kb.f32());
  }

  Value alloca(int64_t elements) {
    Value count = arith::ConstantOp::create(kb.b, kb.loc, kb.b.getI64IntegerAttr(elements));
    return LLVM::AllocaOp::create(kb.b, kb.loc, kb.ptr(), kb.f32(), count, 64);
  }

  Value multiplyTask(const KernelArgs &args) {
    PanelPacker packer(kb, module);
    Part p;
    p.tile = alloca(plan.tile.rows * plan.parts * plan.tile.columns());
    GemmOperands g = bind(args);
    Split s = split(g);
    // Consecutive tasks share a row block.
    Value group = kb.rem(args.task, s.groups), rest = kb.div(args.task, s.groups);
    Value block = kb.rem(rest, s.rowBlocks);
    p.batch = kb.div(rest, s.rowBlocks);
    p.firstTile = kb.mul(group, plan.group);
    p.lastTile = kb.min(kb.add(p.firstTile, plan.group), s.columnTiles);
    p.firstRowTile = kb.div(kb.mul(block, s.rowTiles), s.rowBlocks);
    p.lastRowTile = kb.div(kb.mul(kb.add(block, 1), s.rowTiles), s.rowBlocks);
    p.row = tileStart(g, p.firstRowTile, s.rowTiles);
    bindScratch(args, g, p);
    kb.ifThen(kb.eq(isOneRow(g), kb.constI(0, kb.b.getI1Type())),
              [&] { unlessPacked(p, 0, rest, [&] { packRows(g, s, p, packer); }); });
    if (spec.columns == GemmColumns::Strided)
      unlessPacked(p, 1, kb.add(kb.mul(p.batch, s.groups), group),
                   [&] { packColumns(g, p, packer); });
    if (plan.direct)
      p.direct = plan.widens ? kb.cmp(arith::CmpIPredicate::sle, g.m, kb.idx(plan.directRows))
                             : kb.constI(1, kb.b.getI1Type());

    if (plan.onePass()) {
      pass(g, s, p, kb.idx(0), g.k, /*add=*/{}, /*last=*/{});
    } else {
      // A K of 0 still needs one pass, for its zeros.
      Value end = kb.max(g.k, kb.idx(1));
      kb.forLoop(kb.idx(0), end, plan.depth, [&](Value from) {
        Value to = kb.min(kb.add(from, plan.depth), g.k);
        Value add = kb.cmp(arith::CmpIPredicate::sgt, from, kb.idx(0));
        Value last = kb.cmp(arith::CmpIPredicate::sge, kb.add(from, plan.depth), end);
        pass(g, s, p, from, kb.sub(to, from), add, last);
      });
    }
    return g.status ? g.status() : Value();
  }

  /// All tiles of the part over K in [from, from + depth).
  void pass(const GemmOperands &g, const Split &s, const Part &p, Value from, Value depth,
            Value add, Value last) {
    // Rows whose A stays in the second-level cache while the column tiles pass by.
    kb.forLoop(p.firstRowTile, p.lastRowTile, plan.cachedRowTiles, [&](Value firstRowTile) {
      Value lastRowTile = kb.min(kb.add(firstRowTile, plan.cachedRowTiles), p.lastRowTile);
      if (plan.shifts())
        makeTables(g, s, p, firstRowTile, from, depth);
      kb.forLoop(p.firstTile, p.lastTile, 1, [&](Value tile) {
        if (plan.widens) {
          auto widen = [&] { widenTile(g, p, tile, from, depth); };
          if (plan.direct)
            kb.ifThen(kb.eq(p.direct, kb.constI(0, kb.b.getI1Type())), widen);
          else
            widen();
        }
        kb.forLoop(firstRowTile, lastRowTile, 1, [&](Value rowTile) {
          Value row = tileStart(g, rowTile, s.rowTiles);
          Value rows = kb.sub(tileStart(g, kb.add(rowTile, 1), s.rowTiles), row);
          Value a = plan.shifts() ? p.tables : panelOfA(g, p, row, rows, from);
          Value memory = p.tile;
          if (!plan.onePass()) {
            Value before = kb.mul(kb.sub(row, p.row), plan.group);
            Value number = kb.add(before, kb.mul(kb.sub(tile, p.firstTile), rows));
            memory = kb.gep(p.sums, kb.mul(number, plan.parts * plan.tile.columns()), kb.f32());
          }
          auto fetch = [&] { fetchResults(g, p, tile, row, rows); };
          if (last)
            kb.ifThen(last, fetch);
          else
            fetch();
          multiplyTile(g, p, from, depth, tile, kb.sub(rowTile, firstRowTile), rows, a, memory,
                       add);
          auto finish = [&] { epilogue(g, p, tile, row, rows, memory); };
          if (last)
            kb.ifThen(last, finish);
          else
            finish();
        });
      });
    });
  }

  /// Elements of A from step `from` on, for a row tile.
  Value panelOfA(const GemmOperands &g, const Part &p, Value row, Value rows, Value from) {
    Value a = packedRow(g, p, row);
    if (readsRowInPlace(g))
      a = kb.select(isOneRow(g), kb.gep(g.a, batchOffset(g.aOffset, p.batch), kb.f32()), a);
    return kb.gep(a, kb.mul(from, rows), kb.f32());
  }

  void makeTables(const GemmOperands &g, const Split &s, const Part &p, Value rowTile, Value from,
                  Value depth) {
    Value row = tileStart(g, rowTile, s.rowTiles);
    Value rows = kb.sub(tileStart(g, kb.add(rowTile, 1), s.rowTiles), row);
    func::CallOp::create(
        kb.b, kb.loc, gemmTables(kb, module, spec.codes, spec.wide),
        ValueRange{panelOfA(g, p, row, rows, from), p.tables, kb.mul(rows, depth)});
  }

  Value panelsOf(const GemmOperands &g) { return kb.ceilDiv(g.n, kPanelColumns); }

  /// Elements between the panels of a tile; 0 where the second lies past the end of B, so that it
  /// is never read.
  Value panelStride(const GemmOperands &g, Value tile, Value stride) {
    if (plan.tile.panels == 1 || plan.shifts() || (spec.n && *spec.n % plan.tile.columns() == 0))
      return stride;
    Value second = kb.add(kb.mul(tile, plan.tile.panels), 1);
    return kb.select(kb.lt(second, panelsOf(g)), stride, kb.idx(0));
  }

  /// Where the last panel of a column tile starts, from the first.
  Value lastPanel(const GemmOperands &g, Value tile, Value panel) {
    Value left = kb.sub(panelsOf(g), kb.mul(tile, plan.tile.panels));
    return kb.mul(kb.sub(kb.min(left, kb.idx(plan.tile.panels)), kb.idx(1)), panel);
  }

  Type storedType() {
    return plan.coded()                            ? Type(kb.b.getI32Type())
           : spec.columns == GemmColumns::I8Panels ? Type(kb.b.getI8Type())
                                                   : kb.f32();
  }
  /// Where elements of B lie in a panel: stored elements of `depth` lines of 16.
  Value storedLines(Value depth) {
    return kb.mul(plan.coded() ? kb.ceilDiv(depth, spec.codes.perWord()) : depth, kPanelColumns);
  }
  /// Elements between panels of f32 that were stored otherwise.
  Value widenedPanel(Value depth) {
    return kb.mul(plan.coded() ? kb.roundUp(depth, spec.codes.perWord()) : depth, kPanelColumns);
  }

  /// The panels of one column tile as f32.
  void widenTile(const GemmOperands &g, const Part &p, Value tile, Value from, Value depth) {
    Value first = kb.mul(tile, plan.tile.panels);
    Value end = kb.min(kb.add(first, plan.tile.panels), panelsOf(g));
    Value base = kb.gep(g.b, batchOffset(g.bOffset, p.batch), storedType());
    kb.forLoop(first, end, 1, [&](Value panel) {
      Value line = kb.add(kb.mul(panel, storedLines(g.k)), storedLines(from));
      Value source = kb.gep(base, line, storedType());
      Value target = kb.gep(p.widened, kb.mul(kb.sub(panel, first), widenedPanel(depth)), kb.f32());
      if (plan.coded())
        func::CallOp::create(kb.b, kb.loc, gemmDecode(kb, module, spec.codes.bits),
                             ValueRange{source, target, depth, kb.constF(spec.codes.scale())});
      else
        func::CallOp::create(kb.b, kb.loc, gemmWiden(kb, module),
                             ValueRange{source, target, kb.mul(depth, kPanelColumns)});
    });
  }

  /// `visit`: how many row tiles have met this column tile before.
  void multiplyTile(const GemmOperands &g, const Part &p, Value from, Value depth, Value tile,
                    Value visit, Value rows, Value a, Value memory, Value add) {
    if (!add)
      add = kb.constI(0, kb.b.getI1Type());
    auto inPlace = [&] {
      Type element = storedType();
      Value panel = storedLines(g.k);
      Value offset = kb.add(kb.mul(kb.mul(tile, plan.tile.panels), panel), storedLines(from));
      Value b;
      if (spec.columns == GemmColumns::Strided) {
        Value before = kb.mul(kb.mul(p.firstTile, plan.tile.panels), panel);
        b = kb.gep(p.packedB, kb.sub(offset, before), element);
      } else
        b = kb.gep(g.b, kb.add(batchOffset(g.bOffset, p.batch), offset), element);
      // The first visits fetch the panels of the next column tile, one each (past the end, nothing
      // happens). A single visit lives on this tile's bandwidth: it looks a page ahead.
      Value fetched = kb.mul(kb.add(visit, plan.tile.panels), panel);
      Value ahead = kb.select(kb.lt(visit, kb.idx(plan.tile.panels)), fetched, kb.idx(0));
      int64_t page = 4096 * 8 / element.getIntOrFloatBitWidth();
      ahead = kb.select(kb.cmp(arith::CmpIPredicate::sle, g.m, kb.idx(plan.tile.rows)),
                        kb.idx(page), ahead);
      Values args{a, b, panelStride(g, tile, panel), depth, memory, add, kb.gep(b, ahead, element)};
      if (plan.shifts())
        args.push_back(lastPanel(g, tile, panel));
      else if (plan.coded())
        args.push_back(kb.constF(spec.codes.scale()));
      callGemmMicro(kb, module, kb.mul(rows, plan.parts), plan.narrow, args);
      return Values();
    };
    auto widened = [&] {
      callGemmMicro(
          kb, module, rows, plan.term,
          {a, p.widened, panelStride(g, tile, widenedPanel(depth)), depth, memory, add, a});
      return Values();
    };
    if (!plan.widens)
      inPlace();
    else if (!plan.direct)
      widened();
    else
      kb.ifElse(p.direct, {}, inPlace, widened);
  }

  /// The lines of a tile of C come from far and in no order that hardware foresees: they are asked
  /// for before the sums are made.
  void fetchResults(const GemmOperands &g, const Part &p, Value tile, Value row, Value rows) {
    if (!g.fetch)
      return;
    Value column = kb.mul(tile, plan.tile.columns());
    kb.forLoop(kb.idx(0), rows, 1, [&](Value i) {
      for (int64_t line = 0; line < plan.tile.columns(); line += kPanelColumns)
        g.fetch(kb, {{}, p.batch, kb.add(row, i), kb.add(column, line), plan.lanes, {}});
    });
  }

  /// A vector of sums in row `i` of a tile.
  Value loadSums(Value memory, Value i, Value lane) {
    auto part = [&](int64_t number) {
      Value line = kb.add(kb.mul(i, plan.parts), number);
      Type element = plan.shifts() ? Type(kb.b.getI32Type()) : kb.f32();
      return kb.load(kb.vec(plan.lanes, element), memory,
                     kb.add(kb.mul(line, plan.tile.columns()), lane));
    };
    return plan.parts == 1 ? part(0) : joinHalves(kb, part(0), part(1));
  }

  void epilogue(const GemmOperands &g, const Part &p, Value tile, Value row, Value rows,
                Value memory) {
    int64_t columns = plan.tile.columns(), lanes = plan.lanes;
    Value column = kb.mul(tile, columns);
    auto point = [&](Value i, Value lane, Value partial) {
      Value sums = loadSums(memory, i, lane);
      g.epilogue(kb, {sums, p.batch, kb.add(row, i), kb.add(column, lane), lanes, partial});
    };
    auto full = [&] {
      kb.forLoop(kb.idx(0), rows, 1, [&](Value i) {
        for (int64_t lane = 0; lane < columns; lane += lanes)
          point(i, kb.idx(lane), {});
      });
      return Values();
    };
    auto partial = [&] {
      Value left = kb.sub(g.n, column);
      kb.forLoop(kb.idx(0), rows, 1, [&](Value i) {
        kb.forLoop(kb.idx(0), left, lanes,
                   [&](Value lane) { point(i, lane, kb.min(kb.sub(left, lane), kb.idx(lanes))); });
      });
      return Values();
    };
    if (spec.n && *spec.n % columns == 0)
      full();
    else if (spec.n && *spec.n < columns)
      partial();
    else
      kb.ifElse(kb.cmp(arith::CmpIPredicate::sle, kb.add(column, columns), g.n), {}, full, partial);
  }

  KernelBuilder &kb;
  ModuleOp module;
  StringRef symbol;
  const GemmSpec &spec;
  Plan plan;
};

} // namespace

GemmScratch gemmScratch(const GemmSpec &spec, const CpuTarget &target) {
  return Plan(spec, target).scratch();
}

KernelPlan gemmPlan(const GemmSpec &spec, const CpuTarget &target, int64_t batch, int64_t m,
                    int64_t n, int64_t k) {
  if (batch * m * n == 0)
    return {};
  Plan plan(spec, target);
  auto pieces = [](int64_t x, int64_t y) { return (x + y - 1) / std::max<int64_t>(y, 1); };
  int64_t rowTiles = pieces(m, plan.tile.rows), columnTiles = pieces(n, plan.tile.columns());
  int64_t groups = pieces(columnTiles, plan.group);
  int64_t wanted = pieces(Plan::kTasks, batch * groups);
  int64_t rowBlocks = std::max(pieces(m, spec.rowBlock), std::min(wanted, pieces(rowTiles, 4)));
  KernelPlan result;
  result.tasks = batch * groups * rowBlocks;
  result.rows = static_cast<double>(m) / rowTiles;
  result.columns = plan.tile.columns();
  result.padding = columnTiles * result.columns / n;
  double packed = m == 1 ? 0 : static_cast<double>(m) * k;
  if (spec.columns == GemmColumns::Strided)
    packed += static_cast<double>(rowBlocks) * k * n;
  result.copied = 4.0 * batch * packed;
  return result;
}

void emitGemm(KernelBuilder &kb, ModuleOp module, StringRef symbol, const GemmSpec &spec) {
  Emitter(kb, module, symbol, spec).emit();
}

} // namespace attune::codegen
