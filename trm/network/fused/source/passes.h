// One layer, forward and backward, of one row.

#pragma once

#include <vector>

#include "attention.h"
#include "norms.h"

namespace {

struct Tables {
    const float *cosines, *sines;
};

struct Scratch {
    float *mixed, *act, *mix_act, *qkv, *heads, *peak, *whole;
    Head head;
    Scratch(const Shape& s, Pieces& room)
        : mixed(room.take((size_t)s.S * s.Dp)),
          act(room.take((size_t)s.S * s.Jp)),
          mix_act(room.take((size_t)s.I * s.Dp)),
          qkv(room.take(s.attention ? (size_t)s.S * s.qkv : 0)),
          heads(room.take(s.attention ? (size_t)s.S * s.Dp : 0)),
          peak(room.take((size_t)s.heads * s.Sp)),
          whole(room.take((size_t)s.heads * s.Sp)),
          head(head_of(s, room)) {}
    static Head head_of(const Shape& s, Pieces& room) {
        Pieces none{nullptr};
        return s.attention ? Head(s, room) : Head(s, none);
    }
};

// `h` to `to`, which may be the same; with `kept`, what backward needs of update `u` of layer `l`.
template <bool KEEP>
void layer_forward(const Shape& s, const Layer& y, const Tables& tables, const Scratch& w,
                   const float* h, float* to, const Kept::Of* kept, int u) {
    const size_t SD = (size_t)s.S * s.Dp;
    const int vectors = s.Dp / W;
    float* mixed = KEEP ? kept->mixed + u * SD : w.mixed;
    if (s.attention) {
        float* qkv = KEEP ? kept->qkv + (size_t)u * s.S * s.qkv : w.qkv;
        float* heads = KEEP ? kept->heads + u * SD : w.heads;
        const size_t at = (size_t)u * s.heads * s.Sp;
        product<false>(s.S, s.qkv / W, s.D, h, s.Dp, packed(y.mix, s.D), Store(qkv, s.qkv));
        attend(s, qkv, tables.cosines, tables.sines, w.head, heads,
               KEEP ? kept->peak + at : w.peak, KEEP ? kept->whole + at : w.whole);
        product<false>(s.S, vectors, s.D, heads, s.Dp, packed(y.mix_end, s.D), Add(mixed, h, s.Dp));
        norm_channels(s, mixed, KEEP ? kept->mix_root + (size_t)u * s.Sp : nullptr);
    } else {
        float* act = KEEP ? kept->mix_act + (size_t)u * s.I * s.Dp : w.mix_act;
        float* by = KEEP ? kept->mix_by + (size_t)u * 2 * s.I * s.Dp : nullptr;
        product<false>(2 * s.I, vectors, s.S, y.mix, s.S, beside(h, s.Dp),
                       GateRows<KEEP>(act, by, s.Dp));
        product<false>(s.S, vectors, s.I, y.mix_out, s.I, beside(act, s.Dp), Add(mixed, h, s.Dp));
        norm_positions(s, mixed, KEEP ? kept->mix_root + (size_t)u * s.Dp : nullptr);
    }
    float* act = KEEP ? kept->act + (size_t)u * s.S * s.Jp : w.act;
    float* by = KEEP ? kept->by + (size_t)u * s.S * 2 * s.Jp : nullptr;
    product<false>(s.S, 2 * s.Jp / W, s.D, mixed, s.Dp, packed(y.gate_up, s.D),
                   GateColumns<KEEP>(act, by, s.Jp));
    product<false>(s.S, vectors, s.J, act, s.Jp, packed(y.down, s.J), Add(to, mixed, s.Dp));
    norm_channels(s, to, KEEP ? kept->root + (size_t)u * s.Sp : nullptr);
}

// Gradients of a layer's weights as one thread adds them up, in the order that products like.
struct Sums {
    struct Of {
        float *mix, *mix_end, *gate_up, *down;
    };
    std::vector<Of> of;
    Sums(const Shape& s, Pieces& room) {
        for (int l = 0; l < s.layers; l++) {
            Of o{};
            if (s.attention)
                o.mix = room.take((size_t)3 * s.D * s.Dp), o.mix_end = room.take((size_t)s.D * s.Dp);
            else
                o.mix = room.take((size_t)s.S * padded(2 * s.I)),
                o.mix_end = room.take((size_t)s.S * s.Ip);
            o.gate_up = room.take((size_t)2 * s.Jp * s.Dp), o.down = room.take((size_t)s.D * s.Jp);
            of.push_back(o);
        }
    }

    void give(const Shape& s, int l, bool more, float* const* to) const {
        const Of& o = of[l];
        auto put = [&](float* at, float x) { *at = more ? *at + x : x; };
        auto rows = [&](const float* from, ptrdiff_t stride, int count, int width, float* at) {
            for (int i = 0; i < count; i++)
                for (int j = 0; j < width; j++) put(at + (size_t)i * width + j, from[i * stride + j]);
        };
        if (s.attention) {
            rows(o.mix, s.Dp, 3 * s.D, s.D, to[0]), rows(o.mix_end, s.Dp, s.D, s.D, to[1]);
        } else {
            for (int i = 0; i < 2 * s.I; i++)
                for (int j = 0; j < s.S; j++)
                    put(to[0] + (size_t)(i / 2 + i % 2 * s.I) * s.S + j,
                        o.mix[(size_t)j * padded(2 * s.I) + i]);
            rows(o.mix_end, s.Ip, s.S, s.I, to[1]);
        }
        for (int c = 0; c < 2 * s.Jp; c++)
            if (int r = unfold(c, s.J); r >= 0)
                rows(o.gate_up + (size_t)c * s.Dp, s.Dp, 1, s.D, to[2] + (size_t)r * s.D);
        rows(o.down, s.Jp, s.D, s.J, to[3]);
    }
};

struct BackScratch {
    float *d, *dx, *turned;
    struct Of {
        float *d_out, *d_mix;
    };
    std::vector<Of> of;
    float* d_heads;
    Head head;
    BackScratch(const Shape& s, Pieces& room, int slots)
        : d(room.take((size_t)s.S * s.Dp)),
          dx(room.take((size_t)s.S * s.Dp)),
          turned(room.take((size_t)s.Dp * padded(2 * s.I))),
          d_heads(room.take((size_t)s.S * s.Dp)),
          head(Scratch::head_of(s, room)) {
        for (int l = 0; l < s.layers; l++)
            of.push_back({room.take((size_t)slots * s.S * s.Dp), room.take((size_t)slots * s.S * s.Dp)});
    }
};

// Gradients of weights over the positions of `count` updates from `u` on.
void weight_sums(const Shape& s, const Kept::Of& k, const BackScratch::Of& b, const Sums::Of& to,
                 int u, int count, int slot) {
    const size_t SD = (size_t)s.S * s.Dp;
    const int K = count * s.S, vectors = s.Dp / W;
    const float* d_out = b.d_out + slot * SD;
    product<true>(s.D, s.Jp / W, K, d_out, s.Dp, beside(k.act + (size_t)u * s.S * s.Jp, s.Jp),
                  Add(to.down, to.down, s.Jp));
    product<true>(2 * s.Jp, vectors, K, k.by + (size_t)u * s.S * 2 * s.Jp, 2 * s.Jp,
                  beside(k.mixed + u * SD, s.Dp), Add(to.gate_up, to.gate_up, s.Dp));
    if (s.attention) {
        product<true>(s.D, vectors, K, b.d_mix + slot * SD, s.Dp, beside(k.heads + u * SD, s.Dp),
                      Add(to.mix_end, to.mix_end, s.Dp));
        product<true>(3 * s.D, vectors, K, k.qkv + (size_t)u * s.S * s.qkv, s.qkv,
                      beside(k.in + u * SD, s.Dp), Add(to.mix, to.mix, s.Dp));
    }
}

// The gradient `d` of what layer `l` gives in update `u` becomes that of what it takes.
void layer_backward(const Shape& s, const Layer& y, const Tables& tables, const Kept& kept, int l,
                    int u, const BackScratch& w, int slot, const Sums::Of& to) {
    const Kept::Of& k = kept.of[l];
    const size_t SD = (size_t)s.S * s.Dp;
    const int vectors = s.Dp / W;
    float *d = w.d, *d_out = w.of[l].d_out + slot * SD, *d_mix = w.of[l].d_mix + slot * SD;
    float* by = k.by + (size_t)u * s.S * 2 * s.Jp;
    unnorm_channels(s, kept.state(s, l + 1, u), k.root + (size_t)u * s.Sp, d, d_out);
    product<false>(s.S, s.Jp / W, s.D, d_out, s.Dp, packed(y.back_down, s.D),
                   Ungate<true>(by, s.Jp));
    product<false>(s.S, vectors, 2 * s.Jp, by, 2 * s.Jp, packed(y.back_gate_up, 2 * s.Jp),
                   Add(d, d_out, s.Dp));
    const float* mixed = k.mixed + u * SD;
    if (s.attention) {
        float *qkv = k.qkv + (size_t)u * s.S * s.qkv, *heads = k.heads + u * SD;
        const size_t at = (size_t)u * s.heads * s.Sp;
        unnorm_channels(s, mixed, k.mix_root + (size_t)u * s.Sp, d, d_mix);
        product<false>(s.S, vectors, s.D, d_mix, s.Dp, packed(y.back_mix_end, s.D),
                       Store(w.d_heads, s.Dp));
        unattend(s, qkv, tables.cosines, tables.sines, w.head, heads, w.d_heads, k.peak + at,
                 k.whole + at);
        product<false>(s.S, vectors, 3 * s.D, qkv, s.qkv, packed(y.back_mix, 3 * s.D),
                       Add(d, d_mix, s.Dp));
        return;
    }
    float *act = k.mix_act + (size_t)u * s.I * s.Dp, *mix_by = k.mix_by + (size_t)u * 2 * s.I * s.Dp;
    unnorm_positions(s, mixed, k.mix_root + (size_t)u * s.Dp, d, d_mix);
    product<true>(s.I, vectors, s.S, y.mix_out, s.I, beside(d_mix, s.Dp), Ungate<false>(mix_by, s.Dp));
    product<true>(s.S, vectors, 2 * s.I, y.mix, s.S, beside(mix_by, s.Dp), Add(d, d_mix, s.Dp));
    transpose(act, s.Dp, s.I, s.Dp, w.turned, s.Ip);
    product<false>(s.S, s.Ip / W, s.D, d_mix, s.Dp, beside(w.turned, s.Ip),
                   Add(to.mix_end, to.mix_end, s.Ip));
    const int wide = padded(2 * s.I);
    transpose(mix_by, s.Dp, 2 * s.I, s.Dp, w.turned, wide);
    product<false>(s.S, wide / W, s.D, k.in + u * SD, s.Dp, beside(w.turned, wide),
                   Add(to.mix, to.mix, wide));
}

}  // namespace
