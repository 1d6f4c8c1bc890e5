// Attention of one row, head by head; the scores are computed again for backward.

#pragma once

#include <vector>

#include "layout.h"
#include "products.h"

namespace {

// Queries, keys and values of a head, turned by the rotary tables; [S, hd], or [hd, S] as `..._t`.
struct Head {
    float *q, *k, *v, *k_t, *v_t, *weights, *grad, *dq, *dk, *dv, *out;
    Head(const Shape& s, Pieces& room) {
        size_t a = (size_t)s.S * s.hdp, b = (size_t)s.hd * s.Sp, c = (size_t)s.S * s.Sp;
        q = room.take(a), k = room.take(a), v = room.take(a), out = room.take(a);
        k_t = room.take(b), v_t = room.take(b), weights = room.take(c), grad = room.take(c);
        dq = room.take(a), dk = room.take(a), dv = room.take(a);
    }
};

void read_head(const Shape& s, const float* qkv, int head, const float* cosines,
               const float* sines, const Head& h, bool back) {
    const int half = s.hd / 2;
    const float scale = 1.0f / std::sqrt((float)s.hd);
    for (int i = 0; i < s.S; i++) {
        const float *q = qkv + (size_t)i * s.qkv + head * s.hd, *k = q + s.D, *v = k + s.D;
        float *to_q = h.q + i * s.hdp, *to_k = h.k + i * s.hdp;
        if (cosines) {
            const float *c = cosines + (size_t)i * s.hd, *z = sines + (size_t)i * s.hd;
            for (int j = 0; j < half; j++) {
                int J = j + half;
                to_q[j] = (q[j] * c[j] - q[J] * z[j]) * scale;
                to_q[J] = (q[J] * c[J] + q[j] * z[J]) * scale;
                to_k[j] = k[j] * c[j] - k[J] * z[j];
                to_k[J] = k[J] * c[J] + k[j] * z[J];
            }
        } else {
            for (int j = 0; j < s.hd; j++) to_q[j] = q[j] * scale, to_k[j] = k[j];
        }
        for (int j = 0; j < s.hd; j++) h.v[i * s.hdp + j] = v[j];
    }
    for (int i = 0; i < s.S; i++)
        for (int j = 0; j < s.hd; j++) h.k_t[j * s.Sp + i] = h.k[i * s.hdp + j];
    if (back)
        for (int i = 0; i < s.S; i++)
            for (int j = 0; j < s.hd; j++) h.v_t[j * s.Sp + i] = h.v[i * s.hdp + j];
}

// e^(score - peak), 0 past the last position.
INLINE V weight(const Shape& s, const float* score, int t, float peak) {
    V e = exponential(load(score + t) - peak);
    if (t + W > s.S)
        for (int j = 0; j < W; j++)
            if (t + j >= s.S) e[j] = 0.0f;
    return e;
}

void attend(const Shape& s, const float* qkv, const float* cosines, const float* sines,
            const Head& h, float* out, float* peak, float* whole) {
    for (int head = 0; head < s.heads; head++, peak += s.Sp, whole += s.Sp) {
        read_head(s, qkv, head, cosines, sines, h, false);
        product<false>(s.S, s.Sp / W, s.hd, h.q, s.hdp, beside(h.k_t, s.Sp),
                       Store(h.weights, s.Sp));
        for (int i = 0; i < s.S; i++) {
            float* score = h.weights + i * s.Sp;
            float most = score[0];
            V top = all(score[0]);
            int t = 0;
            for (; t + W <= s.S; t += W) {
                V x = load(score + t);
                top = x > top ? x : top;
            }
            for (int j = 0; j < W; j++) most = top[j] > most ? top[j] : most;
            for (; t < s.S; t++) most = score[t] > most ? score[t] : most;
            V all_of_it = {};
            for (t = 0; t < s.Sp; t += W) {
                V e = weight(s, score, t, most);
                all_of_it += e;
                store(score + t, e);
            }
            peak[i] = most, whole[i] = 1.0f / sum(all_of_it);
        }
        product<false>(s.S, s.hdp / W, s.S, h.weights, s.Sp, beside(h.v, s.hdp),
                       Scaled(h.out, s.hdp, whole));
        for (int i = 0; i < s.S; i++)
            std::memcpy(out + i * s.Dp + head * s.hd, h.out + i * s.hdp, s.hd * 4);
    }
}

// `qkv` becomes its gradient.
void unattend(const Shape& s, float* qkv, const float* cosines, const float* sines, const Head& h,
              const float* out, const float* d_out, const float* peak, const float* whole) {
    const int half = s.hd / 2;
    const float scale = 1.0f / std::sqrt((float)s.hd);
    std::vector<float> mean(s.S);
    for (int head = 0; head < s.heads; head++, peak += s.Sp, whole += s.Sp) {
        read_head(s, qkv, head, cosines, sines, h, true);
        product<false>(s.S, s.Sp / W, s.hd, h.q, s.hdp, beside(h.k_t, s.Sp),
                       Store(h.weights, s.Sp));
        for (int i = 0; i < s.S; i++) {
            float* score = h.weights + i * s.Sp;
            for (int t = 0; t < s.Sp; t += W)
                store(score + t, weight(s, score, t, peak[i]) * whole[i]);
            const float *o = out + i * s.Dp + head * s.hd, *d = d_out + i * s.Dp + head * s.hd;
            float dot = 0.0f;
            for (int j = 0; j < s.hd; j++) dot += o[j] * d[j];
            mean[i] = dot;
            std::memcpy(h.out + i * s.hdp, d, s.hd * 4);
        }
        const int wide = s.hdp / W;
        product<true>(s.S, wide, s.S, h.weights, s.Sp, beside(h.out, s.hdp), Store(h.dv, s.hdp));
        product<false>(s.S, s.Sp / W, s.hd, h.out, s.hdp, beside(h.v_t, s.Sp),
                       Unsoftmax(h.grad, h.weights, s.Sp, mean.data()));
        product<false>(s.S, wide, s.S, h.grad, s.Sp, beside(h.k, s.hdp), Store(h.dq, s.hdp));
        product<true>(s.S, wide, s.S, h.grad, s.Sp, beside(h.q, s.hdp), Store(h.dk, s.hdp));
        for (int i = 0; i < s.S; i++) {
            float *q = qkv + (size_t)i * s.qkv + head * s.hd, *k = q + s.D, *v = k + s.D;
            const float *dq = h.dq + i * s.hdp, *dk = h.dk + i * s.hdp;
            if (cosines) {
                const float *c = cosines + (size_t)i * s.hd, *z = sines + (size_t)i * s.hd;
                for (int j = 0; j < half; j++) {
                    int J = j + half;
                    q[j] = (dq[j] * c[j] + dq[J] * z[J]) * scale;
                    q[J] = (dq[J] * c[J] - dq[j] * z[j]) * scale;
                    k[j] = dk[j] * c[j] + dk[J] * z[J];
                    k[J] = dk[J] * c[J] - dk[j] * z[j];
                }
            } else {
                for (int j = 0; j < s.hd; j++) q[j] = dq[j] * scale, k[j] = dk[j];
            }
            std::memcpy(v, h.dv + i * s.hdp, s.hd * 4);
        }
    }
}

}  // namespace
