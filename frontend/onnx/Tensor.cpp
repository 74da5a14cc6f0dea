#include "attune/frontend/onnx/Float8.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectResourceBlobManager.h"

using namespace mlir;

namespace attune::onnx {

//===--------------------------------------------------------------------------------------------===//
// Element types
//===--------------------------------------------------------------------------------------------===//

namespace {
enum class Class { None, Float, Signed, Unsigned, Bool };
struct TypeRow {
  const char *name;
  Class kind;
  unsigned bits;
};
// Indexed by TensorProto.DataType.
constexpr TypeRow kTypes[] = {{"undefined", Class::None, 0},
                              {"float", Class::Float, 32},
                              {"uint8", Class::Unsigned, 8},
                              {"int8", Class::Signed, 8},
                              {"uint16", Class::Unsigned, 16},
                              {"int16", Class::Signed, 16},
                              {"int32", Class::Signed, 32},
                              {"int64", Class::Signed, 64},
                              {"string", Class::None, 0},
                              {"bool", Class::Bool, 8},
                              {"float16", Class::Float, 16},
                              {"double", Class::Float, 64},
                              {"uint32", Class::Unsigned, 32},
                              {"uint64", Class::Unsigned, 64},
                              {"complex64", Class::None, 0},
                              {"complex128", Class::None, 0},
                              {"bfloat16", Class::Float, 16},
                              {"float8e4m3fn", Class::Float, 8},
                              {"float8e4m3fnuz", Class::Float, 8},
                              {"float8e5m2", Class::Float, 8},
                              {"float8e5m2fnuz", Class::Float, 8},
                              {"uint4", Class::None, 0},
                              {"int4", Class::None, 0},
                              {"float4e2m1", Class::None, 0},
                              {"float8e8m0", Class::None, 0},
                              {"uint2", Class::None, 0},
                              {"int2", Class::None, 0}};

const TypeRow &row(int code) {
  return kTypes[code >= 0 && code < int(std::size(kTypes)) ? code : 0];
}
} // namespace

bool DType::isFloat() const { return row(code).kind == Class::Float; }
bool DType::isUnsigned() const { return row(code).kind == Class::Unsigned; }
unsigned DType::bits() const { return row(code).bits; }
std::string DType::name() const { return row(code).name; }
bool DType::isInteger() const {
  Class kind = row(code).kind;
  return kind == Class::Signed || kind == Class::Unsigned || kind == Class::Bool;
}

Type DType::type(MLIRContext *context) const {
  Builder b(context);
  if (isBool())
    return b.getI1Type();
  if (isInteger())
    return b.getIntegerType(bits());
  switch (code) {
  case 1:
    return b.getF32Type();
  case 10:
    return b.getF16Type();
  case 11:
    return b.getF64Type();
  case 16:
    return b.getBF16Type();
  case 17:
  case 18:
  case 19:
  case 20:
    return b.getI8Type();
  default:
    throw ImportError("unsupported: element type " + name() +
                      "; accepted: bool, integers of 8 to 64 bits, float8, float16, bfloat16, "
                      "float, double");
  }
}

//===--------------------------------------------------------------------------------------------===//
// Tensors
//===--------------------------------------------------------------------------------------------===//

SmallVector<int64_t> staticShape(ArrayRef<Extent> shape) {
  return llvm::to_vector(llvm::map_range(
      shape, [](const Extent &e) { return e.constant().value_or(ShapedType::kDynamic); }));
}

Tensor Tensor::make(MLIRContext *context, DType dtype, Shape shape) {
  dtype.type(context); // refuses types without a counterpart
  Tensor t;
  t.state = std::make_shared<State>();
  t.state->context = context;
  t.state->dtype = dtype;
  t.state->shape = std::move(shape);
  return t;
}

Tensor Tensor::ofValue(Value value, DType dtype, Shape shape) {
  Tensor t = make(value.getContext(), dtype, std::move(shape));
  t.state->value = value;
  return t;
}

Tensor Tensor::ofConstant(ElementsAttr attr, DType dtype) {
  Tensor t = make(attr.getContext(), dtype, {});
  for (int64_t size : cast<RankedTensorType>(attr.getType()).getShape())
    t.state->shape.push_back(size);
  t.state->constant = attr;
  return t;
}

Tensor Tensor::ofContents(MLIRContext *context, ArrayRef<Extent> contents, DType dtype,
                          Shape shape) {
  Tensor t = make(context, dtype, std::move(shape));
  t.state->contents.emplace(contents.begin(), contents.end());
  t.state->contentsKnown = true;
  return t;
}

Tensor Tensor::ofUniform(TypedAttr value, DType dtype, Shape shape) {
  Tensor t = make(value.getContext(), dtype, std::move(shape));
  t.state->uniform = value;
  if (llvm::all_of(t.shape(), [](const Extent &e) { return e.constant().has_value(); }))
    t.state->constant = DenseElementsAttr::get(t.type(value.getContext()), Attribute(value));
  return t;
}

ArrayRef<Tensor> Tensor::columns() const { return state->columns; }

/// The ramp of a constant table such as position ids.
static std::optional<Ramp> findRamp(ArrayRef<int64_t> values, const Shape &shape) {
  if (values.empty())
    return std::nullopt;
  if (llvm::all_equal(values))
    return Ramp{-1, values[0], 0};
  int64_t inner = values.size();
  for (auto [axis, e] : llvm::enumerate(shape)) {
    int64_t size = *e.constant();
    inner /= size;
    if (size == 1)
      continue;
    // Differences of huge values could wrap.
    int64_t first = values[0], step = values[inner] - first;
    bool small = std::abs(first) < (1 << 30) && std::abs(step) < (1 << 30);
    auto fits = [&](int64_t i) { return values[i] == first + step * (i / inner % size); };
    if (small && llvm::all_of(llvm::seq<int64_t>(0, values.size()), fits))
      return Ramp{int64_t(axis), first, step};
  }
  return std::nullopt;
}

std::optional<Ramp> Tensor::ramp() const {
  if (state->ramp || state->rampKnown)
    return state->ramp;
  state->rampKnown = true;
  if (!state->dtype.isInteger() || state->dtype.isBool())
    return std::nullopt;
  if (contents() && !contents()->empty() && llvm::all_equal(*contents()))
    return state->ramp = Ramp{-1, contents()->front(), 0};
  if (auto values = constantInts(1 << 16))
    state->ramp = findRamp(*values, state->shape);
  return state->ramp;
}

Extent Tensor::size() const {
  Extent product = 1;
  for (const Extent &e : state->shape)
    product = product * e;
  return product;
}

RankedTensorType Tensor::type(MLIRContext *context) const {
  return RankedTensorType::get(staticShape(state->shape), state->dtype.type(context));
}

// Resources hold plain little-endian elements.
template <typename T> static T readAs(const char *data, DType dtype) {
  auto load = [&](auto sample) {
    memcpy(&sample, data, sizeof sample);
    return static_cast<T>(sample);
  };
  switch (int(dtype)) {
  case 1:
    return load(float());
  case 11:
    return load(double());
  case 2:
    return load(uint8_t());
  case 3:
    return load(int8_t());
  case 4:
    return load(uint16_t());
  case 5:
    return load(int16_t());
  case 6:
    return load(int32_t());
  case 7:
    return load(int64_t());
  case 9:
    return load(uint8_t()) != 0;
  case 12:
    return load(uint32_t());
  default:
    return load(uint64_t());
  }
}

template <typename T>
static std::optional<std::vector<T>> readAll(ElementsAttr attr, DType dtype, int64_t limit) {
  if (!attr || attr.getNumElements() > limit)
    return std::nullopt;
  std::vector<T> values;
  values.reserve(attr.getNumElements());
  if (auto dense = dyn_cast<DenseElementsAttr>(attr)) {
    if (dtype.isFloat8()) {
      for (const APInt &v : dense.getValues<APInt>())
        values.push_back(static_cast<T>(decodeFloat8(v.getZExtValue(), dtype)));
    } else if (dtype.isFloat()) {
      for (const APFloat &v : dense.getValues<APFloat>()) {
        bool lost;
        APFloat wide = v;
        wide.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
        values.push_back(static_cast<T>(wide.convertToDouble()));
      }
    } else {
      bool isSigned = !dtype.isUnsigned() && !dtype.isBool();
      for (const APInt &v : dense.getValues<APInt>())
        values.push_back(static_cast<T>(isSigned ? v.getSExtValue() : v.getZExtValue()));
    }
    return values;
  }
  auto resource = dyn_cast<DenseResourceElementsAttr>(attr);
  if (!resource || (dtype.isFloat() && dtype.bits() < 32))
    return std::nullopt;
  ArrayRef<char> data = resource.getData();
  unsigned width = dtype.bits() / 8;
  for (int64_t i = 0, n = attr.getNumElements(); i < n; ++i)
    values.push_back(readAs<T>(data.data() + i * width, dtype));
  return values;
}

static APInt toInt(int64_t value, DType dtype) {
  return APInt(64, value, true).sextOrTrunc(dtype.isBool() ? 1 : dtype.bits());
}

ElementsAttr Tensor::constant() const {
  if (state->constant || !state->contents)
    return state->constant;
  SmallVector<APInt> values;
  for (const Extent &e : *state->contents) {
    auto c = e.constant();
    if (!c)
      return {};
    values.push_back(toInt(*c, state->dtype));
  }
  return state->constant = DenseElementsAttr::get(type(state->context), values);
}

const std::optional<std::vector<Extent>> &Tensor::contents() const {
  if (!state->contentsKnown && state->constant && state->dtype.isInteger()) {
    state->contentsKnown = true;
    if (auto values = readAll<int64_t>(state->constant, state->dtype, kMaxTracked))
      state->contents.emplace(values->begin(), values->end());
  }
  return state->contents;
}

std::optional<std::vector<int64_t>> Tensor::constantInts(int64_t limit) const {
  if (!state->dtype.isInteger())
    return std::nullopt;
  if (contents()) {
    std::vector<int64_t> values;
    for (const Extent &e : *contents()) {
      if (!e.constant())
        return std::nullopt;
      values.push_back(*e.constant());
    }
    return values;
  }
  return readAll<int64_t>(state->constant, state->dtype, limit);
}

std::optional<std::vector<double>> Tensor::constantFloats(int64_t limit) const {
  if (auto ints = constantInts(limit))
    return std::vector<double>(ints->begin(), ints->end());
  return readAll<double>(state->constant, state->dtype, limit);
}

TypedAttr Tensor::splat() const {
  if (state->uniform)
    return state->uniform;
  auto dense = dyn_cast_or_null<DenseElementsAttr>(constant());
  if (!dense || !dense.isSplat())
    return {};
  return cast<TypedAttr>(dense.getSplatValue<Attribute>());
}

Value Tensor::value(OpBuilder &builder, Location loc, Extents &extents) const {
  if (state->value)
    return state->value;
  if (state->uniform && !state->constant) {
    SmallVector<OpFoldResult> sizes;
    for (const Extent &e : state->shape)
      sizes.push_back(extents.ofr(builder, loc, e));
    Value init = tensor::EmptyOp::create(builder, loc, sizes, state->uniform.getType());
    Value fill = arith::ConstantOp::create(builder, loc, state->uniform);
    return linalg::FillOp::create(builder, loc, fill, init).getResult(0);
  }
  OpBuilder header(extents.header());
  if (ElementsAttr attr = constant())
    return state->value = arith::ConstantOp::create(header, loc, cast<TypedAttr>(attr));
  bool early =
      llvm::all_of(*state->contents, [&](const Extent &e) { return extents.fromSymbols(e); });
  OpBuilder &place = early ? header : builder;
  SmallVector<Value> elements;
  Type elementType = state->dtype.type(place.getContext());
  for (const Extent &e : *state->contents) {
    Value index = extents.value(place, loc, e);
    elements.push_back(arith::IndexCastOp::create(place, loc, elementType, index));
  }
  Value tensor = tensor::FromElementsOp::create(place, loc, type(place.getContext()), elements);
  if (early)
    state->value = tensor;
  return tensor;
}

} // namespace attune::onnx
