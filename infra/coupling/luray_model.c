/* See luray_model.h. The wheel of onnxruntime has its library without the header, so the functions
 * are taken from the table by their place. Those of version 1 of the table keep their places in all
 * later versions: onnxruntime promises that, and asserts it when it is built. */
#include "luray_model.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum place {
  GET_ERROR_MESSAGE = 2,
  CREATE_ENV = 3,
  CREATE_SESSION = 7,
  RUN = 9,
  CREATE_SESSION_OPTIONS = 10,
  SET_INTRA_OP_THREADS = 24,
  CREATE_TENSOR_WITH_DATA = 49,
  CREATE_CPU_MEMORY_INFO = 69,
  RELEASE_ENV = 92,
  RELEASE_STATUS = 93,
  RELEASE_MEMORY_INFO = 94,
  RELEASE_SESSION = 95,
  RELEASE_VALUE = 96,
  RELEASE_SESSION_OPTIONS = 100
};
enum element { FLOAT32 = 1, UINT8 = 2 };
enum { WARNINGS = 2, DEVICE_ALLOCATOR = 0, DEFAULT_MEMORY = 0, N_INPUTS = 4, N_OUTPUTS = 2 };

typedef void *object; /* an opaque one of onnxruntime */
typedef struct {
  void *const *(*get_api)(uint32_t version);
  const char *(*get_version)(void);
} api_base;

struct luray_model {
  void *library;
  void *const *api;
  object env, options, session, memory;
};

static char message[1024];

const char *luray_error(void) { return message; }

/* Note an error of onnxruntime; returns whether there is one. */
static int failed(luray_model *m, object status) {
  if (status == NULL) return 0;
  const char *(*text)(object) = (const char *(*)(object))m->api[GET_ERROR_MESSAGE];
  snprintf(message, sizeof message, "%s", text(status));
  ((void (*)(object))m->api[RELEASE_STATUS])(status);
  return 1;
}

static void release(luray_model *m, enum place function, object it) {
  if (it != NULL) ((void (*)(object))m->api[function])(it);
}

luray_model *luray_open(const char *onnx_file, const char *library, int threads) {
  message[0] = '\0';
  luray_model *m = calloc(1, sizeof *m);
  if (m == NULL) return NULL;
  m->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (m->library == NULL) {
    snprintf(message, sizeof message, "%s", dlerror());
    free(m);
    return NULL;
  }
  const api_base *(*get_base)(void) = (const api_base *(*)(void))dlsym(m->library, "OrtGetApiBase");
  if (get_base != NULL) m->api = get_base()->get_api(1);
  if (m->api == NULL) {
    snprintf(message, sizeof message, "%s: no library of onnxruntime", library);
    luray_close(m);
    return NULL;
  }
  void *const *api = m->api;
  if (failed(m, ((object(*)(int, const char *, object *))api[CREATE_ENV])(WARNINGS, "luray", &m->env)) ||
      failed(m, ((object(*)(object *))api[CREATE_SESSION_OPTIONS])(&m->options)) ||
      failed(m, ((object(*)(object, int))api[SET_INTRA_OP_THREADS])(m->options, threads)) ||
      failed(m, ((object(*)(object, const char *, object, object *))api[CREATE_SESSION])(
                    m->env, onnx_file, m->options, &m->session)) ||
      failed(m, ((object(*)(int, int, object *))api[CREATE_CPU_MEMORY_INFO])(
                    DEVICE_ALLOCATOR, DEFAULT_MEMORY, &m->memory))) {
    luray_close(m);
    return NULL;
  }
  return m;
}

/* Make a tensor of the caller's memory; `second` is the axis behind the batch, 0 for none. */
static int wrap(luray_model *m, const luray_sizes *s, void *data, enum element type, int64_t second,
                object *tensor) {
  int64_t with_second[4] = {s->batch, second, s->rows, s->cols};
  int64_t without[3] = {s->batch, s->rows, s->cols};
  size_t width = type == FLOAT32 ? sizeof(float) : 1;
  size_t cells = (size_t)(s->batch * s->rows * s->cols * (second ? second : 1));
  object (*make)(object, void *, size_t, const int64_t *, size_t, int, object *) =
      (object(*)(object, void *, size_t, const int64_t *, size_t, int, object *))
          m->api[CREATE_TENSOR_WITH_DATA];
  return failed(m, make(m->memory, data, cells * width, second ? with_second : without,
                        second ? 4 : 3, type, tensor));
}

int luray_step(luray_model *m, const luray_sizes *s, const uint8_t *land_use, const float *forcing,
               const float *prior_forcing, const float *fixed, float *probability,
               uint8_t *likeliest) {
  static const char *const inputs[N_INPUTS] = {"land_use", "forcing", "prior_forcing", "static"};
  static const char *const outputs[N_OUTPUTS] = {"probability", "likeliest"};
  object in[N_INPUTS] = {NULL}, out[N_OUTPUTS] = {NULL};
  message[0] = '\0';
  int64_t block = s->multiple_of;
  if (block < 1 || s->rows % block || s->cols % block || s->rows < 2 * block || s->cols < 2 * block) {
    snprintf(message, sizeof message,
             "%lld rows and %lld cols, expected multiples of %lld (window.multiple_of of card.json), "
             "at least twice that; enlarge the window",
             (long long)s->rows, (long long)s->cols, (long long)block);
    return 1;
  }
  int wrong = wrap(m, s, (void *)land_use, UINT8, s->maps, &in[0]) ||
              wrap(m, s, (void *)forcing, FLOAT32, s->forcing, &in[1]) ||
              wrap(m, s, (void *)prior_forcing, FLOAT32, s->forcing, &in[2]) ||
              wrap(m, s, (void *)fixed, FLOAT32, s->fixed, &in[3]) ||
              wrap(m, s, probability, FLOAT32, s->classes, &out[0]) ||
              wrap(m, s, likeliest, UINT8, 0, &out[1]);
  if (!wrong) {
    object (*run)(object, object, const char *const *, const object *, size_t, const char *const *,
                  size_t, object *) =
        (object(*)(object, object, const char *const *, const object *, size_t, const char *const *,
                   size_t, object *))m->api[RUN];
    wrong = failed(m, run(m->session, NULL, inputs, in, N_INPUTS, outputs, N_OUTPUTS, out));
  }
  for (int i = 0; i < N_INPUTS; i++) release(m, RELEASE_VALUE, in[i]);
  for (int i = 0; i < N_OUTPUTS; i++) release(m, RELEASE_VALUE, out[i]);
  return wrong;
}

void luray_close(luray_model *m) {
  if (m == NULL) return;
  release(m, RELEASE_MEMORY_INFO, m->memory);
  release(m, RELEASE_SESSION, m->session);
  release(m, RELEASE_SESSION_OPTIONS, m->options);
  release(m, RELEASE_ENV, m->env);
  dlclose(m->library);
  free(m);
}
