// The C interface of the kernels: raw pointers, no header of torch or Python.
#pragma once
#include <cstdint>

// Raise it with every change to `Call` or to what its fields mean. `backends/cpp.py` has the same.
constexpr int32_t INTERFACE = 1;

enum Dtype : int32_t { FLOAT32, FLOAT64, BFLOAT16, FLOAT16 };

// Rows of a group of runs. `topology/schedules.py`, which makes the runs, has the same.
constexpr int64_t GROUP_ROWS = 64;

// One direction of a wiring: row r owns the positions indptr[r] to indptr[r + 1].
struct View {
    const void* indptr;    // (rows + 1,)
    const void* indices;   // (edges,): the column of each position
    const void* edge_ids;  // (edges,): the edge of each position, or null where they are equal
    const void* runs;      // (num_runs, 3): the `Run`s of walk.cpp; or null
    int64_t rows, columns, edges, num_runs;
    int32_t index_bytes;  // 4 or 8
};

// A (features, batch) matrix; one of its strides, in elements, is 1.
struct Matrix {
    void* data;
    int64_t feature_stride, sample_stride;
};

typedef void (*Body)(int64_t begin, int64_t end, void* context);
typedef int32_t (*ParallelFor)(int64_t begin, int64_t end, int64_t grain, Body, void* context);

enum Product : int32_t { SUMS, DOTS, BOTH };

// One walk over the edges, which computes one of these, or both:
//
//     SUMS    sums[row] = sum of weight[edge] * gathered[column] over the edges of the row, + bias
//     DOTS    dots[edge] = sum of rowwise[row] * gathered[column] over the batch
struct Call {
    View view;
    int64_t batch;
    int32_t product;
    int32_t dtype;       // of gathered, rowwise, sums and bias; half types add up in float32
    int32_t edge_dtype;  // of weight and dots
    int32_t width;       // samples in a tile, or 0 for what measured fastest
    int64_t threads;     // that `parallel_for` has
    Matrix gathered;     // (columns, batch)
    Matrix rowwise;      // (rows, batch)
    Matrix sums;         // (rows, batch)
    const void* weight;  // (edges,)
    void* dots;          // (edges,)
    const void* bias;    // (rows,), or null
    void* scratch;       // or null: `edgelinear_run` then returns how many bytes it needs
    ParallelFor parallel_for;
};
