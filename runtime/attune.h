/*===- attune.h - The C interface of the runtime ------------------------------------------------===
 *
 * Loads what `attune compile` writes (docs/artifact.md) and runs it. Programs, the C++ wrapper
 * (attune.hpp) and language bindings stand on this header; it needs nothing but this library.
 *
 * Loading an artifact runs its code: open only files that you trust.
 *
 * Contract:
 * - One exported symbol, attune_get_api: a table of entry points per version. Structs start with
 *   their size, which the caller sets; a field that an older caller lacks counts as zero.
 * - A call that can fail returns NULL, or an attune_status that the caller frees with status_free.
 * - No exception, signal, abort or exit leaves the library. Nothing is printed.
 * - Sessions are thread-safe: several threads may run one session at once. Closing a session must
 *   come after its last call has returned. A value belongs to one thread at a time.
 * - Tensors are those of DLPack: an attune_tensor has the layout of a DLTensor, an attune_dtype the
 *   bytes of a DLDataType. Strides count elements; NULL means dense row-major.
 *
 *   const attune_api *api = attune_get_api(ATTUNE_API_VERSION);
 *   attune_session *session;
 *   attune_status *status = api->session_open("model.so", NULL, &session);
 *   if (status) {
 *     fprintf(stderr, "%s\n", api->status_message(status));
 *     api->status_free(status);
 *     return 1;
 *   }
 *   int64_t shape[2] = {1, 8}, ids[8] = {101, 7592, 102};
 *   attune_value in = {.size = sizeof in, .kind = ATTUNE_TENSOR};
 *   in.tensor = (attune_tensor){ids, {ATTUNE_CPU, 0}, 2, ATTUNE_I64, shape, NULL, 0};
 *   attune_value out = {.size = sizeof out, .kind = ATTUNE_NONE};
 *   attune_run_args args = {sizeof args, 0, NULL, &in, 1, NULL, &out, 1, NULL};
 *   status = api->session_run(session, &args);
 *   api->value_clear(&out);
 *   api->session_close(session);
 *
 *===------------------------------------------------------------------------------------------===*/
#ifndef ATTUNE_RUNTIME_ATTUNE_H
#define ATTUNE_RUNTIME_ATTUNE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ATTUNE_API_VERSION 1

/*===- Errors ---------------------------------------------------------------------------------===*/

typedef struct attune_status attune_status;

typedef enum attune_code {
  ATTUNE_OK = 0,
  ATTUNE_ERROR_ARGUMENT = 1,    /* the caller's values or options are not accepted */
  ATTUNE_ERROR_ARTIFACT = 2,    /* not an artifact, damaged, or of another version or CPU */
  ATTUNE_ERROR_UNSUPPORTED = 3, /* valid, but this version cannot do it */
  ATTUNE_ERROR_KERNEL = 4,      /* the model's data: an index out of range, division by zero */
  ATTUNE_ERROR_SYSTEM = 5,      /* no memory, no such file, no threads */
  ATTUNE_ERROR_INTERNAL = 6     /* a defect of Attune */
} attune_code;

/*===- Values ---------------------------------------------------------------------------------===*/

/* code | bits << 8 | lanes << 16 of DLPack; little-endian, so these are the bytes of a DLDataType.
 * Elements of fewer than 8 bits are packed, the first one in the low bits. */
typedef uint32_t attune_dtype;
enum {
  ATTUNE_I2 = 0x010200,
  ATTUNE_I4 = 0x010400,
  ATTUNE_I8 = 0x010800,
  ATTUNE_I16 = 0x011000,
  ATTUNE_I32 = 0x012000,
  ATTUNE_I64 = 0x014000,
  ATTUNE_U2 = 0x010201,
  ATTUNE_U4 = 0x010401,
  ATTUNE_U8 = 0x010801,
  ATTUNE_U16 = 0x011001,
  ATTUNE_U32 = 0x012001,
  ATTUNE_U64 = 0x014001,
  ATTUNE_F16 = 0x011002,
  ATTUNE_F32 = 0x012002,
  ATTUNE_F64 = 0x014002,
  ATTUNE_BF16 = 0x011004,
  ATTUNE_C64 = 0x014005,  /* two f32 */
  ATTUNE_C128 = 0x018005, /* two f64 */
  ATTUNE_BOOL = 0x010806, /* one byte, 0 or 1 */
  ATTUNE_F8E4M3FN = 0x01080a,
  ATTUNE_F8E4M3FNUZ = 0x01080b,
  ATTUNE_F8E5M2 = 0x01080c,
  ATTUNE_F8E5M2FNUZ = 0x01080d,
  ATTUNE_F8E8M0FNU = 0x01080e,
  ATTUNE_F4E2M1 = 0x010411,
  ATTUNE_STRING = 0x018080 /* outside DLPack: elements are attune_string */
};

typedef struct attune_string {
  const char *data; /* UTF-8, not terminated */
  uint64_t length;
} attune_string;

/* DLDeviceType; others are refused. A session of the target cuda takes tensors on its device, too,
 * as its default stream has left them; results are there when session_run returns. Tensors whose
 * address is no multiple of 256 are copied on the device. */
enum { ATTUNE_CPU = 1, ATTUNE_CUDA = 2 };

typedef struct attune_device {
  int32_t type, id;
} attune_device;

/* The layout of a DLTensor, hence no size field. */
typedef struct attune_tensor {
  void *data;
  attune_device device;
  int32_t ndim;
  attune_dtype dtype;
  int64_t *shape;
  int64_t *strides; /* in elements; NULL: dense row-major */
  uint64_t byte_offset;
} attune_tensor;

typedef enum attune_kind {
  ATTUNE_NONE = 0, /* no value; as an output: the runtime allocates it */
  ATTUNE_TENSOR = 1,
  ATTUNE_SEQUENCE = 2, /* refused by this version */
  ATTUNE_OPTIONAL = 3  /* refused by this version */
} attune_kind;

typedef struct attune_value {
  uint32_t size; /* sizeof(attune_value), fixed: arrays of values have this stride */
  uint32_t kind; /* attune_kind */
  union {
    attune_tensor tensor;
    struct {
      struct attune_value *elements;
      uint64_t count;
    } sequence;
    struct attune_value *optional; /* NULL: empty */
    uint64_t reserved[8];
  };
  void *owner; /* storage of the runtime, freed by value_clear; NULL: the caller's */
} attune_value;

/*===- What a model takes and gives -----------------------------------------------------------===*/

typedef struct attune_port {
  uint32_t size;
  uint32_t kind; /* attune_kind */
  const char *name;
  attune_dtype dtype;
  int32_t rank;
  const int64_t *shape;       /* -1 where the extent is not fixed */
  const char *const *symbols; /* name of the extent where it is symbolic, else NULL */
} attune_port;

/* Input and output may be the same memory. A cache that grows along `axis` is appended to in place:
 * both have the address and the strides of one row-major buffer whose extent along `axis` is the
 * capacity, and what is there already is not copied. A state that keeps its shape is replaced. */
typedef struct attune_alias {
  uint32_t size;
  uint32_t input, output, axis;
} attune_alias;

typedef struct attune_kernel {
  uint32_t size;
  uint32_t node_count;
  const char *symbol, *name, *emitter, *backend, *hash;
  const char *const *nodes; /* ONNX nodes that the kernel computes */
} attune_kernel;

typedef struct attune_signature {
  uint32_t size;
  uint32_t threads; /* of this session */
  const char *model, *compiler, *cpu;
  uint32_t input_count, output_count, alias_count, kernel_count;
  uint32_t step_count; /* entries that a profile of one run has */
  uint32_t reserved;
  const attune_port *const *inputs;
  const attune_port *const *outputs;
  const attune_alias *const *aliases;
  const attune_kernel *const *kernels;
  uint64_t weights_bytes;
  const char *target; /* what the kernels run on: cpu, cuda, opencl */
} attune_signature;

/*===- Sessions -------------------------------------------------------------------------------===*/

typedef struct attune_session attune_session;

/* The caller's threads in place of the runtime's. `run` calls job(argument, i) once for every i in
 * [0, count), in any order and at the same time as it likes, and returns when all have returned. */
typedef struct attune_executor {
  uint32_t size;
  uint32_t threads; /* the largest `count` */
  void *context;
  void (*run)(void *context, uint32_t count, void (*job)(void *argument, uint32_t i),
              void *argument);
} attune_executor;

typedef struct attune_session_options {
  uint32_t size;
  uint32_t threads;                /* 0: what affinity and cgroup quota leave to the process */
  uint32_t flush_denormals;        /* non-zero: denormal numbers count as zero during a run */
  uint32_t copy_strided;           /* non-zero: non-contiguous inputs are copied, else refused */
  const attune_executor *executor; /* NULL: the runtime's own threads */
  uint32_t device_outputs; /* non-zero: of the target cuda, outputs are allocated on the device */
  uint32_t reserved;
} attune_session_options;

enum { ATTUNE_STEP_KERNEL = 0, ATTUNE_STEP_LOAD = 1, ATTUNE_STEP_COPY = 2 };

typedef struct attune_step {
  uint32_t kind;
  uint32_t kernel;            /* position in the signature's kernels */
  uint64_t start_ns, stop_ns; /* since the start of the run */
  int64_t flops, bytes;       /* as the compiler counted them */
} attune_step;

typedef struct attune_profile {
  uint32_t size;
  uint32_t step_size;     /* set by the caller: sizeof(attune_step) */
  uint64_t step_capacity; /* set by the caller: room in `steps` */
  attune_step *steps;     /* set by the caller, may be NULL */
  uint64_t step_count;    /* set by the run, as is what follows */
  uint64_t total_ns;
  uint64_t arena_bytes; /* memory for intermediate results */
} attune_profile;

typedef struct attune_run_args {
  uint32_t size;
  uint32_t reserved;
  const char *const *input_names; /* NULL: in the order of the signature */
  const attune_value *inputs;
  uint64_t input_count;
  const char *const *output_names; /* NULL: all, in the order of the signature */
  /* A tensor: written in place; none: allocated, see value_clear. A tensor may be that of an input
   * as in `attune_alias`, or have the address and shape of any input, which is then copied first.
   */
  attune_value *outputs;
  uint64_t output_count;
  attune_profile *profile; /* NULL: none */
} attune_run_args;

/*===- Entry points ---------------------------------------------------------------------------===*/

typedef struct attune_api {
  uint32_t size;
  uint32_t version;
  const char *(*version_text)(void);

  attune_code (*status_code)(const attune_status *status); /* NULL is ATTUNE_OK */
  const char *(*status_message)(const attune_status *status);
  void (*status_free)(attune_status *status);

  attune_status *(*session_open)(const char *path, const attune_session_options *options,
                                 attune_session **session);
  void (*session_close)(attune_session *session);
  const attune_signature *(*session_signature)(const attune_session *session);
  attune_status *(*session_run)(attune_session *session, const attune_run_args *args);

  void (*value_clear)(attune_value *value); /* frees what the runtime allocated; then: none */

  const char *(*dtype_name)(attune_dtype dtype); /* "f32"; NULL if unknown */
  attune_dtype (*dtype_parse)(const char *name); /* 0 if unknown */
  /* Bytes of `count` packed elements; UINT64_MAX if that overflows or dtype is unknown. */
  uint64_t (*dtype_bytes)(attune_dtype dtype, uint64_t count);
} attune_api;

#if defined(__GNUC__)
#define ATTUNE_EXPORT __attribute__((visibility("default")))
#else
#define ATTUNE_EXPORT
#endif

/* NULL if this library does not have that version. */
ATTUNE_EXPORT const attune_api *attune_get_api(uint32_t version);

#ifdef __cplusplus
}
#endif
#endif
