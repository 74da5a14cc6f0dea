#include "attune/dialect/ops/Support.h"

using namespace mlir;
using namespace attune;

ParseResult attune::parseMomentum(OpAsmParser &parser,
                                  std::optional<OpAsmParser::UnresolvedOperand> &mu, Type &muType,
                                  std::optional<OpAsmParser::UnresolvedOperand> &step,
                                  Type &stepType) {
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  SmallVector<Type> types;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseOperandList(operands) || parser.parseColonTypeList(types))
    return failure();
  if (operands.empty() || operands.size() > 2 || operands.size() != types.size())
    return parser.emitError(loc, "expects mu and step, or step alone, each with its type");
  step = operands.back();
  stepType = types.back();
  if (operands.size() == 2) {
    mu = operands.front();
    muType = types.front();
  }
  return success();
}

void attune::printMomentum(OpAsmPrinter &printer, Operation *, Value mu, Type, Value step, Type) {
  SmallVector<Value> operands;
  for (Value operand : {mu, step})
    if (operand)
      operands.push_back(operand);
  printer << operands << " : " << TypeRange(ValueRange(operands));
}
