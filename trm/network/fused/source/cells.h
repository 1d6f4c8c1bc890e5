// The losses of trm/learning/losses.py, in double: cross-entropies of a cell and of the halting logit.

#pragma once

#include <cmath>
#include <cstdint>

namespace {

constexpr int32_t IGNORE = -100;  // as in trm/tasks/base.py

inline double stable(double x) { return x < 0.0 ? 1.0 / (1.0 - x) : x + 1.0; }

// Whether each counted cell's highest logit, the first of equals, is its label's.
inline bool cells_right(int64_t count, int64_t vocab, const float* logits, const int32_t* labels) {
    for (int64_t i = 0; i < count; i++, logits += vocab) {
        if (labels[i] == IGNORE) continue;
        for (int64_t j = 0; j < vocab; j++)
            if (j < labels[i] ? !(logits[j] < logits[labels[i]]) : logits[j] > logits[labels[i]])
                return false;
    }
    return true;
}

// A row's mean over its counted cells, of stablemax or of softmax, and the gradient of `factor`
// times that.
inline double cells_loss(bool softmax, int64_t count, int64_t vocab, const float* logits,
                         const int32_t* labels, double factor, float* to) {
    int64_t counted = 0;
    for (int64_t i = 0; i < count; i++) counted += labels[i] != IGNORE;
    double loss = 0.0;
    const double share = factor / (counted ? counted : 1);
    for (int64_t i = 0; i < count; i++, logits += vocab, to += vocab) {
        if (labels[i] == IGNORE) {
            for (int64_t j = 0; j < vocab; j++) to[j] = 0.0f;
            continue;
        }
        double sum = 0.0, most = logits[0];
        for (int64_t j = 1; j < vocab; j++) most = logits[j] > most ? logits[j] : most;
        auto weight = [&](int64_t j) { return softmax ? std::exp(logits[j] - most) : stable(logits[j]); };
        for (int64_t j = 0; j < vocab; j++) sum += weight(j);
        loss += std::log(sum) -
                (softmax ? logits[labels[i]] - most : std::log(stable(logits[labels[i]])));
        for (int64_t j = 0; j < vocab; j++) {
            const double w = weight(j), slope = softmax ? w : logits[j] < 0.0f ? w * w : 1.0;
            const double chosen = j != labels[i] ? 0.0 : softmax ? 1.0 : slope / w;
            to[j] = (float)(share * (slope / sum - chosen));
        }
    }
    return loss / (counted ? counted : 1);
}

// The binary cross-entropy of a logit, and the gradient of `factor` times that.
inline double chance_loss(double q, bool right, double factor, float* to) {
    const double tail = std::exp(-std::fabs(q));
    const double chance = q < 0.0 ? tail / (1.0 + tail) : 1.0 / (1.0 + tail);
    *to = (float)(factor * (chance - right));
    return (q > 0.0 ? q : 0.0) - (right ? q : 0.0) + std::log1p(tail);
}

}  // namespace

extern "C" {

// -log(s(x_label) / sum s(x)); 1 where a label is none.
int32_t cells(int64_t count, int64_t vocab, const float* logits, const int32_t* labels,
              double* losses) {
    for (int64_t i = 0; i < count; i++, logits += vocab) {
        losses[i] = 0.0;
        if (labels[i] == IGNORE) continue;
        if (labels[i] < 0 || labels[i] >= vocab) return 1;
        double sum = 0.0;
        for (int64_t j = 0; j < vocab; j++) sum += stable(logits[j]);
        losses[i] = std::log(sum) - std::log(stable(logits[labels[i]]));
    }
    return 0;
}

void cells_backward(int64_t count, int64_t vocab, const float* logits, const int32_t* labels,
                    const double* gradient, float* to) {
    for (int64_t i = 0; i < count; i++, logits += vocab, to += vocab) {
        const bool counted = labels[i] != IGNORE;
        double sum = 0.0;
        for (int64_t j = 0; j < vocab; j++) sum += stable(logits[j]);
        const double share = counted ? gradient[i] / sum : 0.0;
        for (int64_t j = 0; j < vocab; j++) {
            const double s = stable(logits[j]), slope = logits[j] < 0.0f ? s * s : 1.0;
            double d = share * slope;
            if (counted && j == labels[i]) d -= gradient[i] * slope / s;
            to[j] = (float)d;
        }
    }
}

}  // extern "C"
