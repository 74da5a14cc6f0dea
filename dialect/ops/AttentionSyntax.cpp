#include "attune/dialect/ops/Support.h"

using namespace mlir;
using namespace attune;

/// `%q, %k, %v : types` or, without query and key, `%v : type`.
ParseResult attune::parseAttentionInputs(OpAsmParser &parser,
                                         std::optional<OpAsmParser::UnresolvedOperand> &query,
                                         Type &queryType,
                                         std::optional<OpAsmParser::UnresolvedOperand> &key,
                                         Type &keyType, OpAsmParser::UnresolvedOperand &value,
                                         Type &valueType) {
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  SmallVector<Type> types;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseOperandList(operands) || parser.parseColonTypeList(types))
    return failure();
  if ((operands.size() != 1 && operands.size() != 3) || operands.size() != types.size())
    return parser.emitError(loc,
                            "expects query, key and value, or value alone, each with its type");
  value = operands.back();
  valueType = types.back();
  if (operands.size() == 3) {
    query = operands[0];
    queryType = types[0];
    key = operands[1];
    keyType = types[1];
  }
  return success();
}

void attune::printAttentionInputs(OpAsmPrinter &printer, AttentionOp op, Value query, Type,
                                  Value key, Type, Value value, Type) {
  SmallVector<Value> operands;
  if (query)
    operands.push_back(query);
  if (key)
    operands.push_back(key);
  operands.push_back(value);
  printer << operands << " : " << TypeRange(ValueRange(operands));
}
