// The kernels, compiled once for each instruction set: `ISA` is its name, `VECTOR_BYTES` the width
// of its registers.
//
// The batch is cut into tiles of T samples. The operand that edges read in no order is packed as
// [tile][column][T], so that an edge reads one run of memory; the one that rows own passes through
// a small buffer. Edges are cut into chunks whose length the wiring alone decides. A row that spans
// a cut is summed piece by piece, and its pieces in their order: so the bits of a sample's sums
// depend on the wiring alone, and a row of a million edges keeps every thread busy.
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
constexpr int64_t PREFETCH = 1 << 19;  // bytes of a tile from which on it pays
constexpr int64_t WIDE = 1 << 21;      // bytes of a tile up to which wider ones pay
constexpr int64_t GROUP = 1 << 23;     // bytes of the tiles that are packed at a time
constexpr int64_t SERIAL = 1 << 15;    // products that are not worth a second thread

// Calls `function(begin, end)` on parts of [0, count), on torch's threads.
template <class Function>
void parallel(const Call& call, int64_t count, int64_t products, Function function) {
    if (count <= 1 || products < SERIAL) return function(0, count);
    Body body = [](int64_t begin, int64_t end, void* context) {
        (*static_cast<Function*>(context))(begin, end);
    };
    call.parallel_for(0, count, ceil_div(count * SERIAL, products), body, &function);
}

// The edges of one tile. A is the type of sums, I that of indices; a vector has W numbers, and a
// tile NV vectors.
template <class A, class I, int W, int NV, bool GRAD>
struct Walk {
    static constexpr int64_t T = W * NV;

    const Call& call;
    const I* indptr = static_cast<const I*>(call.view.indptr);
    const I* indices = static_cast<const I*>(call.view.indices);
    const I* edge_ids = static_cast<const I*>(call.view.edge_ids);
    int64_t rows = call.view.rows, edges = call.view.edges;
    // A buffer's worth of rows where they are long, and enough chunks for many threads.
    int64_t least = GRAD ? smaller(CHUNK, larger(LEAST, edges / 16)) : CHUNK;
    int64_t rows_worth = BLOCK * (edges / larger(1, rows));
    int64_t chunk_edges = larger(least, smaller(edges / 64, rows_worth));
    int64_t chunks = larger(1, ceil_div(edges, chunk_edges));
    int64_t tiles = ceil_div(call.batch, T);
    int64_t tile_bytes = call.view.columns * T * static_cast<int64_t>(sizeof(A));
    bool far = tile_bytes > PREFETCH;

    int64_t tile = 0;             // the one that is walked
    const A* gathered = nullptr;  // its packed operand: (columns, T)
    int64_t stride = T;           // between its columns

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
};

template <class A, class I, int W, int NV>
struct Sum : Walk<A, I, W, NV, false> {
    typedef Walk<A, I, W, NV, false> Base;
    using Base::T, Base::call, Base::indptr, Base::indices, Base::rows, Base::edges, Base::chunks;
    using Base::chunk_edges;
    using Base::tile, Base::gathered, Base::stride, Base::far, Base::row_from;
    typedef Vec<A, W> V;

    const A* weight = static_cast<const A*>(call.edgewise);
    const I* weight_ids = Base::edge_ids;  // null once the weight is in the order of positions
    A* pieces = nullptr;  // (chunks, 2, T): the sums of rows cut at a chunk's start and its end

    void chunk(int64_t c) const {
        const int64_t lo = c * chunk_edges, hi = smaller(lo + chunk_edges, edges);
        const int64_t own = row_from(lo), end = c + 1 == chunks ? rows : row_from(hi);
        const bool head = own > 0 && indptr[own] > lo;   // the row before reaches into this chunk
        const bool tail = end > own && indptr[end] > hi;  // the last row reaches into the next one
        alignas(64) A sums[BLOCK * T];
        if (head) row_sum(lo, smaller(indptr[own], hi), hi, pieces + c * 2 * T);
        for (int64_t row = own; row < end; row += BLOCK) {
            const int64_t stop = smaller(row + BLOCK, end);
            for (int64_t r = row; r < stop; r++)
                row_sum(indptr[r], smaller(indptr[r + 1], hi), hi, sums + (r - row) * T);
            const bool cut = tail && stop == end;
            if (cut) __builtin_memcpy(pieces + (c * 2 + 1) * T, sums + (end - 1 - row) * T, T * sizeof(A));
            finish(sums, row, stop - row - cut);
        }
    }

    // Adds up the pieces of the row that starts in chunk c and ends in a later one, if there is one.
    void join(int64_t c) const {
        const int64_t lo = c * chunk_edges, hi = lo + chunk_edges, row = row_from(hi) - 1;
        if (row < 0 || indptr[row] < lo || indptr[row + 1] <= hi) return;
        A* sum = pieces + (c * 2 + 1) * T;
        for (int64_t next = c + 1; next * chunk_edges < indptr[row + 1]; next++)
            for (int64_t t = 0; t < T; t++) sum[t] += pieces[next * 2 * T + t];
        finish(sum, row, 1);
    }

    void row_sum(int64_t begin, int64_t end, int64_t hi, A* sum) const {
        row_sum(begin, end, hi, sum, LanesOf<NV>());
    }

    // Folds over J, the vectors of a tile, leave the sums in registers.
    template <size_t... J>
    inline void row_sum(int64_t begin, int64_t end, int64_t hi, A* sum, Lanes<J...>) const {
        V even[NV], odd[NV];
        ((even[J] = odd[J] = V{}), ...);
        auto add = [&](int64_t i, V* acc) __attribute__((always_inline)) {
            if (far) {
                const int64_t next = smaller(i + AHEAD, hi - 1);
                Base::prefetch(next);
                if (weight_ids) __builtin_prefetch(weight + weight_ids[next]);
            }
            const A* column = gathered + indices[i] * stride;
            const V w = broadcast<A, W>(weight[weight_ids ? weight_ids[i] : i]);
            ((acc[J] = fma<A, W>(w, load<V>(column + J * W), acc[J])), ...);
        };
        // Two chains of sums, so that an addition does not wait for the one before it.
        int64_t i = begin;
        for (; i + 1 < end; i += 2) add(i, even), add(i + 1, odd);
        if (i < end) add(i, even);
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
        unpack<A, W, NV>(call.dtype, sums, call.rowwise, row, count, tile * T, call.batch - tile * T);
    }
};

template <class A, class I, int W, int NV>
struct Dot : Walk<A, I, W, NV, true> {
    typedef Walk<A, I, W, NV, true> Base;
    using Base::T, Base::call, Base::indptr, Base::indices, Base::edge_ids, Base::edges;
    using Base::chunk_edges;
    using Base::tile, Base::tiles, Base::gathered, Base::stride, Base::far;
    typedef Vec<A, W> V;
    // Products are summed across their lanes R edges at a time, folded first if they are longer.
    static constexpr int R = smaller(W, 32 / sizeof(A));
    typedef Vec<A, R> Products;

    A* partial = nullptr;  // the sums over the tiles so far, in the order of positions
    bool direct = false;   // whether that is `edgewise` itself

    void chunk(int64_t c) const {
        const int64_t lo = c * chunk_edges, hi = smaller(lo + chunk_edges, edges);
        alignas(64) A own[BLOCK * T];
        Products products[R] = {};
        // From the row of the chunk's first edge to that of its last.
        const int64_t past = lo < hi ? Base::row_from(hi) : 0;
        int64_t i = lo;
        for (int64_t first = Base::row_from(lo + 1) - 1; i < hi; first += BLOCK) {
            const int64_t stop = smaller(first + BLOCK, past);
            pack<A, W, NV>(call.dtype, call.rowwise, first, stop - first, tile * T,
                           call.batch - tile * T, own);
            for (int64_t row = first; row < stop; row++) {
                const int64_t end = smaller(indptr[row + 1], hi);
                row_dot(i, end, lo, hi, own + (row - first) * T, products, LanesOf<NV>());
                i = end;
            }
        }
        if (const int64_t rest = (hi - lo) % R) write(hi - rest, rest, products);
    }

    template <size_t... J>
    inline void row_dot(int64_t begin, int64_t end, int64_t lo, int64_t hi, const A* row,
                        Products* products, Lanes<J...>) const {
        const V own[NV] = {load<V>(row + J * W)...};
        for (int64_t i = begin; i < end; i++) {
            if (far) Base::prefetch(smaller(i + AHEAD, hi - 1));
            const A* column = gathered + indices[i] * stride;
            V product = V{};
            ((product = J ? fma<A, W>(load<V>(column + J * W), own[J], product)
                          : load<V>(column) * own[0]),
             ...);
            const int64_t lane = (i - lo) % R;
            products[lane] = fold_to<A, W, R>(product);
            if (lane == R - 1) write(i - lane, R, products);
        }
    }

    // Sums the products of `count` positions, adds those of earlier tiles, and writes them out.
    inline void write(int64_t position, int64_t count, Products* products) const {
        Products grad = sums<A, R>(products, LanesOf<R>());
        if (tile > 0) grad += load_as<A, R>(partial + position, count);
        if (tile + 1 < tiles || direct) return store_as<A, R>(partial + position, grad, count);
        A out[R];
        store(out, grad);
        with_type<A>(call.edge_dtype, [&](auto type) {
            auto* to = static_cast<decltype(type)*>(call.edgewise);
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

template <class A, class I, int W, int NV, bool GRAD>
int64_t run(const Call& call) {
    constexpr int64_t T = W * NV;
    const View& view = call.view;
    const Matrix& x = call.gathered;
    std::conditional_t<GRAD, Dot<A, I, W, NV>, Sum<A, I, W, NV>> walk{{call}};
    const int64_t tiles = walk.tiles, chunks = walk.chunks, tile_size = view.columns * T;
    const bool half = call.dtype == BFLOAT16 || call.dtype == FLOAT16;
    const bool half_edges = call.edge_dtype == BFLOAT16 || call.edge_dtype == FLOAT16;
    // An operand that already lies as a packed one would is taken as it is.
    const bool packed = !half && (T == 1 ? x.feature_stride == 1
                                         : x.sample_stride == 1 && call.batch == T);
    // Where every thread can have tiles of its own, it packs one, walks it while the cache still
    // holds it, and packs the next one over it. Gradients need all threads on the same tile.
    const int64_t threads = larger(1, call.threads);
    const bool apart = !packed && (threads == 1 || (!GRAD && (tiles % threads == 0 || tiles >= 4 * threads)));
    const int64_t most = larger(1, GROUP / larger(1, walk.tile_bytes));
    const int64_t group = packed ? tiles : smaller(tiles, apart ? threads : most);
    // One pass puts the weight in order where several tiles would read it out of order.
    const bool order_weight = !GRAD && (half_edges || (view.edge_ids && tiles > 1));

    const uintptr_t base = (reinterpret_cast<uintptr_t>(call.scratch) + 63) / 64 * 64;
    Scratch scratch{reinterpret_cast<char*>(base)};
    A* pack_to = scratch.take<A>(packed ? 0 : group * tile_size);
    A* by_position = nullptr;
    A* pieces = nullptr;
    if constexpr (GRAD) {
        walk.direct = !half_edges && !view.edge_ids;
        walk.partial = walk.direct ? static_cast<A*>(call.edgewise)
                                   : scratch.take<A>(tiles > 1 ? view.edges : 0);
    } else {
        by_position = scratch.take<A>(order_weight ? view.edges : 0);
        pieces = scratch.take<A>(chunks > 1 ? group * chunks * 2 * T : 0);
    }
    if (scratch.size > 0 && !call.scratch) return scratch.size + 63;

    if constexpr (!GRAD) {
        if (order_weight) {
            parallel(call, chunks, view.edges, [&](int64_t begin, int64_t end) {
                with_type<A>(call.edge_dtype, [&](auto type) {
                    const auto* weight = static_cast<const decltype(type)*>(call.edgewise);
                    const int64_t stop = smaller(end * walk.chunk_edges, view.edges);
                    for (int64_t i = begin * walk.chunk_edges; i < stop; i++)
                        by_position[i] = load_as<A, 1>(weight + (walk.edge_ids ? walk.edge_ids[i] : i));
                });
            });
            walk.weight = by_position;
            walk.weight_ids = nullptr;
        }
    }
    // The walk over a tile, packed in one of the `group` places.
    auto walk_of = [&](int64_t tile, int64_t place) {
        auto one = walk;
        one.tile = tile;
        one.gathered = packed ? static_cast<const A*>(x.data) + tile * x.sample_stride
                              : pack_to + place * tile_size;
        one.stride = packed ? x.feature_stride : T;
        if constexpr (!GRAD) one.pieces = pieces + place * chunks * 2 * T;
        return one;
    };
    auto pack_features = [&](int64_t tile, int64_t place, int64_t feature, int64_t count) {
        pack<A, W, NV>(call.dtype, x, feature, count, tile * T, call.batch - tile * T,
                       pack_to + place * tile_size + feature * T);
    };
    const int64_t products = T * (view.edges + view.rows + view.columns);
    if (apart) {
        parallel(call, group, tiles * products, [&](int64_t begin, int64_t end) {
            for (int64_t place = begin; place < end; place++)
                for (int64_t t = place * tiles / group; t < (place + 1) * tiles / group; t++) {
                    pack_features(t, place, 0, view.columns);
                    const auto one = walk_of(t, place);
                    for (int64_t c = 0; c < chunks; c++) one.chunk(c);
                    if constexpr (!GRAD)
                        for (int64_t c = 0; c + 1 < chunks; c++) one.join(c);
                }
        });
        return 0;
    }
    for (int64_t first = 0; first < tiles; first += group) {
        const int64_t count = smaller(group, tiles - first);
        if (!packed) {
            constexpr int64_t FEATURES = 256;
            const int64_t blocks = ceil_div(view.columns, FEATURES);
            parallel(call, count * blocks, count * tile_size, [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; i++) {
                    const int64_t place = i / blocks, feature = i % blocks * FEATURES;
                    pack_features(first + place, place, feature,
                                  smaller(FEATURES, view.columns - feature));
                }
            });
        }
        if constexpr (GRAD) {
            // A thread takes every tile over its own chunks: the tiles add up in a fixed order.
            parallel(call, chunks, count * products, [&](int64_t begin, int64_t end) {
                for (int64_t place = 0; place < count; place++) {
                    const auto one = walk_of(first + place, place);
                    for (int64_t c = begin; c < end; c++) one.chunk(c);
                }
            });
        } else {
            parallel(call, count * chunks, count * products, [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; i++)
                    walk_of(first + i / chunks, i / chunks).chunk(i % chunks);
            });
            parallel(call, chunks - 1, count * T * chunks, [&](int64_t begin, int64_t end) {
                for (int64_t place = 0; place < count; place++) {
                    const auto one = walk_of(first + place, place);
                    for (int64_t c = begin; c < end; c++) one.join(c);
                }
            });
        }
    }
    return 0;
}

// From here on, the call's types and sizes become template arguments, one at a time.

template <class A, class I, int W, int NV>
int64_t by_product(const Call& call) {
    if (call.product == GRAD_WEIGHT) return run<A, I, W, NV, true>(call);
    return run<A, I, W, NV, false>(call);
}

template <class A, class I>
int64_t by_width(const Call& call) {
    constexpr int W = VECTOR_BYTES / sizeof(A);
    int64_t width = call.width;
    if (!width) {  // tiles all alike, and as wide as the batch and the cache make worthwhile
        const int64_t vectors = ceil_div(call.batch, W);
        const int64_t most = call.view.columns * 4 * VECTOR_BYTES <= WIDE ? 4 : 2;
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

// Runs the call and returns 0, or returns the bytes of scratch that it needs and lacks.
int64_t run(const Call& call) {
    return call.dtype == FLOAT64 ? by_index<double>(call) : by_index<float>(call);
}

}  // namespace ISA
