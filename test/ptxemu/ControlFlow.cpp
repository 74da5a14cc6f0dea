// Where lanes that took different ways meet again: the immediate post-dominators of branches.
#include "attune/test/ptxemu/Decoder.h"
#include <algorithm>

namespace attune::ptx {

namespace {
/// The graph of instructions; its last node is the end of the kernel.
struct Graph {
  explicit Graph(const Program &program) : end(uint32_t(program.code.size())), successors(end + 1) {
    for (uint32_t i = 0; i < end; ++i) {
      const Instruction &instruction = program.code[i];
      bool isBranch = instruction.target != none;
      if (isBranch && !instruction.count)
        successors[i].push_back(instruction.target);
      for (unsigned entry = 0; isBranch && entry < instruction.count; ++entry)
        successors[i].push_back(program.lists[instruction.list + entry]);
      if (instruction.ends)
        exits.push_back(i);
      if ((!isBranch && !instruction.ends) || instruction.guard != none)
        successors[i].push_back(i + 1);
    }
  }
  uint32_t end;
  std::vector<std::vector<uint32_t>> successors; ///< without the edges of exits to the end
  std::vector<uint32_t> exits;
};

/// Post-dominators as Cooper, Harvey and Kennedy compute them, where only `exits` lead to the end.
/// Ways that do not lead there are left out: lanes on them need not be waited for.
class PostDominators {
public:
  PostDominators(const Graph &graph, const std::vector<uint32_t> &exits)
      : number(graph.end + 1, none), dominator(graph.end + 1, none) {
    std::vector<std::vector<uint32_t>> successors = graph.successors;
    for (uint32_t exit : exits)
      successors[exit].push_back(graph.end);
    std::vector<uint32_t> order = walk(successors, graph.end);
    dominator[graph.end] = graph.end;
    for (bool changed = true; changed;) {
      changed = false;
      for (auto node = order.rbegin() + 1; node != order.rend(); ++node) {
        uint32_t found = none;
        for (uint32_t successor : successors[*node])
          if (dominator[successor] != none)
            found = found == none ? successor : meet(found, successor);
        changed |= dominator[*node] != found;
        dominator[*node] = found;
      }
    }
  }

  bool reaches(uint32_t node) const { return number[node] != none; }
  uint32_t of(uint32_t node) const { return dominator[node]; }

private:
  /// The nodes in post-order of a walk from the end over reversed edges.
  std::vector<uint32_t> walk(const std::vector<std::vector<uint32_t>> &successors, uint32_t end) {
    std::vector<std::vector<uint32_t>> predecessors(end + 1);
    for (uint32_t i = 0; i < end; ++i)
      for (uint32_t successor : successors[i])
        predecessors[successor].push_back(i);
    std::vector<uint32_t> order;
    std::vector<std::pair<uint32_t, size_t>> stack{{end, 0}};
    std::vector<bool> visited(end + 1);
    visited[end] = true;
    while (!stack.empty()) {
      auto &[node, next] = stack.back();
      if (next == predecessors[node].size()) {
        number[node] = uint32_t(order.size());
        order.push_back(node);
        stack.pop_back();
        continue;
      }
      uint32_t predecessor = predecessors[node][next++];
      if (visited[predecessor])
        continue;
      visited[predecessor] = true;
      stack.push_back({predecessor, 0});
    }
    return order;
  }

  uint32_t meet(uint32_t a, uint32_t b) const {
    while (a != b) {
      uint32_t &lower = number[a] < number[b] ? a : b;
      lower = dominator[lower];
    }
    return a;
  }

  std::vector<uint32_t> number, dominator;
};
} // namespace

/// Lanes that leave early must not keep the others apart: where the ways of a branch meet at the
/// end of the kernel only, they meet at what dominates the last exit that all of them reach.
void findJoins(Program &program) {
  const Graph graph(program);
  const PostDominators all(graph, graph.exits);
  std::map<uint32_t, PostDominators> ofExit;
  for (uint32_t i = 0; i < graph.end; ++i) {
    if (program.code[i].target == none)
      continue;
    uint32_t join = all.of(i);
    for (auto exit = graph.exits.rbegin(); exit != graph.exits.rend() && join >= graph.end;
         ++exit) {
      auto found = ofExit.find(*exit);
      if (found == ofExit.end())
        found = ofExit.emplace(*exit, PostDominators(graph, {*exit})).first;
      const auto &ways = graph.successors[i];
      if (std::all_of(ways.begin(), ways.end(),
                      [&](uint32_t way) { return found->second.reaches(way); }))
        join = found->second.of(i);
    }
    program.code[i].join = std::min(join, graph.end); // an endless loop meets nowhere
  }
}

} // namespace attune::ptx
