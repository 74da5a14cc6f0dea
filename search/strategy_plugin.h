/*===- strategy_plugin.h - Strategies of a search from a shared library -------------------------===
 *
 * A shared library with one function, `attune_strategy`, is a strategy: `strategy: {name: plugin,
 * file: mine.so}` in a space file. The study calls it from one thread. Candidates are vectors of
 * `genes` numbers, gene g from 0 to choices[g] - 1. What it is told depends on nothing but what it
 * answered, and random numbers of `host` are those of the candidate that is asked for: a strategy
 * that takes all its chance from there gives the same search every time, for any number of workers.
 *
 *===---------------------------------------------------------------------------------------------===*/
#ifndef ATTUNE_SEARCH_STRATEGY_PLUGIN_H
#define ATTUNE_SEARCH_STRATEGY_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ATTUNE_STRATEGY_VERSION 1

/* What is searched. All pointers are valid while the strategy lives. */
struct attune_space {
  uint32_t genes, goals;
  const uint32_t *choices; /* by gene */
  uint64_t seed;
};

/* What a strategy may ask while it proposes a candidate. Genes in and out have `genes` numbers and
 * need not be canonical. */
struct attune_host {
  void *context;
  /* A uniform number in [0, 1). */
  double (*uniform)(void *context);
  /* A candidate at random, by the conditions of the space (costs are not looked at). */
  void (*sample)(void *context, int32_t *genes);
  /* Every gene changed with this probability, at least one. */
  void (*mutate)(void *context, const int32_t *parent, double probability, int32_t *genes);
  void (*crossover)(void *context, const int32_t *a, const int32_t *b, int32_t *genes);
  /* Whether all constraints hold, and whether it was asked for before. */
  int (*legal)(void *context, const int32_t *genes);
  int (*seen)(void *context, const int32_t *genes);
};

enum attune_answer { ATTUNE_TRY = 0, ATTUNE_WAIT = 1, ATTUNE_DONE = 2 };
enum attune_status { ATTUNE_OK = 0, ATTUNE_FAILED = 1, ATTUNE_STOPPED = 2 };

struct attune_strategy {
  uint32_t version; /* ATTUNE_STRATEGY_VERSION */
  /* A new strategy, or null with a message (NUL-terminated, `capacity` bytes) about what is wrong.
   * `options`: pairs of name and value, then null. */
  void *(*create)(const struct attune_space *space, const char *const *options, char *message,
                  size_t capacity);
  void (*destroy)(void *strategy);
  /* The next candidate; that outcomes must be told first; or that nothing is left. Candidates that
   * break a constraint are not evaluated: `ask` is called again. */
  enum attune_answer (*ask)(void *strategy, const struct attune_host *host, int32_t *genes);
  /* In the order in which candidates were asked. `goals` are to be minimised, null unless OK. */
  void (*tell)(void *strategy, uint64_t id, const int32_t *genes, enum attune_status status,
               const double *goals);
  /* The state as text, valid until the next call, and back (0: it is no state). Both null: a study
   * that goes on asks and tells from the start, without evaluating again. */
  const char *(*save)(void *strategy);
  int (*load)(void *strategy, const char *state);
};

/* The one function of a plug-in. */
const struct attune_strategy *attune_strategy(void);

#ifdef __cplusplus
}
#endif
#endif
