// Transposes between a matrix as it comes and rows of T samples for each feature, types converted
// on the way. Included inside the namespace of an instruction set, after simd.h.

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t larger(int64_t a, int64_t b) { return a < b ? b : a; }
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Calls `function` with a number of the type that `dtype` names: A, or a half type if A is float.
template <class A, class Function>
inline void with_type(int32_t dtype, Function function) {
    if constexpr (sizeof(A) == 4) {
        if (dtype == BFLOAT16) return function(bfloat16());
        if (dtype == FLOAT16) return function(float16());
    }
    function(A());
}

// Features between a prefetch and its use. The processor's own prefetching does not help: the
// features read of one sample at a time are too few.
constexpr int64_t FEATURES_AHEAD = 64;

constexpr int64_t FEATURES = 32;  // packed at a time

// Transposes a block of W samples and W features. At an edge of the matrix it has fewer of either:
// the numbers that are missing are packed as zeros.
template <class A, class D, int W, size_t... L>
inline void pack_block(const D* from, int64_t sample_stride, int64_t samples, int64_t features, A* to,
                       int64_t stride, Lanes<L...> lanes) {
    Vec<A, W> block[W];
    if (samples == W && features == W) {
        (__builtin_prefetch(from + L * sample_stride + FEATURES_AHEAD, 0, 2), ...);
        ((block[L] = load_as<A, W>(from + L * sample_stride)), ...);
        transpose<A, W>(block, lanes);
        (store(to + L * stride, block[L]), ...);
        return;
    }
    for (int64_t i = 0; i < W; i++)
        block[i] = i < samples ? load_as<A, W>(from + i * sample_stride, features) : Vec<A, W>{};
    transpose<A, W>(block, lanes);
    for (int64_t i = 0; i < features; i++) store(to + i * stride, block[i]);
}

// The reverse of `pack_block`.
template <class A, class D, int W, size_t... L>
inline void unpack_block(const A* from, int64_t stride, D* to, int64_t sample_stride, int64_t samples,
                         int64_t features, Lanes<L...> lanes) {
    Vec<A, W> block[W];
    if (samples == W && features == W) {
        (__builtin_prefetch(to + L * sample_stride + FEATURES_AHEAD, 1, 2), ...);
        ((block[L] = load<Vec<A, W>>(from + L * stride)), ...);
        transpose<A, W>(block, lanes);
        (store_as<A, W>(to + L * sample_stride, block[L]), ...);
        return;
    }
    for (int64_t i = 0; i < W; i++)
        block[i] = i < features ? load<Vec<A, W>>(from + i * stride) : Vec<A, W>{};
    transpose<A, W>(block, lanes);
    for (int64_t i = 0; i < samples; i++) store_as<A, W>(to + i * sample_stride, block[i], features);
}

// Copies `count` features of up to `T` samples to rows of T numbers, zero where there is no sample.
template <class A, class D, int W, int NV>
void pack_as(Matrix from, int64_t feature, int64_t count, int64_t sample, int64_t samples, A* to) {
    constexpr int T = W * NV;
    const D* data = static_cast<const D*>(from.data) + feature * from.feature_stride +
                    sample * from.sample_stride;
    for (int j = 0; j < NV; j++) {
        const D* corner = data + j * W * from.sample_stride;
        const int64_t present = larger(0, smaller(W, samples - j * W));
        if (from.feature_stride != 1)  // a feature's samples stand side by side
            for (int64_t f = 0; f < count; f++)
                store(to + f * T + j * W, load_as<A, W>(corner + f * from.feature_stride, present));
        else
            for (int64_t f = 0; f < count; f += W)
                pack_block<A, D, W>(corner + f, from.sample_stride, present, smaller(W, count - f),
                                    to + f * T + j * W, T, LanesOf<W>());
    }
}

// The reverse of `pack_as`: copies rows of T numbers to `count` features of up to T samples.
template <class A, class D, int W, int NV>
void unpack_as(const A* from, Matrix to, int64_t feature, int64_t count, int64_t sample,
               int64_t samples) {
    constexpr int T = W * NV;
    D* data = static_cast<D*>(to.data) + feature * to.feature_stride + sample * to.sample_stride;
    for (int j = 0; j < NV; j++) {
        D* corner = data + j * W * to.sample_stride;
        const int64_t present = larger(0, smaller(W, samples - j * W));
        if (to.feature_stride != 1)
            for (int64_t f = 0; f < count; f++)
                store_as<A, W>(corner + f * to.feature_stride, load<Vec<A, W>>(from + f * T + j * W),
                               present);
        else
            for (int64_t f = 0; f < count; f += W)
                unpack_block<A, D, W>(from + f * T + j * W, T, corner + f, to.sample_stride, present,
                                      smaller(W, count - f), LanesOf<W>());
    }
}

template <class A, int W, int NV>
void pack(int32_t dtype, Matrix from, int64_t feature, int64_t count, int64_t sample,
          int64_t samples, A* to) {
    with_type<A>(dtype, [&](auto type) {
        // All samples of a few features at a time: a row is written whole, while it is in the cache.
        for (int64_t f = 0; f < count; f += FEATURES)
            pack_as<A, decltype(type), W, NV>(from, feature + f, smaller(FEATURES, count - f), sample,
                                              samples, to + f * W * NV);
    });
}

template <class A, int W, int NV>
void unpack(int32_t dtype, const A* from, Matrix to, int64_t feature, int64_t count, int64_t sample,
            int64_t samples) {
    with_type<A>(dtype, [&](auto type) {
        unpack_as<A, decltype(type), W, NV>(from, to, feature, count, sample, samples);
    });
}
