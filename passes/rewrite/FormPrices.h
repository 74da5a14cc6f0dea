//===- FormPrices.h - What the rewrite stage asks of the cost model --------------------------------===//
#ifndef ATTUNE_PASSES_REWRITE_FORMPRICES_H
#define ATTUNE_PASSES_REWRITE_FORMPRICES_H

#include "attune/dialect/Attune.h"

namespace attune {

/// Prices the forms of an operator. Sizes that are not static count as a batch of 1 (first axes)
/// and 512 positions (others).
class FormPrices {
public:
  virtual ~FormPrices() = default;
  virtual double seconds(FormOpInterface op, Form form) const = 0;
};

} // namespace attune
#endif
