// The stablemax cross-entropy of a cell, in double (trm/learning/losses.py).

#pragma once

#include <cmath>
#include <cstdint>

namespace {

constexpr int32_t IGNORE = -100;  // as in trm/tasks/base.py

inline double stable(double x) { return x < 0.0 ? 1.0 / (1.0 - x) : x + 1.0; }

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
