// The C interface of the kernels: raw pointers, no header of torch or Python.
#pragma once
#include <cstdint>

// Raise it with every change to these structs or to what fields mean. `backends/library.py` has the same.
constexpr int32_t INTERFACE = 6;

enum Dtype : int32_t { FLOAT32, FLOAT64, BFLOAT16, FLOAT16 };

// Rows of a group of runs. `topology/schedules.py`, which makes the runs, has the same.
constexpr int64_t GROUP_ROWS = 64;

// One direction of a wiring: row r owns the positions indptr[r] to indptr[r + 1].
struct View {
    const void* indptr;    // (rows + 1,)
    const void* indices;   // (edges,): the column of each position
    const void* edge_ids;  // (edges,): the edge of each position, or null where they are equal
    const void* runs;      // (num_runs, 3): the `Run`s of walk.cpp; or null
    const void* bands;     // (num_bands + 1,): where bands of columns begin, which spreads join; or null
    int64_t rows, columns, edges, num_runs, num_bands;
    int32_t index_bytes;  // 4 or 8
};

// A (features, batch) matrix; one of its strides, in elements, is 1.
struct Matrix {
    void* data;
    int64_t feature_stride, sample_stride;
};

typedef void (*Body)(int64_t begin, int64_t end, void* context);
typedef int32_t (*ParallelFor)(int64_t begin, int64_t end, int64_t grain, Body, void* context);

// Activations that are computed here. `activations.py` has the same.
enum Activation : int64_t { IDENTITY, RELU, TANH, SIGMOID };

// Rows from `first` to that of the next group: nodes of one level and one activation. Their edges
// begin at this position among those in order of targets, and of sources.
struct Group {
    int64_t first, level, activation, by_target, by_source;
};

enum Mode : int32_t { ACTIVATE, DERIVE, SCALE, INTEGRATE, DERIVE_SUM };

// What becomes of the sums of a row before they are written:
//
//     ACTIVATE    f(sum + added)
//     DERIVE      (sum + added) * f', where f gave `state`
//     SCALE       (sum + added) * state
//     INTEGRATE   f(mixed), where there is a leak, and a drive that is sum + added
//     DERIVE_SUM  sum * f' + added, where f gave `state`
//
// and, if there is a leak, as of a leaky integrator and of its gradient,
//
//     ACTIVATE    mixed = previous + leak * (f(sum + added) - previous)
//     INTEGRATE   mixed = previous + leak * (drive - previous)
//     the others  mixed = sum + added + (1 - leak) * previous, which is multiplied with leak * f'
//                 instead of sum + added; after DERIVE_SUM, f' is in it and only leak is left
//
// All of these matrices lie as that of the sums does: the samples of a row side by side.
struct Finish {
    const Group* groups;   // the first of these rows, and on to one beyond the last
    int64_t row, sample;   // of the matrices below, that the first ones of the call are
    int64_t stride;        // between rows
    const void* state;
    const int64_t* pairs;  // (num_added, 2): a row, and that of `added` for it; in order of rows
    int64_t num_added;     // rows of `added`; without pairs, they are for the first rows
    const void* added;     // or null
    const void* leak;      // (rows,), or null
    const void* previous;
    void* mixed;           // may be `previous`
    void* drive;           // or null
    int32_t mode;
};

enum Product : int32_t { SUMS, DOTS, BOTH, SPREAD };

// One walk over the edges, which computes one of these, or both of the first two:
//
//     SUMS    sums[row] = sum of weight[edge] * gathered[column] over the edges of the row, + bias
//     DOTS    dots[edge] = sum of rowwise[row] * gathered[column] over the batch
//     SPREAD  gathered[column] = sum of weight[edge] * rowwise[row] over the edges of the column,
//             + bias, where edges are in order of rows and have bands
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
    const void* bias;    // (rows,), of SPREAD (columns,); or null
    void* scratch;       // or null: `edgelinear_run` then returns how many bytes it needs
    ParallelFor parallel_for;
    const Finish* finish;  // what becomes of each sum before it is written, or null
    int64_t may_read_beyond;      // whether memory after `gathered` may be read, up to 64 numbers
    void* column_sums;     // (columns,): of `gathered` over the batch, not of half types; or null
};

// What nodes do with the products of weights and sources, other than to add them up.
// `aggregated.py` has the same.
enum class Aggregation : int64_t { PRODUCT, MAX, MIN, MEDIAN, MAXABS };

// A node with another aggregation. Its edges are those from `begin` to that of the next node.
struct Node {
    int64_t row;
    Aggregation aggregation;
    int64_t begin;
};

// The nodes of a pass that aggregate otherwise; no other edges of the pass lead to them.
struct Aggregates {
    const Node* nodes;       // (count + 1,), in order of rows; the last one is an end
    const int64_t* sources;  // (edges,): the row of each, those of a node in the order given
    const void* weight;      // (edges,)
    const void* response;    // (count,): factors of what is aggregated, or null
    const void* values;      // (rows, batch): those of the sources
    int64_t count, most;     // nodes, and the most edges of one of them
    void* grad_weight;       // (edges,): of a pass in reverse, or null
    void* grad_response;     // (count,)
    void* scratch;           // set by the pass itself
};

// A pass over the levels of a network: one walk after the other, each over the rows of a level,
// into the matrix that it gathers from. From one step to the next, matrices move by so many numbers.
// Where nodes aggregate otherwise, a pass in reverse adds to `added`, which has all rows then.
struct Pass {
    Call call;             // of all rows
    Finish finish;
    Aggregates aggregates;
    const Group* groups;   // and one beyond
    int64_t num_groups;
    int64_t steps;
    int64_t gathered_step, sums_step, state_step, added_step, previous_step, mixed_step, drive_step;
    int32_t reverse;       // whether from the last level to the first
    int32_t starts_empty;  // whether the first step has nothing to gather: its sums are 0
};

// A copy of features, which may transpose, and convert between float32 and half types.
struct Copy {
    Matrix from, to;
    const void* rows;  // (features,): the feature of `from` that each is, or null
    int64_t features, batch;
    int32_t from_dtype, to_dtype, row_bytes;
    ParallelFor parallel_for;
    int64_t threads;  // that it has
};
