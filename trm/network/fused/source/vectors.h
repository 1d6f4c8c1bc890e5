// Vectors of floats as wide as the machine's, e^x and a transpose.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int W = 16, MOST = 12;  // 24 sums of 32 registers
#elif defined(__AVX__)
constexpr int W = 8, MOST = 6;  // 12 sums of 16 registers
#else
constexpr int W = 4, MOST = 6;
#endif

typedef float V __attribute__((vector_size(W * 4)));
typedef int32_t VI __attribute__((vector_size(W * 4)));

#define INLINE inline __attribute__((always_inline))

INLINE V load(const float* p) { return *(const V*)p; }
INLINE void store(float* p, V v) { *(V*)p = v; }
INLINE V all(float x) { return x - V{}; }
constexpr int padded(int n) { return (n + W - 1) / W * W; }

// Between two bounds; a NaN stays one, as the second operand of these instructions does.
INLINE V between(V x, float low, float high) {
#if defined(__AVX512F__)
    return (V)_mm512_min_ps(_mm512_set1_ps(high), _mm512_max_ps(_mm512_set1_ps(low), (__m512)x));
#elif defined(__AVX__)
    return (V)_mm256_min_ps(_mm256_set1_ps(high), _mm256_max_ps(_mm256_set1_ps(low), (__m256)x));
#else
    x = x < low ? all(low) : x;
    return x > high ? all(high) : x;
#endif
}

INLINE float sum(V v) {
    float s[W];
    std::memcpy(s, &v, sizeof v);
    for (int half = W / 2; half; half /= 2)
        for (int i = 0; i < half; i++) s[i] += s[i + half];
    return s[0];
}

// e^x to 2 units in the last place: x = n ln 2 + r, a polynomial in r, n added to the exponent.
// Past +-87 it stays at the values there; a NaN stays one.
INLINE V exponential(V x) {
    x = between(x, -87.0f, 87.0f);
    const V shift = all(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
    V z = x * 1.44269504088896341f + shift;
    V n = z - shift;
    V r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    V p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return (V)((VI)p + ((VI)z << 23));
}

// to[n, m] = from[m, n], rows of `from` m, both multiples of W apart from `rows`.
void transpose(const float* from, ptrdiff_t ldf, int rows, int columns, float* to, ptrdiff_t ldt) {
    constexpr int T = 4;
    typedef float Q __attribute__((vector_size(16)));
    typedef int32_t QI __attribute__((vector_size(16)));
    int m = 0;
    for (; m + T <= rows; m += T)
        for (int n = 0; n < columns; n += T) {
            Q a = *(const Q*)(from + m * ldf + n), b = *(const Q*)(from + (m + 1) * ldf + n);
            Q c = *(const Q*)(from + (m + 2) * ldf + n), d = *(const Q*)(from + (m + 3) * ldf + n);
#if defined(__clang__)
            Q ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
            Q AB = __builtin_shufflevector(a, b, 2, 6, 3, 7);
            Q cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
            Q CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
            Q r0 = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
            Q r1 = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
            Q r2 = __builtin_shufflevector(AB, CD, 0, 1, 4, 5);
            Q r3 = __builtin_shufflevector(AB, CD, 2, 3, 6, 7);
#else
            Q ab = __builtin_shuffle(a, b, QI{0, 4, 1, 5}), AB = __builtin_shuffle(a, b, QI{2, 6, 3, 7});
            Q cd = __builtin_shuffle(c, d, QI{0, 4, 1, 5}), CD = __builtin_shuffle(c, d, QI{2, 6, 3, 7});
            Q r0 = __builtin_shuffle(ab, cd, QI{0, 1, 4, 5}), r1 = __builtin_shuffle(ab, cd, QI{2, 3, 6, 7});
            Q r2 = __builtin_shuffle(AB, CD, QI{0, 1, 4, 5}), r3 = __builtin_shuffle(AB, CD, QI{2, 3, 6, 7});
#endif
            *(Q*)(to + n * ldt + m) = r0, *(Q*)(to + (n + 1) * ldt + m) = r1;
            *(Q*)(to + (n + 2) * ldt + m) = r2, *(Q*)(to + (n + 3) * ldt + m) = r3;
        }
    for (; m < rows; m++)
        for (int n = 0; n < columns; n++) to[n * ldt + m] = from[m * ldf + n];
}

}  // namespace
