/* A model that `luray export-model` has written, for hosts in C and Fortran.
 *
 * Arrays are those of card.json: rows from north to south, columns from west to east, the last axis
 * varying fastest in C. They belong to the caller. A model may be used by one thread at a time. */
#ifndef LURAY_MODEL_H
#define LURAY_MODEL_H

#include <stdint.h>

typedef struct luray_model luray_model;

/* Sizes of the arrays, as card.json has them. Rows and cols are multiples of its
 * window.multiple_of, and at least twice that. */
typedef struct {
  int64_t batch, maps, forcing, fixed, classes, rows, cols, multiple_of;
} luray_sizes;

/* Open model.onnx with a library of onnxruntime; NULL where that fails, see luray_error. */
luray_model *luray_open(const char *onnx_file, const char *library, int threads);

/* Predict a year; 0 where that works, else see luray_error. `fixed` is the input `static`. */
int luray_step(luray_model *model, const luray_sizes *sizes, const uint8_t *land_use,
               const float *forcing, const float *prior_forcing, const float *fixed,
               float *probability, uint8_t *likeliest);

/* What went wrong last, empty where nothing has. */
const char *luray_error(void);

void luray_close(luray_model *model);

#endif
