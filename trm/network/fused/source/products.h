// Matrix products whose sums stay in registers, each with what is done to them at its end.

#pragma once

#include "vectors.h"

namespace {

// Where the vectors of B lie: panels of two vectors, each K rows of `stride` floats.
struct Right {
    const float* at;
    ptrdiff_t stride, panel;
};
INLINE Right beside(const float* at, int stride) { return {at, stride, 2 * W}; }
INLINE Right packed(const float* at, int K) { return {at, 2 * W, (ptrdiff_t)K * 2 * W}; }

// K_FIRST: A lies as [K, M] instead of [M, K].
template <int MR, int NV, bool K_FIRST, class End>
INLINE void block(int K, const float* A, ptrdiff_t lda, const float* B, ptrdiff_t ldb, End& end,
                  int m, int n) {
    V c[MR][NV] = {};
    for (int k = 0; k < K; k++) {
        V b[NV];
#pragma GCC unroll 2
        for (int j = 0; j < NV; j++) b[j] = load(B + k * ldb + j * W);
#pragma GCC unroll 12
        for (int i = 0; i < MR; i++) {
            const float a = K_FIRST ? A[k * lda + i] : A[i * lda + k];
#pragma GCC unroll 2
            for (int j = 0; j < NV; j++) c[i][j] += a * b[j];
        }
    }
    end.template operator()<MR, NV>(c, m, n);
}

template <int NV, bool K_FIRST, class End>
inline void column(int M, int K, const float* A, ptrdiff_t lda, const float* B, ptrdiff_t ldb,
                   End& end, int n) {
    constexpr int UNIT = End::unit, MOST_UNITS = MOST / UNIT;
    int units = M / UNIT;
    int blocks = (units + MOST_UNITS - 1) / MOST_UNITS, m = 0;
    for (int i = 0; i < blocks; i++) {
        int rows = (units / blocks + (i < units % blocks)) * UNIT;
        const float* a = K_FIRST ? A + m : A + m * lda;
        switch (rows) {
#define CASE(R)                                                                       \
    case R:                                                                           \
        if constexpr (R <= MOST && R % UNIT == 0)                                     \
            block<R, NV, K_FIRST, End>(K, a, lda, B, ldb, end, m, n);                 \
        break;
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
            CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#undef CASE
        }
        m += rows;
    }
}

// `vectors` of N; `end` takes each block of sums, at row m and vector n of C.
template <bool K_FIRST, class End>
inline void product(int M, int vectors, int K, const float* A, ptrdiff_t lda, Right B, End end) {
    int n = 0;
    for (; n + 2 <= vectors; n += 2, B.at += B.panel)
        column<2, K_FIRST>(M, K, A, lda, B.at, B.stride, end, n);
    if constexpr (!End::pairs)
        if (n < vectors) column<1, K_FIRST>(M, K, A, lda, B.at, B.stride, end, n);
}

struct End {
    static constexpr int unit = 1;
    static constexpr bool pairs = false;
};

struct Store : End {
    float* C;
    ptrdiff_t ldc;
    Store(float* C, ptrdiff_t ldc) : C(C), ldc(ldc) {}
    template <int MR, int NV>
    INLINE void operator()(V (&c)[MR][NV], int m, int n) {
#pragma GCC unroll 12
        for (int i = 0; i < MR; i++)
#pragma GCC unroll 2
            for (int j = 0; j < NV; j++) store(C + (m + i) * ldc + (n + j) * W, c[i][j]);
    }
};

// C = product + R; R may be C.
struct Add : End {
    float* C;
    const float* R;
    ptrdiff_t ldc;
    Add(float* C, const float* R, ptrdiff_t ldc) : C(C), R(R), ldc(ldc) {}
    template <int MR, int NV>
    INLINE void operator()(V (&c)[MR][NV], int m, int n) {
#pragma GCC unroll 12
        for (int i = 0; i < MR; i++)
#pragma GCC unroll 2
            for (int j = 0; j < NV; j++) {
                ptrdiff_t at = (m + i) * ldc + (n + j) * W;
                store(C + at, load(R + at) + c[i][j]);
            }
    }
};

// What backward needs of silu(g) u beside the value a: a's derivatives by g and by u.
INLINE V swiglu(V g, V u, V& by_g, V& by_u) {
    V s = 1.0f / (1.0f + exponential(-g));
    by_u = g * s;
    by_g = u * (s + by_u * (1.0f - s));
    return by_u * u;
}
INLINE V swiglu(V g, V u) { return g / (1.0f + exponential(-g)) * u; }

// Vectors 2n of the product are gates, 2n + 1 what they gate.
template <bool KEEP>
struct GateColumns : End {
    static constexpr bool pairs = true;
    float *act, *by;
    ptrdiff_t width;
    GateColumns(float* act, float* by, ptrdiff_t width) : act(act), by(by), width(width) {}
    template <int MR, int NV>
    INLINE void operator()(V (&c)[MR][NV], int m, int n) {
        for (int i = 0; i < MR; i++) {
            float* to = act + (m + i) * width + n / 2 * W;
            if constexpr (KEEP) {
                V by_g, by_u;
                store(to, swiglu(c[i][0], c[i][NV - 1], by_g, by_u));
                float* kept = by + (m + i) * 2 * width + n * W;
                store(kept, by_g), store(kept + W, by_u);
            } else {
                store(to, swiglu(c[i][0], c[i][NV - 1]));
            }
        }
    }
};

// Rows 2m of the product are gates, 2m + 1 what they gate.
template <bool KEEP>
struct GateRows : End {
    static constexpr int unit = 2;
    float *act, *by;
    ptrdiff_t width;
    GateRows(float* act, float* by, ptrdiff_t width) : act(act), by(by), width(width) {}
    template <int MR, int NV>
    INLINE void operator()(V (&c)[MR][NV], int m, int n) {
        for (int i = 0; i < MR; i += 2)
            for (int j = 0; j < NV; j++) {
                float* to = act + (m + i) / 2 * width + (n + j) * W;
                if constexpr (KEEP) {
                    V by_g, by_u;
                    store(to, swiglu(c[i][j], c[i + 1][j], by_g, by_u));
                    float* kept = by + (m + i) * width + (n + j) * W;
                    store(kept, by_g), store(kept + width, by_u);
                } else {
                    store(to, swiglu(c[i][j], c[i + 1][j]));
                }
            }
    }
};

// The product is the gradient of a; the derivatives kept become the gradients of g and u, which lie
// as the gates of GateColumns do, or as those of GateRows.
template <bool COLUMNS>
struct Ungate : End {
    float* by;
    ptrdiff_t width;
    Ungate(float* by, ptrdiff_t width) : by(by), width(width) {}
    template <int MR, int NV>
    INLINE void operator()(V (&c)[MR][NV], int m, int n) {
        const ptrdiff_t apart = COLUMNS ? W : width;
#pragma GCC unroll 12
        for (int i = 0; i < MR; i++)
#pragma GCC unroll 2
            for (int j = 0; j < NV; j++) {
                float* kept = by + (m + i) * 2 * width + (n + j) * (COLUMNS ? 2 : 1) * W;
                store(kept, load(kept) * c[i][j]);
                store(kept + apart, load(kept + apart) * c[i][j]);
            }
    }
};

// C = each row of the product times a factor.
struct Scaled : End {
    float* C;
    ptrdiff_t ldc;
    const float* factor;
    Scaled(float* C, ptrdiff_t ldc, const float* factor) : C(C), ldc(ldc), factor(factor) {}
    template <int MR, int NV>
    INLINE void operator()(V (&c)[MR][NV], int m, int n) {
        for (int i = 0; i < MR; i++)
            for (int j = 0; j < NV; j++)
                store(C + (m + i) * ldc + (n + j) * W, c[i][j] * factor[m + i]);
    }
};

// The product is the gradient of the softmax P; C becomes that of what it was taken of.
struct Unsoftmax : End {
    float* C;
    const float* P;
    ptrdiff_t ldc;
    const float* mean;
    Unsoftmax(float* C, const float* P, ptrdiff_t ldc, const float* mean)
        : C(C), P(P), ldc(ldc), mean(mean) {}
    template <int MR, int NV>
    INLINE void operator()(V (&c)[MR][NV], int m, int n) {
        for (int i = 0; i < MR; i++)
            for (int j = 0; j < NV; j++) {
                ptrdiff_t at = (m + i) * ldc + (n + j) * W;
                store(C + at, load(P + at) * (c[i][j] - mean[m + i]));
            }
    }
};

}  // namespace
