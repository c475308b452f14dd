// The kernels, compiled once for each instruction set: `ISA` is its name, `VECTOR_BYTES` the width
// of its registers.
//
// The batch is cut into tiles of T samples. The operand that edges read in no order is packed as
// [tile][column][T], so that an edge reads one stretch of memory; the one that rows own passes
// through a small buffer. Edges are cut into chunks whose length the wiring alone decides. A row
// that spans a cut is summed piece by piece, and its pieces in their order: so the bits of a
// sample's sums depend on the wiring alone, and a row of a million edges keeps every thread busy.
//
// Where rows are dense, runs take the place of rows: the edges of one row whose columns lie in one
// block of columns, so that the block stays in the first-level cache while a group of rows passes
// over it. They come in order of group, then of block, then of length, as a loop that is as long as
// the last one is foreseen by the processor. A group takes the place of a chunk, and cuts no row.
#include <cstddef>
#include <type_traits>

#if defined(__FMA__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#include "kernels.h"

namespace ISA {

#include "simd.h"
#include "pack.h"

constexpr int64_t CHUNK = 2048;        // edges, where there are many
constexpr int64_t LEAST = 128;         // edges of a chunk of gradients, which no cut divides
constexpr int64_t BLOCK = 32;          // rows buffered at a time
constexpr int64_t AHEAD = 12;          // edges between a prefetch and its use
constexpr int64_t FAR_AHEAD = 48;      // the same for a weight, which may lie in a page of its own
constexpr int64_t PREFETCH = 1 << 19;  // bytes of a tile from which on it pays
constexpr int64_t WIDE = 1 << 21;      // bytes of a tile up to which wider ones pay
constexpr int64_t PACKED = 1 << 23;    // bytes of the tiles that are packed at a time
constexpr int64_t SERIAL = 1 << 15;    // products that are not worth a second thread
constexpr int64_t HELD = 64;           // products summed across their lanes at a time
constexpr int64_t RUNS_AHEAD = 6;      // runs between the prefetch of its edges and their use

// Calls `function(begin, end)` on parts of [0, count), on torch's threads. Returns whether it did.
template <class Function>
bool parallel(const Call& call, int64_t count, int64_t products, Function function) {
    if (count <= 1 || products < SERIAL) return function(0, count), true;
    Body body = [](int64_t begin, int64_t end, void* context) {
        (*static_cast<Function*>(context))(begin, end);
    };
    const int64_t grain = ceil_div(count * SERIAL, products);
    return call.parallel_for(0, count, grain, body, &function) == 0;
}

// Edges of one row in one block of columns.
template <class I>
struct Run {
    I row, begin, count;
};

// The edges of one tile. A is the type of sums, I that of indices; a vector has W numbers, and a
// tile NV vectors.
template <class A, class I, int W, int NV, Product PRODUCT>
struct Walk {
    static constexpr int64_t T = W * NV;
    static constexpr bool HAS_SUMS = PRODUCT != DOTS, HAS_DOTS = PRODUCT != SUMS;
    // Dots of a small batch take rows: they are the same by rows and by runs.
    static constexpr bool SMALL = PRODUCT == DOTS && T * sizeof(A) < VECTOR_BYTES;
    typedef Vec<A, W> V;

    const Call& call;
    const I* indptr = static_cast<const I*>(call.view.indptr);
    const I* indices = static_cast<const I*>(call.view.indices);
    const I* edge_ids = static_cast<const I*>(call.view.edge_ids);
    const Run<I>* runs = SMALL ? nullptr : static_cast<const Run<I>*>(call.view.runs);
    int64_t rows = call.view.rows, edges = call.view.edges;
    // A buffer's worth of rows where they are long, and enough chunks for many threads.
    int64_t least = HAS_SUMS ? CHUNK : smaller(CHUNK, larger(LEAST, edges / 16));
    int64_t rows_worth = BLOCK * (edges / larger(1, rows));
    int64_t chunk_edges = larger(least, smaller(edges / 64, rows_worth));
    int64_t chunks = runs ? ceil_div(rows, GROUP_ROWS)
                          : larger(1, ceil_div(edges, chunk_edges));
    int64_t tiles = ceil_div(call.batch, T);
    int64_t tile_bytes = call.view.columns * T * static_cast<int64_t>(sizeof(A));
    bool far = !runs && tile_bytes > PREFETCH;

    int64_t tile = 0;             // the one that is walked
    const A* gathered = nullptr;  // its packed operand: (columns, T)
    int64_t stride = T;           // between its columns

    const A* weight = static_cast<const A*>(call.weight);
    const I* weight_ids = edge_ids;  // null once the weight is in the order of positions
    A* pieces = nullptr;  // (chunks, 2, T): the sums of rows cut at a chunk's start and its end

    A* partial = nullptr;  // the dots over the tiles so far, in the order of positions
    bool direct = false;   // whether that is `dots` itself
    int64_t dot_bytes = call.edge_dtype == FLOAT64 ? 8 : call.edge_dtype == FLOAT32 ? 4 : 2;

    // Products of successive positions, still to be summed across their lanes.
    struct Products {
        V products[HELD];
        int64_t held, position;  // how many, and the position of the first
    };

    void chunk(int64_t c) const {
        if (runs) {
            if constexpr (HAS_SUMS) sum_group(c);
            if constexpr (HAS_DOTS) dot_group(c);
            return;
        }
        const int64_t lo = c * chunk_edges, hi = smaller(lo + chunk_edges, edges);
        int64_t first = row_from(lo);
        const int64_t end = c + 1 == chunks ? rows : row_from(hi);
        const bool tail = end > first && indptr[end] > hi;  // the last row reaches beyond
        bool head = first > 0 && indptr[first] > lo;        // the row before reaches in here
        first -= head;
        alignas(64) A sums[BLOCK * T], own[BLOCK * T];
        Products products;
        products.held = 0, products.position = lo;
        for (int64_t row = first; row < end; row += BLOCK) {
            const int64_t stop = smaller(row + BLOCK, end);
            if constexpr (HAS_DOTS) pack_rows(row, stop - row, own);
            for (int64_t r = row; r < stop; r++) {
                const int64_t from = larger(indptr[r], lo), to = smaller(indptr[r + 1], hi);
                const int64_t at = (r - row) * T;
                if constexpr (HAS_SUMS) row_sum(from, to, hi, sums + at, LanesOf<NV>());
                if constexpr (HAS_DOTS) row_dot(from, to, hi, own + at, products, LanesOf<NV>());
            }
            if constexpr (HAS_SUMS) {
                const bool cut = tail && stop == end;
                if (head) __builtin_memcpy(pieces + c * 2 * T, sums, T * sizeof(A));
                if (cut) {
                    const A* last = sums + (end - 1 - row) * T;
                    __builtin_memcpy(pieces + (c * 2 + 1) * T, last, T * sizeof(A));
                }
                finish(sums + head * T, row + head, stop - row - head - cut);
                head = false;
            }
        }
        if constexpr (HAS_DOTS) write(products);
    }

    // Returns the first of the runs of `group` or a later one.
    int64_t run_from(int64_t group) const {
        int64_t low = 0, high = call.view.num_runs;
        while (low < high) {
            const int64_t middle = (low + high) / 2;
            if (runs[middle].row / GROUP_ROWS < group)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    // The edges of runs are short stretches of memory far apart: they are fetched ahead.
    template <class E>
    static inline void fetch(const Run<I>& run, const E* edgewise) {
        __builtin_prefetch(edgewise + run.begin);
        __builtin_prefetch(edgewise + run.begin + run.count - 1);
    }

    // Returns the first row that starts at `position` or after it.
    int64_t row_from(int64_t position) const {
        int64_t low = 0, high = rows;
        while (low < high) {
            const int64_t middle = (low + high) / 2;
            if (indptr[middle] < position)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    inline void prefetch(int64_t i) const {
        const char* p = reinterpret_cast<const char*>(gathered + indices[i] * stride);
        for (size_t line = 0; line < sizeof(A) * T; line += 64) __builtin_prefetch(p + line);
    }

    void sum_group(int64_t g) const {
        const int64_t first = g * GROUP_ROWS;
        alignas(64) A sums[GROUP_ROWS * T] = {};
        const Run<I>*begin = runs + run_from(g), *end = runs + run_from(g + 1);
        if (weight_ids)
            add_runs<true>(begin, end, first, indices, weight, weight_ids, gathered, stride, sums,
                           LanesOf<NV>());
        else
            add_runs<false>(begin, end, first, indices, weight, weight_ids, gathered, stride, sums,
                            LanesOf<NV>());
        finish(sums, first, smaller(GROUP_ROWS, rows - first));
    }

    // Adds the products of each run to the sums of its row; `first` is the first row. All that the
    // loop needs is an argument: of what stands behind a pointer, the compiler could not know that
    // no store changes it.
    template <bool IDS, size_t... J>
    static void add_runs(const Run<I>* run, const Run<I>* end, int64_t first, const I* indices,
                         const A* weight, const I* edge_ids, const A* gathered, int64_t stride,
                         A* sums, Lanes<J...> lanes) {
        for (; run < end; run++) {
            const int64_t left = end - 1 - run;
            const Run<I>& later = run[smaller(RUNS_AHEAD, left)];
            fetch(later, indices);
            if constexpr (IDS) {  // the weights of a nearer run, by ids that were fetched before
                const Run<I>& near = run[smaller(RUNS_AHEAD / 3, left)];
                for (int64_t i = 0; i < near.count; i++)
                    __builtin_prefetch(weight + edge_ids[near.begin + i]);
                fetch(later, edge_ids);
            } else {
                fetch(later, weight);
            }
            A* sum = sums + (run->row - first) * T;
            const I* index = indices + run->begin;
            auto factor = [&, at = run->begin](int64_t i) {
                return weight[IDS ? edge_ids[at + i] : at + i];
            };
            V even[NV], odd[NV];
            ((even[J] = load<V>(sum + J * W), odd[J] = V{}), ...);
            const int64_t count = run->count;
            int64_t i = 0;
            for (; i + 1 < count; i += 2) {
                add(even, factor(i), gathered + index[i] * stride, lanes);
                add(odd, factor(i + 1), gathered + index[i + 1] * stride, lanes);
            }
            if (i < count) add(even, factor(i), gathered + index[i] * stride, lanes);
            (store(sum + J * W, even[J] + odd[J]), ...);
        }
    }

    // Folds over J, the vectors of a tile, leave the sums in registers.
    template <size_t... J>
    __attribute__((always_inline)) static inline void add(V* sum, A factor, const A* column,
                                                          Lanes<J...>) {
        const V w = broadcast<A, W>(factor);
        ((sum[J] = fma<A, W>(w, load<V>(column + J * W), sum[J])), ...);
    }

    // Copies the weight of a chunk to `to`, in the order of positions.
    template <class D>
    void order(int64_t c, const D* from, A* to) const {
        auto copy = [&, ids = edge_ids](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++) to[i] = load_as<A, 1>(from + (ids ? ids[i] : i));
        };
        if (!runs) return copy(c * chunk_edges, smaller((c + 1) * chunk_edges, edges));
        // Block by block, as the edges of a row may lie each in a page of its own.
        const Run<I>* end = runs + run_from(c + 1);
        for (const Run<I>* run = runs + run_from(c); run < end; run++)
            copy(run->begin, run->begin + run->count);
    }

    // Adds up the pieces of the row that starts in chunk c and ends in a later one, if any.
    void join(int64_t c) const {
        const int64_t lo = c * chunk_edges, hi = lo + chunk_edges, row = row_from(hi) - 1;
        if (row < 0 || indptr[row] < lo || indptr[row + 1] <= hi) return;
        A* sum = pieces + (c * 2 + 1) * T;
        for (int64_t next = c + 1; next * chunk_edges < indptr[row + 1]; next++)
            for (int64_t t = 0; t < T; t++) sum[t] += pieces[next * 2 * T + t];
        finish(sum, row, 1);
    }

    template <size_t... J>
    inline void row_sum(int64_t begin, int64_t end, int64_t hi, A* sum, Lanes<J...> lanes) const {
        V even[NV], odd[NV];
        ((even[J] = odd[J] = V{}), ...);
        // Copies of what stands behind `this`, which a store might change, for all that is known.
        const I *index = indices, *ids = weight_ids;
        const A *factor = weight, *x = gathered;
        const int64_t step = stride;
        const bool ahead = far;
        auto add_edge = [&](int64_t i, V* acc) __attribute__((always_inline)) {
            if (ahead) {
                const int64_t next = smaller(i + AHEAD, hi - 1);
                prefetch(next);
                if (ids) __builtin_prefetch(factor + ids[smaller(i + FAR_AHEAD, hi - 1)]);
            }
            add(acc, factor[ids ? ids[i] : i], x + index[i] * step, lanes);
        };
        // Two chains of sums, so that an addition does not wait for the one before it.
        int64_t i = begin;
        for (; i + 1 < end; i += 2) add_edge(i, even), add_edge(i + 1, odd);
        if (i < end) add_edge(i, even);
        (store(sum + J * W, even[J] + odd[J]), ...);
    }

    // Adds the bias to the sums of `count` rows, and writes them out.
    void finish(A* sums, int64_t row, int64_t count) const {
        if (call.bias)
            with_type<A>(call.dtype, [&](auto type) {
                const auto* bias = static_cast<const decltype(type)*>(call.bias) + row;
                for (int64_t r = 0; r < count; r++)
                    for (int64_t t = 0; t < T; t++) sums[r * T + t] += load_as<A, 1>(bias + r);
            });
        unpack<A, W, NV>(call.dtype, sums, call.sums, row, count, tile * T, call.batch - tile * T);
    }

    void dot_group(int64_t g) const {
        const int64_t first = g * GROUP_ROWS;
        alignas(64) A own[GROUP_ROWS * T];
        pack_rows(first, smaller(GROUP_ROWS, rows - first), own);
        Products products;
        products.held = 0;
        const Run<I>* end = runs + run_from(g + 1);
        for (const Run<I>* run = runs + run_from(g); run < end; run++) {
            fetch(run[smaller(RUNS_AHEAD, end - 1 - run)], indices);
            const int64_t stop = run->begin + run->count;
            products.position = run->begin;
            row_dot(run->begin, stop, stop, own + (run->row - first) * T, products, LanesOf<NV>());
            write(products);
        }
    }

    void pack_rows(int64_t row, int64_t count, A* own) const {
        pack<A, W, NV>(call.dtype, call.rowwise, row, count, tile * T, call.batch - tile * T, own);
    }

    template <size_t... J>
    inline void row_dot(int64_t begin, int64_t end, int64_t hi, const A* row, Products& products,
                        Lanes<J...>) const {
        if constexpr (T == 1)
            if (direct && tiles == 1)
                return row_products(begin, end, indices, gathered, stride, *row, partial);
        const V factor[NV] = {load<V>(row + J * W)...};
        const A* x = gathered;
        const int64_t step = stride;
        const bool ahead = far && !HAS_SUMS, scatters = edge_ids && !runs && tile + 1 == tiles;
        const char* grads = static_cast<const char*>(call.dots);
        for (int64_t i = begin; i < end;) {
            const int64_t count = smaller(end - i, HELD - products.held);
            const I *index = indices + i, *ids = scatters ? edge_ids + i : nullptr;
            V* to = products.products + products.held;
            for (int64_t k = 0; k < count; k++) {
                if (ahead) prefetch(smaller(i + k + AHEAD, hi - 1));
                if (ids) __builtin_prefetch(grads + ids[k] * dot_bytes, 1);  // written before long
                const A* column = x + index[k] * step;
                V product = V{};
                ((product = J ? fma<A, W>(load<V>(column + J * W), factor[J], product)
                              : load<V>(column) * factor[0]),
                 ...);
                to[k] = product;
            }
            i += count;
            products.held += count;
            if (products.held == HELD) write(products);
        }
    }

    // The gradients of a batch of one are no sums: there is nothing to hold.
    static void row_products(int64_t begin, int64_t end, const I* indices, const A* gathered,
                             int64_t stride, A factor, A* to) {
        for (int64_t i = begin; i < end; i++) to[i] = gathered[indices[i] * stride] * factor;
    }

    // Sums the products held, adds the sums of earlier tiles, and writes them out.
    void write(Products& products) const { write(products, LanesOf<W>()); }

    template <size_t... L>
    void write(Products& products, Lanes<L...> lanes) const {
        for (int64_t i = 0; i < products.held; i += W) {
            const int64_t position = products.position + i, count = products.held - i;
            V rows[W] = {products.products[i + L]...};
            V grad = sums<A, W>(rows, lanes);
            if (tile > 0) grad += load_as<A, W>(partial + position, count);
            if (direct || tile + 1 < tiles)
                store_as<A, W>(partial + position, grad, count);
            else
                put(grad, position, smaller(W, count));
        }
        products.position += products.held;
        products.held = 0;
    }

    // Writes the gradients of `count` positions to their edges.
    void put(V grad, int64_t position, int64_t count) const {
        A out[W];
        store(out, grad);
        with_type<A>(call.edge_dtype, [&](auto type) {
            auto* to = static_cast<decltype(type)*>(call.dots);
            for (int64_t i = 0; i < count; i++)
                store_as<A, 1>(to + (edge_ids ? edge_ids[position + i] : position + i), out[i]);
        });
    }
};

// Where the parts of the scratch begin. What a call needs is what they add up to.
struct Scratch {
    char* base;
    int64_t size = 0;

    template <class A>
    A* take(int64_t count) {
        A* part = base ? reinterpret_cast<A*>(base + size) : nullptr;
        size += ceil_div(count * static_cast<int64_t>(sizeof(A)), 64) * 64;
        return part;
    }
};

template <class A, class I, int W, int NV, Product PRODUCT>
int64_t run(const Call& call) {
    constexpr int64_t T = W * NV;
    constexpr bool HAS_SUMS = PRODUCT != DOTS, HAS_DOTS = PRODUCT != SUMS;
    const View& view = call.view;
    const Matrix& x = call.gathered;
    Walk<A, I, W, NV, PRODUCT> walk{call};
    const int64_t tiles = walk.tiles, chunks = walk.chunks, tile_size = view.columns * T;
    const bool half = call.dtype == BFLOAT16 || call.dtype == FLOAT16;
    const bool half_edges = call.edge_dtype == BFLOAT16 || call.edge_dtype == FLOAT16;
    // An operand that already lies as a packed one would is taken as it is.
    const bool packed = !half && (T == 1 ? x.feature_stride == 1
                                         : x.sample_stride == 1 && call.batch == T);
    // Where every thread can have tiles of its own, it packs one, walks it while the cache still
    // holds it, and packs the next one over it. Dots need all threads on the same tile.
    const int64_t threads = larger(1, call.threads);
    const bool even = tiles % threads == 0 || tiles >= 4 * threads;
    const bool apart = !packed && (threads == 1 || (!HAS_DOTS && even));
    const int64_t most = larger(1, PACKED / larger(1, walk.tile_bytes));
    const int64_t places = packed ? tiles : smaller(tiles, apart ? threads : most);
    // One pass puts the weight in order where several tiles would read it out of order. Not beside
    // dots, whose sums over tiles take as much scratch.
    const bool many = PRODUCT == SUMS && view.edge_ids && tiles > 1;
    const bool order_weight = HAS_SUMS && (half_edges || many);

    const uintptr_t base = (reinterpret_cast<uintptr_t>(call.scratch) + 63) / 64 * 64;
    Scratch scratch{reinterpret_cast<char*>(base)};
    A* pack_to = scratch.take<A>(packed ? 0 : places * tile_size);
    A* by_position = scratch.take<A>(order_weight ? view.edges : 0);
    A* pieces = scratch.take<A>(HAS_SUMS && !walk.runs && chunks > 1 ? places * chunks * 2 * T : 0);
    if constexpr (HAS_DOTS) {
        walk.direct = !half_edges && !view.edge_ids;
        walk.partial = walk.direct ? static_cast<A*>(call.dots)
                                   : scratch.take<A>(tiles > 1 ? view.edges : 0);
    }
    if (scratch.size > 0 && !call.scratch) return scratch.size + 63;
    bool ok = true;

    if (order_weight) {
        ok &= parallel(call, chunks, view.edges, [&](int64_t begin, int64_t end) {
            with_type<A>(call.edge_dtype, [&](auto type) {
                const auto* weight = static_cast<const decltype(type)*>(call.weight);
                for (int64_t c = begin; c < end; c++) walk.order(c, weight, by_position);
            });
        });
        walk.weight = by_position;
        walk.weight_ids = nullptr;
    }
    // The walk over a tile, packed in one of the `places`.
    auto walk_of = [&](int64_t tile, int64_t place) {
        auto one = walk;
        one.tile = tile;
        one.gathered = packed ? static_cast<const A*>(x.data) + tile * x.sample_stride
                              : pack_to + place * tile_size;
        one.stride = packed ? x.feature_stride : T;
        if (pieces) one.pieces = pieces + place * chunks * 2 * T;
        return one;
    };
    auto pack_features = [&](int64_t tile, int64_t place, int64_t feature, int64_t count) {
        pack<A, W, NV>(call.dtype, x, feature, count, tile * T, call.batch - tile * T,
                       pack_to + place * tile_size + feature * T);
    };
    const int64_t each = T * (view.edges + view.rows + view.columns);
    const int64_t products = HAS_SUMS + HAS_DOTS == 2 ? 2 * each : each;
    if (apart) {
        ok &= parallel(call, places, tiles * products, [&](int64_t begin, int64_t end) {
            for (int64_t place = begin; place < end; place++)
                for (int64_t t = place * tiles / places; t < (place + 1) * tiles / places; t++) {
                    pack_features(t, place, 0, view.columns);
                    const auto one = walk_of(t, place);
                    for (int64_t c = 0; c < chunks; c++) one.chunk(c);
                    if (HAS_SUMS && !walk.runs)
                        for (int64_t c = 0; c + 1 < chunks; c++) one.join(c);
                }
        });
        return ok ? 0 : -1;
    }
    for (int64_t first = 0; first < tiles; first += places) {
        const int64_t count = smaller(places, tiles - first);
        if (!packed) {
            constexpr int64_t SHARE = 256;
            const int64_t blocks = ceil_div(view.columns, SHARE);
            const int64_t shares = count * blocks;
            ok &= parallel(call, shares, count * tile_size, [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; i++) {
                    const int64_t place = i / blocks, feature = i % blocks * SHARE;
                    pack_features(first + place, place, feature,
                                  smaller(SHARE, view.columns - feature));
                }
            });
        }
        if constexpr (HAS_DOTS) {
            // A thread takes every tile over its own chunks: the tiles add up in a fixed order.
            ok &= parallel(call, chunks, count * products, [&](int64_t begin, int64_t end) {
                for (int64_t place = 0; place < count; place++) {
                    const auto one = walk_of(first + place, place);
                    for (int64_t c = begin; c < end; c++) one.chunk(c);
                }
            });
        } else {
            ok &= parallel(call, count * chunks, count * products, [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; i++)
                    walk_of(first + i / chunks, i / chunks).chunk(i % chunks);
            });
        }
        if (!HAS_SUMS || walk.runs) continue;  // no row was cut
        ok &= parallel(call, chunks - 1, count * T * chunks, [&](int64_t begin, int64_t end) {
            for (int64_t place = 0; place < count; place++) {
                const auto one = walk_of(first + place, place);
                for (int64_t c = begin; c < end; c++) one.join(c);
            }
        });
    }
    return ok ? 0 : -1;
}

// From here on, the call's types and sizes become template arguments, one at a time.

template <class A, class I, int W, int NV>
int64_t by_product(const Call& call) {
    if (call.product == BOTH) return run<A, I, W, NV, BOTH>(call);
    if (call.product == DOTS) return run<A, I, W, NV, DOTS>(call);
    return run<A, I, W, NV, SUMS>(call);
}

template <class A, class I>
int64_t by_width(const Call& call) {
    constexpr int W = VECTOR_BYTES / sizeof(A);
    int64_t width = call.width;
    if (!width) {  // tiles all alike, and as wide as the batch and the cache make worthwhile
        const int64_t vectors = ceil_div(call.batch, W);
        const int64_t most = call.view.columns * 4 * VECTOR_BYTES <= WIDE || call.view.runs ? 4 : 2;
        width = call.batch <= 8 ? call.batch : W * ceil_div(vectors, ceil_div(vectors, most));
    }
    if (width <= 1) return by_product<A, I, 1, 1>(call);
    if constexpr (W > 4)
        if (width <= 4) return by_product<A, I, 4, 1>(call);
    if constexpr (W > 8)
        if (width <= 8) return by_product<A, I, 8, 1>(call);
    if (width <= W) return by_product<A, I, W, 1>(call);
    if (width <= 2 * W) return by_product<A, I, W, 2>(call);
    if (width <= 3 * W) return by_product<A, I, W, 3>(call);
    return by_product<A, I, W, 4>(call);
}

template <class A>
int64_t by_index(const Call& call) {
    return call.view.index_bytes == 4 ? by_width<A, int32_t>(call) : by_width<A, int64_t>(call);
}

// Runs the call and returns 0; or returns the bytes of scratch that it needs and lacks, or -1 where
// torch's threads failed.
int64_t run(const Call& call) {
    return call.dtype == FLOAT64 ? by_index<double>(call) : by_index<float>(call);
}

}  // namespace ISA
