//===- Async.h - What the families of asynchronous instructions share -------------------------===//
#ifndef ATTUNE_TEST_PTXEMU_INSTRUCTIONS_ASYNC_H
#define ATTUNE_TEST_PTXEMU_INSTRUCTIONS_ASYNC_H

#include "attune/test/ptxemu/Decoder.h"
#include "attune/test/ptxemu/Warp.h"

namespace attune::ptx {

void arriveAt(Warp &warp, Mbarrier &barrier, uint32_t count, bool drop);
void endArrivals(Warp &warp);

/// cp.async.bulk and its like; the modifiers cp and async are taken.
Run decodeBulk(Decoder &d);

} // namespace attune::ptx
#endif
