// Vectors of `N` numbers, and what the kernels need beyond their arithmetic: loads that convert,
// transposes, and sums across lanes. Included once for each instruction set, inside its namespace.
// No functions of the standard library: of one that several instruction sets compile, the linker
// keeps one copy, and a processor that lacks that instruction set would crash in it.

template <class T, int N>
struct Vector {
    typedef T type __attribute__((vector_size(N * sizeof(T))));
};
template <class T>
struct Vector<T, 1> {
    typedef T type;
};
template <class T, int N>
using Vec = typename Vector<T, N>::type;

template <class V, class T>
inline V load(const T* from) {
    V v;
    __builtin_memcpy(&v, from, sizeof(V));
    return v;
}

template <class V, class T>
inline void store(T* to, V v) {
    __builtin_memcpy(to, &v, sizeof(V));
}

template <class To, class From>
inline To bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    __builtin_memcpy(&to, &from, sizeof(To));
    return to;
}

template <class To, int N, class From>
inline Vec<To, N> convert(Vec<From, N> v) {
    if constexpr (N == 1)
        return static_cast<To>(v);
    else
        return __builtin_convertvector(v, Vec<To, N>);
}

// Returns a * b + c, rounded once where the instruction set can. Written out, as compilers that are
// left to contract such sums may do it in one function and not in another.
template <class A, int N>
inline Vec<A, N> fma(Vec<A, N> a, Vec<A, N> b, Vec<A, N> c) {
#if defined(__FMA__)
    if constexpr (sizeof(a) == 4) return __builtin_fmaf(a, b, c);
    else if constexpr (N == 1) return __builtin_fma(a, b, c);
    else if constexpr (N * sizeof(A) == 16 && sizeof(A) == 4) return _mm_fmadd_ps(a, b, c);
    else if constexpr (N * sizeof(A) == 32 && sizeof(A) == 4) return _mm256_fmadd_ps(a, b, c);
    else if constexpr (N * sizeof(A) == 32) return _mm256_fmadd_pd(a, b, c);
#if defined(__AVX512F__)
    else if constexpr (N * sizeof(A) == 64 && sizeof(A) == 4) return _mm512_fmadd_ps(a, b, c);
    else if constexpr (N * sizeof(A) == 64) return _mm512_fmadd_pd(a, b, c);
#endif
#elif defined(__ARM_NEON)
    if constexpr (sizeof(a) == 4) return __builtin_fmaf(a, b, c);
    else if constexpr (N == 1) return __builtin_fma(a, b, c);
    else if constexpr (sizeof(A) == 4) return vfmaq_f32(c, a, b);
    else return vfmaq_f64(c, a, b);
#else
    return a * b + c;
#endif
}

template <class A, int N>
inline Vec<A, N> broadcast(A value) {
    if constexpr (N == 1) return value;
    else return value - Vec<A, N>{};  // not `+`, which would lose the sign of a zero
}

// Half types, as their 16 bits. The formulas are integer arithmetic, so that every instruction set
// rounds alike: to nearest, ties to even.
struct bfloat16 {
    uint16_t bits;
};
struct float16 {
    uint16_t bits;
};

template <int N>
inline Vec<float, N> widen(Vec<uint32_t, N> half, bfloat16) {
    return bits<Vec<float, N>>(half << 16);
}

template <int N>
inline Vec<float, N> widen(Vec<uint32_t, N> half, float16) {
    typedef Vec<uint32_t, N> U;
    U magnitude = (half & 0x7fff) << 13;
    // The exponent moves from a bias of 15 to one of 127; subnormals become normal on the way.
    Vec<float, N> scaled = bits<Vec<float, N>>(magnitude) * 0x1p112f;
    U special = magnitude | 0x7f800000;
    U value = magnitude >= 0x0f800000 ? special : bits<U>(scaled);
    return bits<Vec<float, N>>(value | (half & 0x8000) << 16);
}

template <int N>
inline Vec<uint32_t, N> narrow(Vec<float, N> v, bfloat16) {
    typedef Vec<uint32_t, N> U;
    U u = bits<U>(v);
    U rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    U quiet = (u >> 16) | 0x40;
    return (u & 0x7fffffff) > 0x7f800000 ? quiet : rounded;
}

template <int N>
inline Vec<uint32_t, N> narrow(Vec<float, N> v, float16) {
    typedef Vec<uint32_t, N> U;
    U u = bits<U>(v);
    U sign = (u >> 16) & 0x8000, magnitude = u & 0x7fffffff;
    U normal = (magnitude + 0xfff + ((magnitude >> 13) & 1) - 0x38000000) >> 13;
    // The last bit of 0.5 in float32 is worth as much as that of a float16 subnormal: adding 0.5
    // rounds there.
    U subnormal = bits<U>(bits<Vec<float, N>>(magnitude) + 0.5f) - 0x3f000000;
    U infinite = sign - sign + 0x7c00;
    U nan = sign - sign + 0x7e00;
    U finite = magnitude < 0x38800000 ? subnormal : normal;
    U value = magnitude >= 0x477ff000 ? infinite : finite;
    return sign | (magnitude > 0x7f800000 ? nan : value);
}

// `load_as<A, N>`: N numbers of any type as A. `store_as`: the way back.
template <class A, int N, class T>
inline Vec<A, N> load_as(const T* from) {
    if constexpr (sizeof(T) == 2)
        return widen<N>(convert<uint32_t, N, uint16_t>(load<Vec<uint16_t, N>>(from)), T());
    else
        return load<Vec<A, N>>(from);
}

template <class A, int N, class T>
inline void store_as(T* to, Vec<A, N> v) {
    if constexpr (sizeof(T) == 2)
        store(to, convert<uint16_t, N, uint32_t>(narrow<N>(v, T())));
    else
        store(to, v);
}

// Copies `count` <= N numbers, by copies whose lengths are powers of two.
template <int N, class T>
inline void copy_some(T* to, const T* from, int64_t count) {
    if (count >= N) {
        __builtin_memcpy(to, from, N * sizeof(T));
    } else if constexpr (N > 1) {
        const int64_t half = count & (N / 2);
        if (half) __builtin_memcpy(to, from, N / 2 * sizeof(T));
        copy_some<N / 2>(to + half, from + half, count - half);
    }
}

// The same for the first `count` numbers alone; the rest of what is loaded is zero.
template <class A, int N, class T>
inline Vec<A, N> load_as(const T* from, int64_t count) {
    if (count >= N) return load_as<A, N>(from);
#if defined(__AVX512F__)
    if constexpr (N == 16 && sizeof(T) == 4) return _mm512_maskz_loadu_ps((1u << count) - 1, from);
    if constexpr (N == 8 && sizeof(T) == 8) return _mm512_maskz_loadu_pd((1u << count) - 1, from);
#endif
    T some[N] = {};
    copy_some<N>(some, from, count);
    return load_as<A, N>(some);
}

template <class A, int N, class T>
inline void store_as(T* to, Vec<A, N> v, int64_t count) {
    if (count >= N) return store_as<A, N>(to, v);
#if defined(__AVX512F__)
    if constexpr (N == 16 && sizeof(T) == 4) return _mm512_mask_storeu_ps(to, (1u << count) - 1, v);
    if constexpr (N == 8 && sizeof(T) == 8) return _mm512_mask_storeu_pd(to, (1u << count) - 1, v);
#endif
    T some[N];
    store_as<A, N>(some, v);
    copy_some<N>(to, some, count);
}

template <size_t... L>
struct Lanes {};
template <size_t N, size_t... L>
struct LanesUpTo : LanesUpTo<N - 1, N - 1, L...> {};
template <size_t... L>
struct LanesUpTo<0, L...> {
    typedef Lanes<L...> type;
};
template <size_t N>
using LanesOf = typename LanesUpTo<N>::type;

// Of two rows of a matrix, the lanes in whose index bit `H` is 0, and those in which it is 1: those
// of `a` stay in the order of lanes, those of `b` fill the places between.
template <size_t H, class V, size_t... L>
inline V without(V a, V b, Lanes<L...>) {
    return __builtin_shufflevector(a, b, ((L & H) ? sizeof...(L) + (L ^ H) : L)...);
}
template <size_t H, class V, size_t... L>
inline V with(V a, V b, Lanes<L...>) {
    return __builtin_shufflevector(a, b, ((L & H) ? sizeof...(L) + L : (L ^ H))...);
}

// Loops over lanes are written as folds: compilers then keep the rows in registers.
template <class A, int N, size_t H = 1, size_t... L>
__attribute__((always_inline)) inline void transpose(Vec<A, N>* rows, Lanes<L...> lanes) {
    if constexpr (H < N) {
        auto swap = [&](size_t i) __attribute__((always_inline)) {
            const Vec<A, N> a = rows[i], b = rows[i + H];
            rows[i] = without<H>(a, b, lanes);
            rows[i + H] = with<H>(a, b, lanes);
        };
        ((L & H ? void() : swap(L)), ...);
        transpose<A, N, 2 * H>(rows, lanes);
    }
}

// Returns the sum of the lanes of row i in lane i. Overwrites the rows.
template <class A, int N, size_t H = 1, size_t... L>
__attribute__((always_inline)) inline Vec<A, N> sums(Vec<A, N>* rows, Lanes<L...> lanes) {
    if constexpr (H < N) {
        auto add = [&](size_t i) __attribute__((always_inline)) {
            const Vec<A, N> a = rows[i], b = rows[i + H];
            rows[i] = without<H>(a, b, lanes) + with<H>(a, b, lanes);
        };
        ((L & (2 * H - 1) ? void() : add(L)), ...);
        return sums<A, N, 2 * H>(rows, lanes);
    } else {
        return rows[0];
    }
}
