#include "attune/codegen/halide/Scratch.h"

namespace hl = Halide;
using namespace Halide::Internal;

namespace attune::codegen::halide {
namespace {

/// Allocations up to this size are on the stack, as Halide decides for those of constant size.
constexpr int64_t kStackBytes = 16 << 10;
/// Vectors of any target may be stored aligned, and workers share no cache line.
constexpr int64_t kAlign = 128;

/// Postfix code of an int64 expression over parameters.
class SizeCode : public IRVisitor {
public:
  std::vector<SizeStep> steps;
  bool known = true;

  explicit SizeCode(const hl::Expr &size) { size.accept(this); }

private:
  using IRVisitor::visit;
  using Op = SizeStep::Op;

  template <typename T> void binary(const T *op, Op code) {
    op->a.accept(this);
    op->b.accept(this);
    steps.push_back({code});
  }
  void visit(const Add *op) override { binary(op, Op::Add); }
  void visit(const Sub *op) override { binary(op, Op::Sub); }
  void visit(const Mul *op) override { binary(op, Op::Mul); }
  void visit(const Min *op) override { binary(op, Op::Min); }
  void visit(const Max *op) override { binary(op, Op::Max); }
  void visit(const Div *op) override {
    known &= is_positive_const(op->b);
    binary(op, Op::Div);
  }
  void visit(const Cast *op) override {
    known &= op->type.is_int() && op->type.bits() >= 32 && op->value.type().is_int();
    op->value.accept(this);
  }
  void visit(const IntImm *op) override { steps.push_back({Op::Constant, op->value}); }
  void visit(const Variable *op) override {
    const std::string prefix = "dim";
    known &= op->name.compare(0, prefix.size(), prefix) == 0 && op->param.defined();
    if (known)
      steps.push_back({Op::Dim, std::stoll(op->name.substr(prefix.size()))});
  }
  void visit(const Select *op) override {
    // Either may be taken; the larger is enough for both.
    op->true_value.accept(this);
    op->false_value.accept(this);
    steps.push_back({Op::Max});
  }
  template <typename T> void refuse(const T *) { known = false; }
  void visit(const Mod *op) override { refuse(op); }
  void visit(const Call *op) override {
    if (op->is_intrinsic(Call::likely) || op->is_intrinsic(Call::likely_if_innermost))
      op->args[0].accept(this);
    else
      refuse(op);
  }
  void visit(const Load *op) override { refuse(op); }
  void visit(const Let *op) override { refuse(op); }
  void visit(const UIntImm *op) override { refuse(op); }
  void visit(const FloatImm *op) override { refuse(op); }
};

} // namespace

Stmt UseScratch::visit(const LetStmt *op) {
  if (op->value.type() != hl::Int(32))
    return IRMutator::visit(op);
  ScopedBinding<Interval> bind(scope, op->name, bounds_of_expr_in_scope(op->value, scope));
  return IRMutator::visit(op);
}

Stmt UseScratch::visit(const For *op) {
  Interval first = bounds_of_expr_in_scope(op->min, scope);
  Interval last = bounds_of_expr_in_scope(op->min + op->extent - 1, scope);
  ScopedBinding<Interval> bind(scope, op->name, Interval(first.min, last.max));
  bool before = parallel;
  parallel |= op->for_type == ForType::Parallel;
  Stmt result = IRMutator::visit(op);
  parallel = before;
  return result;
}

Stmt UseScratch::visit(const Allocate *op) {
  int64_t constant = op->constant_allocation_size() * int64_t(op->type.bytes());
  if (op->extents.empty() || (constant > 0 && constant <= kStackBytes))
    return IRMutator::visit(op);
  hl::Expr bytes = make_const(hl::Int(64), op->type.bytes() * op->type.lanes());
  for (const hl::Expr &extent : op->extents) {
    hl::Expr most = simplify(bounds_of_expr_in_scope(extent, scope).max);
    if (!Interval(most, most).has_upper_bound())
      throw hl::CompileError("the size of a temporary has no bound");
    bytes = bytes * hl::cast<int64_t>(most);
  }
  auto number64 = [](int64_t value) { return make_const(hl::Int(64), value); };
  bytes = bytes + number64(op->padding * op->type.bytes() + 2 * kAlign - 1);
  bytes = simplify(bytes / number64(kAlign) * number64(kAlign));
  SizeCode code(bytes);
  if (!code.known)
    throw hl::CompileError("the size of a temporary is no expression of the kernel's dims");
  // Not the variable of that name: a task would capture its caller's.
  hl::Expr context =
      Call::make(hl::type_of<void *>(), Call::get_user_context, {}, Call::PureIntrinsic);
  hl::Expr number = make_const(hl::Int(32), int64_t(scratch.size()));
  scratch.push_back({std::move(code.steps), parallel});
  hl::Expr memory = Call::make(hl::type_of<void *>(), "attune_halide_scratch",
                               {context, number, bytes}, Call::Extern);
  return Allocate::make(op->name, op->type, hl::MemoryType::Heap, op->extents, op->condition,
                        mutate(op->body), memory, "halide_free", op->padding);
}

} // namespace attune::codegen::halide
