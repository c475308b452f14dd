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

// Copies `count` features of up to `T` samples to rows of T numbers, zero where there is no sample.
template <class A, class D, int W, int NV>
void pack_as(Matrix from, int64_t feature, int64_t count, int64_t sample, int64_t samples, A* to) {
    constexpr int T = W * NV;
    const D* data = static_cast<const D*>(from.data) + feature * from.feature_stride +
                    sample * from.sample_stride;
    for (int j = 0; j < NV; j++) {
        const D* corner = data + j * W * from.sample_stride;
        const int64_t present = larger(0, smaller(W, samples - j * W));
        if (from.feature_stride != 1) {  // a feature's samples stand side by side
            for (int64_t f = 0; f < count; f++)
                store(to + f * T + j * W, load_as<A, W>(corner + f * from.feature_stride, present));
            continue;
        }
        for (int64_t f = 0; f < count; f += W) {
            const int64_t features = smaller(W, count - f);
            Vec<A, W> block[W] = {};
            for (int64_t i = 0; i < present; i++)
                block[i] = load_as<A, W>(corner + i * from.sample_stride + f, features);
            transpose<A, W>(block);
            for (int64_t i = 0; i < features; i++) store(to + (f + i) * T + j * W, block[i]);
        }
    }
}

// The way back: rows of T numbers to `count` features of up to T samples.
template <class A, class D, int W, int NV>
void unpack_as(const A* from, Matrix to, int64_t feature, int64_t count, int64_t sample,
               int64_t samples) {
    constexpr int T = W * NV;
    D* data = static_cast<D*>(to.data) + feature * to.feature_stride + sample * to.sample_stride;
    for (int j = 0; j < NV; j++) {
        D* corner = data + j * W * to.sample_stride;
        const int64_t present = larger(0, smaller(W, samples - j * W));
        if (to.feature_stride != 1) {
            for (int64_t f = 0; f < count; f++)
                store_as<A, W>(corner + f * to.feature_stride,
                               load<Vec<A, W>>(from + f * T + j * W), present);
            continue;
        }
        for (int64_t f = 0; f < count; f += W) {
            const int64_t features = smaller(W, count - f);
            Vec<A, W> block[W] = {};
            for (int64_t i = 0; i < features; i++)
                block[i] = load<Vec<A, W>>(from + (f + i) * T + j * W);
            transpose<A, W>(block);
            for (int64_t i = 0; i < present; i++)
                store_as<A, W>(corner + i * to.sample_stride + f, block[i], features);
        }
    }
}

template <class A, int W, int NV>
void pack(int32_t dtype, Matrix from, int64_t feature, int64_t count, int64_t sample,
          int64_t samples, A* to) {
    with_type<A>(dtype, [&](auto type) {
        pack_as<A, decltype(type), W, NV>(from, feature, count, sample, samples, to);
    });
}

template <class A, int W, int NV>
void unpack(int32_t dtype, const A* from, Matrix to, int64_t feature, int64_t count, int64_t sample,
            int64_t samples) {
    with_type<A>(dtype, [&](auto type) {
        unpack_as<A, decltype(type), W, NV>(from, to, feature, count, sample, samples);
    });
}
