#include "attune/test/ptxemu/Decoder.h"
#include "attune/test/ptxemu/Warp.h"
#include <algorithm>

namespace attune::ptx {

static const InstructionSet &instructionSet() {
  static const InstructionSet set = [] {
    InstructionSet set;
    for (auto add : {addArithmetic, addAsyncCopies, addAtomics, addBarriers, addBits,
                     addComparisons, addControl, addConversions, addFloats, addHalves, addMatrices,
                     addMbarriers, addMemory, addMoves, addProducts, addWarpProducts, addWarps})
      add(set);
    return set;
  }();
  return set;
}

static uint64_t roundUp(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

Decoder::Decoder(const Module &module, const Kernel &kernel, const Globals &globals,
                 Program &program)
    : module(module), kernel(kernel), program(program), globals(globals) {
  for (Type type : kernel.registers)
    registerRows.push_back(scratchRow(type));
  uint64_t dynamicAlign = 16;
  for (const Section *section : {&module.shared, &kernel.shared})
    for (const auto &[name, variable] : section->variables)
      if (variable.dynamic)
        dynamicAlign = std::max(dynamicAlign, variable.align);
  program.sharedBytes = roundUp(module.shared.bytes, 16) + kernel.shared.bytes;
  program.dynamicBase = roundUp(program.sharedBytes, dynamicAlign);
  program.localBytes = roundUp(kernel.local.bytes, 16);
}

void Decoder::begin(const Statement &next) {
  statement = &next;
  modifiers = next.modifiers;
  position = 0;
  lastAddress = nullptr;
  rowCount = 0;
  out = {};
  if (next.guard) {
    out.guard = registerRows[next.guard->index];
    out.guardNegated = next.guard->negated;
  }
}

void Decoder::finish() {
  if (!modifiers.empty())
    unsupported("'.", modifiers.front(), "'");
  if (more())
    unsupported("operand ", position + 1);
}

void Decoder::raise(const std::string &what) const {
  fail(Fault::Unsupported, "line ", statement->line, " of kernel '", kernel.name, "': ", what,
       " is not interpreted in `", statement->text, "`");
}

//===------------------------------------------------------------------------------------------===//
// Modifiers
//===------------------------------------------------------------------------------------------===//

bool Decoder::take(std::string_view modifier) {
  auto found = std::find(modifiers.begin(), modifiers.end(), modifier);
  if (found == modifiers.end())
    return false;
  modifiers.erase(found);
  return true;
}

int Decoder::oneOf(std::initializer_list<std::string_view> candidates) {
  int index = 0;
  for (std::string_view candidate : candidates) {
    if (take(candidate))
      return index;
    ++index;
  }
  return -1;
}

int Decoder::requireOneOf(std::initializer_list<std::string_view> candidates) {
  int index = oneOf(candidates);
  if (index < 0)
    unsupported("the form without .", *candidates.begin(), " or its like");
  return index;
}

Type Decoder::typeOr(Type otherwise) {
  for (auto it = modifiers.begin(); it != modifiers.end(); ++it)
    if (auto type = parseType(*it)) {
      modifiers.erase(it);
      return *type;
    }
  return otherwise;
}

Type Decoder::type() {
  Type type = typeOr(Type::None);
  if (type == Type::None)
    unsupported("the form without a type");
  return type;
}

Type Decoder::firstType() const {
  for (const std::string &modifier : modifiers)
    if (auto type = parseType(modifier))
      return *type;
  return Type::None;
}

Rounding Decoder::rounding(Rounding otherwise) {
  switch (oneOf({"rn", "rz", "rm", "rp", "rna"})) {
  case 0:
    return Rounding::Nearest;
  case 1:
    return Rounding::Zero;
  case 2:
    return Rounding::Down;
  case 3:
    return Rounding::Up;
  case 4:
    return Rounding::NearestAway;
  default:
    return otherwise;
  }
}

std::string Decoder::takePrefix(std::string_view prefix) {
  auto found = std::find_if(modifiers.begin(), modifiers.end(),
                            [&](const std::string &m) { return m.starts_with(prefix); });
  if (found == modifiers.end())
    return {};
  std::string result = *found;
  modifiers.erase(found);
  return result;
}

//===------------------------------------------------------------------------------------------===//
// Operands
//===------------------------------------------------------------------------------------------===//

const Operand &Decoder::peek() const {
  if (!more())
    unsupported("the form with ", position, " operands");
  return statement->operands[position];
}

uint32_t Decoder::addRow(uint32_t row) {
  if (rowCount == out.rows.size())
    unsupported("the number of operands");
  return out.rows[rowCount++] = row;
}

uint32_t Decoder::scratchRow(Type type) {
  uint32_t row = program.words;
  if (type == Type::Pred) {
    ++program.words;
    return row;
  }
  row = uint32_t(roundUp(row, 16));
  program.words = row + (bitsOf(type) == 64 ? 64 : 32);
  return row;
}

uint32_t Decoder::constantRow(uint64_t value, Type type) {
  uint32_t words = type == Type::Pred ? 1 : bitsOf(type) == 64 ? 64 : 32;
  if (words == 1)
    value = value ? ~0u : 0;
  else if (bitsOf(type) < 64)
    value &= (uint64_t(1) << bitsOf(type)) - 1;
  auto [found, isNew] = constantRows.insert({{words, value}, 0});
  if (isNew) {
    found->second = scratchRow(type);
    program.constants.push_back({found->second, words, value});
  }
  return found->second;
}

uint64_t Decoder::addressOf(std::string_view name) const {
  if (const Variable *variable = kernel.parameters.find(name))
    return parameterWindow | variable->offset;
  if (const Variable *variable = kernel.local.find(name))
    return localWindow | variable->offset;
  if (const Variable *variable = kernel.shared.find(name))
    return variable->dynamic ? program.dynamicBase
                             : roundUp(module.shared.bytes, 16) + variable->offset;
  if (const Variable *variable = module.shared.find(name))
    return variable->dynamic ? program.dynamicBase : variable->offset;
  if (auto found = globals.find(name); found != globals.end())
    return found->second;
  unsupported("the name '", name, "'");
}

std::optional<uint32_t> Decoder::specialRow(std::string_view name) {
  static const std::map<std::string_view, Special> single = {
      {"%cluster_ctarank", Special::ClusterCtarank},
      {"%cluster_nctarank", Special::ClusterNctarank},
      {"%laneid", Special::LaneId},
      {"%warpid", Special::WarpId},
      {"%nwarpid", Special::NwarpId},
      {"%smid", Special::SmId},
      {"%nsmid", Special::NsmId},
      {"%dynamic_smem_size", Special::DynamicShared},
      {"%total_smem_size", Special::TotalShared},
      {"%lanemask_eq", Special::MaskEq},
      {"%lanemask_lt", Special::MaskLt},
      {"%lanemask_le", Special::MaskLe},
      {"%lanemask_gt", Special::MaskGt},
      {"%lanemask_ge", Special::MaskGe}};
  static const std::map<std::string_view, Special> vectors = {
      {"%tid", Special::TidX},
      {"%ntid", Special::NtidX},
      {"%ctaid", Special::CtaidX},
      {"%nctaid", Special::NctaidX},
      {"%clusterid", Special::ClusterIdX},
      {"%nclusterid", Special::NclusterIdX},
      {"%cluster_ctaid", Special::ClusterCtaidX},
      {"%cluster_nctaid", Special::ClusterNctaidX}};
  Special special;
  if (auto found = single.find(name); found != single.end()) {
    special = found->second;
  } else {
    size_t dot = name.find('.');
    auto vector = vectors.find(name.substr(0, dot));
    size_t axis = dot == name.npos || name.size() != dot + 2
                      ? 3
                      : std::string_view("xyz").find(name[dot + 1]);
    if (vector == vectors.end() || axis > 2)
      return std::nullopt;
    special = Special(unsigned(vector->second) + axis);
  }
  auto [found, isNew] = specialRows.insert({special, 0});
  if (isNew) {
    found->second = scratchRow(Type::B32);
    program.specials.push_back({found->second, special});
  }
  return found->second;
}

uint32_t Decoder::rowOf(const Operand &operand, Type type, bool destination, unsigned *bits) {
  unsigned found = bitsOf(type);
  uint32_t row = none;
  switch (operand.kind) {
  case Operand::Register:
    found = bitsOf(kernel.registers[operand.index]);
    row = registerRows[operand.index];
    break;
  case Operand::Sink:
    row = scratchRow(type);
    break;
  case Operand::Constant: {
    uint64_t value = operand.bits;
    if (operand.literal == Type::F64 && bitsOf(type) == 32)
      value = std::bit_cast<uint32_t>(float(std::bit_cast<double>(value)));
    if (destination || (operand.literal != Type::None && bitsOf(type) < 32))
      unsupported("the constant");
    row = constantRow(value, type);
    break;
  }
  case Operand::Name:
    if (!destination)
      row = constantRow(addressOf(operand.name) + uint64_t(operand.offset), type);
    break;
  case Operand::Special:
    if (auto special = specialRow(operand.name); special && !destination) {
      row = *special;
      found = 32;
    }
    break;
  default:
    break;
  }
  if (row == none || operand.negated)
    unsupported("operand ", position + 1);
  bool predicate = found == 1 || bitsOf(type) == 1;
  if (bits && found >= bitsOf(type) && !predicate)
    *bits = found;
  else if (found != bitsOf(type))
    unsupported("a register of ", found, " bits for .", name(type));
  return row;
}

uint32_t Decoder::destination(Type type) {
  uint32_t row = addRow(rowOf(peek(), type, true));
  pass();
  return row;
}

uint32_t Decoder::source(Type type) {
  uint32_t row = addRow(rowOf(peek(), type, false));
  pass();
  return row;
}

uint32_t Decoder::predicate(uint32_t flag) {
  Operand operand = peek();
  if (operand.negated)
    out.flags |= flag;
  operand.negated = false;
  uint32_t row = addRow(rowOf(operand, Type::Pred, false));
  pass();
  return row;
}

unsigned Decoder::wideDestination(Type type) {
  unsigned bits = bitsOf(type);
  addRow(rowOf(peek(), type, true, &bits));
  pass();
  return bits;
}

unsigned Decoder::wideSource(Type type) {
  unsigned bits = bitsOf(type);
  addRow(rowOf(peek(), type, false, &bits));
  pass();
  return bits;
}

bool Decoder::pairDestination(Type first, Type second) {
  const Operand &operand = peek();
  if (operand.kind != Operand::Pair) {
    destination(first);
    addRow(scratchRow(second));
    return false;
  }
  addRow(rowOf(operand.parts[0], first, true));
  addRow(rowOf(operand.parts[1], second, true));
  pass();
  return true;
}

void Decoder::address(unsigned slot) {
  const Operand &operand = peek();
  if (operand.kind != Operand::Address)
    unsupported("operand ", position + 1, ", which is not an address,");
  const Operand &base = operand.parts[0];
  unsigned bits = 64;
  if (base.kind == Operand::Register)
    bits = bitsOf(kernel.registers[base.index]);
  if (bits < 32)
    unsupported("an address of ", bits, " bits");
  Address &address = out.addresses[slot];
  address.wide = bits == 64;
  address.row = rowOf(base, address.wide ? Type::B64 : Type::B32, false);
  address.offset = operand.offset;
  lastAddress = &operand;
  if (operand.parts.size() > 2)
    unsupported("the address");
  pass();
}

unsigned Decoder::coordinates() {
  if (!lastAddress || lastAddress->parts.size() != 2 ||
      lastAddress->parts[1].kind != Operand::Vector)
    unsupported("the address without coordinates");
  const auto &parts = lastAddress->parts[1].parts;
  for (const Operand &part : parts)
    program.lists.push_back(rowOf(part, Type::S32, false));
  lastAddress = nullptr;
  return unsigned(parts.size());
}

unsigned Decoder::vector(Type type, bool isDestination) {
  const Operand &operand = peek();
  if (operand.kind != Operand::Vector) {
    program.lists.push_back(rowOf(operand, type, isDestination));
    pass();
    return 1;
  }
  for (const Operand &part : operand.parts)
    program.lists.push_back(rowOf(part, type, isDestination));
  pass();
  return unsigned(operand.parts.size());
}

uint64_t Decoder::immediate() {
  const Operand &operand = peek();
  if (operand.kind != Operand::Constant)
    unsupported("operand ", position + 1, ", which is not a constant,");
  pass();
  return operand.bits;
}

//===------------------------------------------------------------------------------------------===//
// Kernels
//===------------------------------------------------------------------------------------------===//

Program decode(const Module &module, const Kernel &kernel, const Globals &globals) {
  Program program;
  program.name = kernel.name;
  Decoder decoder(module, kernel, globals, program);
  for (const std::string &name : kernel.parameterOrder)
    program.parameters.push_back(*kernel.parameters.find(name));
  program.parameterBytes = kernel.parameters.bytes;
  program.requiredBlock = kernel.requiredBlock;
  program.largestBlock = kernel.largestBlock;
  program.cluster = kernel.cluster;
  for (const Statement &statement : kernel.statements) {
    program.sources.push_back({statement.line, statement.text});
    auto [first, last] = instructionSet().equal_range(statement.opcode);
    Run run = nullptr;
    for (auto it = first; it != last && !run; ++it) {
      decoder.begin(statement);
      run = it->second(decoder);
    }
    if (!run) {
      decoder.begin(statement);
      decoder.unsupported("'", statement.opcode, "'");
    }
    decoder.finish();
    decoder.out.run = run;
    program.code.push_back(decoder.out);
  }
  findJoins(program);
  return program;
}

} // namespace attune::ptx
