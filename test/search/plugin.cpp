// A strategy as a plug-in: climbs from the best candidate so far. Built three times: as it should
// be, of another version (ATTUNE_TEST_VERSION), and without its function (ATTUNE_TEST_BARE).
#include "attune/search/strategy_plugin.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#ifndef ATTUNE_TEST_BARE
namespace {

struct Climber {
  attune_space space;
  std::string state;
  std::vector<int32_t> best;
  double score = 0;
  double probability = 0;
};

void *create(const attune_space *space, const char *const *options, char *message,
             size_t capacity) {
  auto *climber = new Climber{*space, {}, {}};
  for (; *options; options += 2) {
    if (!std::strcmp(options[0], "probability")) {
      climber->probability = std::atof(options[1]);
      continue;
    }
    std::string text = std::string("there is no option `") + options[0] + "`";
    std::strncpy(message, text.c_str(), capacity);
    delete climber;
    return nullptr;
  }
  return climber;
}

attune_answer ask(void *self, const attune_host *host, int32_t *genes) {
  auto &climber = *static_cast<Climber *>(self);
  for (int trial = 0; trial < 100; ++trial) {
    if (climber.best.empty() || host->uniform(host->context) < 0.1)
      host->sample(host->context, genes);
    else
      host->mutate(host->context, climber.best.data(), climber.probability, genes);
    if (!host->seen(host->context, genes) && host->legal(host->context, genes))
      return ATTUNE_TRY;
  }
  return ATTUNE_DONE;
}

void tell(void *self, uint64_t, const int32_t *genes, attune_status status, const double *goals) {
  auto &climber = *static_cast<Climber *>(self);
  if (status != ATTUNE_OK || (!climber.best.empty() && goals[0] >= climber.score))
    return;
  climber.score = goals[0];
  climber.best.assign(genes, genes + climber.space.genes);
}

const char *save(void *self) {
  auto &climber = *static_cast<Climber *>(self);
  char score[32];
  std::snprintf(score, sizeof score, "%a", climber.score);
  climber.state = score;
  for (int32_t gene : climber.best)
    climber.state += " " + std::to_string(gene);
  return climber.state.c_str();
}

int load(void *self, const char *state) {
  auto &climber = *static_cast<Climber *>(self);
  char *end = nullptr;
  climber.score = std::strtod(state, &end);
  climber.best.clear();
  while (*end)
    climber.best.push_back(static_cast<int32_t>(std::strtol(end, &end, 10)));
  return climber.best.empty() || climber.best.size() == climber.space.genes;
}

} // namespace

extern "C" const struct attune_strategy *attune_strategy() {
  static const struct attune_strategy functions = {
      ATTUNE_TEST_VERSION,
      create,
      [](void *self) { delete static_cast<Climber *>(self); },
      ask,
      tell,
      save,
      load};
  return &functions;
}
#endif
